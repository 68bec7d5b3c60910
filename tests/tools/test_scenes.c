// The worlds of the default models: what is held out stays out of training, scenes follow from their
// seeds, and what a scene says is there can be seen.
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { SCENES = 1000, MAP = 32, EDGE = 64 };

static bool held_out(const scene *s) {
    return s->held_out_combo || s->held_out_pair;
}

static void test_splits(void **state) {
    (void)state;
    for (world w = WORLD_PLAIN; w <= WORLD_RICH; ++w) {
        size_t of_all = 0;
        for (uint64_t seed = 0; seed < SCENES; ++seed) {
            scene s;
            scene_draw_lot(&s, w, seed, SPLIT_TRAIN);
            assert_false(held_out(&s));
            scene_draw_lot(&s, w, seed, SPLIT_HELD_OUT);
            assert_true(held_out(&s));
            scene_draw_lot(&s, w, seed, SPLIT_ALL);
            of_all += held_out(&s);
        }
        // A tenth or more of the colours of shapes, and a tenth of the pairs.
        assert_in_range(of_all, SCENES / 8, SCENES / 2);
    }
}

static void test_kinds(void **state) {
    (void)state;
    size_t layouts[N_LAYOUTS] = {0}, shapes[N_SHAPES] = {0}, sizes[N_SIZES] = {0};
    for (uint64_t seed = 0; seed < SCENES; ++seed) {
        scene s;
        scene_draw_lot(&s, WORLD_PLAIN, seed, SPLIT_ALL);
        assert_true(s.layout < N_PLAIN_LAYOUTS && s.ground < N_PLAIN_GROUNDS);
        assert_true(s.sky < N_PLAIN_SKIES);
        for (int i = 0; i < s.n_objects; ++i) {
            assert_true(s.objects[i].shape < N_PLAIN_SHAPES && s.objects[i].color < N_PLAIN_COLORS);
            assert_true(s.objects[i].material < N_PLAIN_MATERIALS);
            assert_int_equal(s.objects[i].size_class, NORMAL);
        }
        scene_draw_lot(&s, WORLD_RICH, seed, SPLIT_ALL);
        ++layouts[s.layout];
        ++shapes[s.objects[0].shape];
        ++sizes[s.objects[0].size_class];
        for (int i = 1; i < s.n_objects && s.layout == GROUP; ++i) {
            assert_int_equal(s.objects[i].shape, s.objects[0].shape);
            assert_int_equal(s.objects[i].color, s.objects[0].color);
        }
    }
    for (size_t i = 0; i < N_LAYOUTS; ++i) {
        assert_true(layouts[i] > SCENES / 20);
    }
    for (size_t i = 0; i < N_SHAPES; ++i) {
        assert_true(shapes[i] > SCENES / 20);
    }
    for (size_t i = 0; i < N_SIZES; ++i) {
        assert_true(sizes[i] > SCENES / 20);
    }
}

// Every object covers some of the 32 x 32 places of its picture, and the smallest, behind a large one,
// some too.
static void test_seen(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SCENES; ++seed) {
        scene s;
        uint8_t ids[MAP * MAP];
        int seen[MAX_OBJECTS] = {0};
        scene_draw_lot(&s, WORLD_RICH, seed, SPLIT_ALL);
        scene_ids(&s, MAP, ids);
        for (int i = 0; i < MAP * MAP; ++i) {
            if (ids[i] < MAX_OBJECTS) {
                ++seen[ids[i]];
            }
        }
        for (int i = 0; i < MAX_OBJECTS; ++i) {
            if (i < s.n_objects && seen[i] < 4) {
                fail_msg("seed %llu: object %d is hidden", (unsigned long long)seed, i);
            }
            assert_true(i < s.n_objects || seen[i] == 0);
        }
    }
}

static void test_same_seed(void **state) {
    (void)state;
    const size_t bytes = (size_t)EDGE * EDGE * 3;
    uint8_t *a = malloc(bytes), *b = malloc(bytes);
    assert_true(a && b);
    for (uint64_t seed = 0; seed < 4; ++seed) {
        scene s, again, other;
        scene_draw_lot(&s, WORLD_RICH, seed, SPLIT_TRAIN);
        scene_draw_lot(&again, WORLD_RICH, seed, SPLIT_TRAIN);
        scene_draw_lot(&other, WORLD_RICH, seed + 1, SPLIT_TRAIN);
        scene_render(&s, EDGE, a);
        scene_render(&again, EDGE, b);
        assert_memory_equal(a, b, bytes);
        scene_render(&other, EDGE, b);
        assert_true(memcmp(a, b, bytes) != 0);
    }
    free(a);
    free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_same_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

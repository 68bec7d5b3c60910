// rope: hand-computed turns, the device against the reference, the rules.
#include "support.h"

#include "ref.h"

#include <math.h>
#include <stdio.h>

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_rope(g, in[0], in[1]);
}

// Two products and a sum, each rounded: at most 3 ulp of the larger product, of random values.
static const double F32_BOUND = 4.0 / 16777216;
static const double F16_BOUND = HT_TEST_F16_ROUNDING + 4.0 / 16777216;

static void test_reference_by_hand(void **state) {
    (void)state;
    // Two tokens, two heads of four; the second token turns its pairs by 90 and by 30 degrees.
    const float table[] = {1, 0, 1, 0, 0, 1, 0.8660254f, 0.5f};
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 2, 0, 3, 4, 0, 2};
    const float want[] = {1, 2, 3, 4, 5, 6, 7, 8, -2, 1, 1.7320508f, 1, -4, 3, -1, 1.7320508f};
    float out[16];
    ht_ref_rope(x, 2, 8, table, 2, 4, out);
    ht_test_assert_close("by hand", out, want, 16, 1e-7);
    ht_ref_rope(x, 2, 8, table, 1, 4, out); // every row is the first token
    ht_test_assert_close("one token", out, x, 16, 0);
}

static void test_shapes(void **state) {
    (void)state;
    static const uint32_t shapes[][4] = {// B, T, heads, D
                                         {1, 1, 1, 4},  {2, 5, 3, 12},    {1, 77, 2, 64},
                                         {3, 9, 1, 20}, {2, 30, 12, 128}, {1, 4099, 1, 8}};
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        const uint32_t *s = shapes[i];
        char name[64];
        snprintf(name, sizeof name, "rope %u x %u x %u x %u", s[0], s[1], s[2], s[3]);
        const ht_test_op op = {.name = name,
                               .build = build,
                               .n_inputs = 2,
                               .inputs = {{HT_TEST_ACTIVATIONS, 3, {s[0], s[1], s[2] * s[3]}, NULL},
                                          {HT_FORMAT_F32, 2, {s[1], s[3]}, NULL}}};
        ht_test_op_check(&op, F32_BOUND, F16_BOUND);
    }
}

static void test_rules(void **state) {
    (void)state;
    static const struct {
        ht_test_input x, table;
        const char *part;
    } rows[] = {
        {{HT_FORMAT_I32, 3, {1, 2, 8}, NULL}, {HT_FORMAT_F32, 2, {2, 4}, NULL}, "x must be f32"},
        {{HT_FORMAT_F32, 2, {2, 8}, NULL}, {HT_FORMAT_F32, 2, {2, 4}, NULL}, "x must be [B, T, C]"},
        {{HT_FORMAT_F32, 3, {1, 2, 8}, NULL},
         {HT_FORMAT_F32, 2, {3, 4}, NULL},
         "table must be f32 [2, D], not f32 [3, 4]"},
        {{HT_FORMAT_F32, 3, {1, 2, 8}, NULL},
         {HT_FORMAT_F16, 2, {2, 4}, NULL},
         "table must be f32 [2, D]"},
        {{HT_FORMAT_F32, 3, {1, 2, 8}, NULL},
         {HT_FORMAT_F32, 2, {2, 2}, NULL},
         "a head of 2 values must be a multiple of 4"},
        {{HT_FORMAT_F32, 3, {1, 2, 12}, NULL},
         {HT_FORMAT_F32, 2, {2, 8}, NULL},
         "and divide the 12 of x"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = {
            .name = "rope", .build = build, .n_inputs = 2, .inputs = {rows[i].x, rows[i].table}};
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// Allocation of formats: against all solutions of small problems, against another solver on large
// ones, and the closed form against a general minimiser.
#include "support.h"

#include "allocate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 7, CHOICES = 3, SOLUTIONS = 2187, MANY = 60 };

static ht_context *context;

// Losses fall and sizes grow from choice to choice, now and then the other way round.
static void fill(uint64_t *state, ht_choice choices[LAYERS][CHOICES],
                 ht_allocation_layer layers[LAYERS]) {
    for (int l = 0; l < LAYERS; l++) {
        double loss = 1 + ht_test_random(state) % 1000;
        uint64_t bytes = 10 + ht_test_random(state) % 90;
        for (int c = 0; c < CHOICES; c++) {
            choices[l][c] = (ht_choice){loss, bytes, (double)(ht_test_random(state) % 50)};
            loss *= 0.1 * (ht_test_random(state) % 12);
            bytes += ht_test_random(state) % 100;
        }
        layers[l] = (ht_allocation_layer){choices[l], CHOICES};
    }
}

// The least loss within both budgets, by looking at all; infinite when there is none.
static double enumerate(ht_choice choices[LAYERS][CHOICES], uint64_t bytes, double work) {
    double least = INFINITY;
    for (int s = 0; s < SOLUTIONS; s++) {
        double loss = 0, w = 0;
        uint64_t b = 0;
        for (int l = 0, rest = s; l < LAYERS; l++, rest /= CHOICES) {
            const ht_choice *c = &choices[l][rest % CHOICES];
            loss += c->loss;
            b += c->bytes;
            w += c->work;
        }
        least = b <= bytes && w <= work && loss < least ? loss : least;
    }
    return least;
}

static void all_solutions(void **state) {
    (void)state;
    uint64_t random = 5;
    int solved = 0, refused = 0, greedy_best = 0, compared = 0;
    for (int trial = 0; trial < 300; trial++) {
        ht_choice choices[LAYERS][CHOICES];
        ht_allocation_layer layers[LAYERS];
        uint32_t got[LAYERS];
        ht_allocated sums;
        fill(&random, choices, layers);
        const ht_allocation p = {.layers = layers,
                                 .count = LAYERS,
                                 .bytes = 350 + ht_test_random(&random) % 700,
                                 .work =
                                     trial % 2 ? INFINITY : 100 + ht_test_random(&random) % 150};
        const double least = enumerate(choices, p.bytes, p.work);
        const ht_status status = ht_allocate(context, &p, got, &sums);
        assert_int_equal(status, isfinite(least) ? HT_OK : HT_ERR_UNSUPPORTED);
        if (status != HT_OK) {
            assert_true(strlen(ht_context_message(context)) > 20);
            refused++;
            continue;
        }
        solved++;
        assert_true(sums.bytes <= p.bytes && sums.work <= p.work);
        assert_true(sums.loss >= least - 1e-9 * least);
        assert_true(sums.loss <= least * (1 + 1e-4) + 1e-9); // the gap that the solver may leave
        assert_true(sums.bound <= least + 1e-9 * least + 1e-9);
        if (!isfinite(p.work) && ht_allocate_greedy(context, &p, got)) {
            double loss = 0;
            uint64_t bytes = 0;
            for (int l = 0; l < LAYERS; l++) {
                loss += choices[l][got[l]].loss;
                bytes += choices[l][got[l]].bytes;
            }
            assert_true(bytes <= p.bytes && loss >= least - 1e-9 * least);
            greedy_best += loss <= least + 1e-9 * least;
            compared++;
        }
    }
    assert_true(solved > 200 && refused > 3);
    assert_true(greedy_best > compared / 4 && greedy_best < compared); // the solver earns its place
}

// The budget is met to the byte where some choice does.
static void exact(void **state) {
    (void)state;
    ht_choice choices[12][2];
    ht_allocation_layer layers[12];
    uint32_t got[12];
    ht_allocated sums;
    for (int l = 0; l < 12; l++) { // powers of two: every sum can be made
        choices[l][0] = (ht_choice){.loss = 1 << l};
        choices[l][1] = (ht_choice){.bytes = 1u << l};
        layers[l] = (ht_allocation_layer){choices[l], 2};
    }
    const ht_allocation p = {.layers = layers, .count = 12, .bytes = 2741, .work = INFINITY};
    assert_int_equal(ht_allocate(context, &p, got, &sums), HT_OK);
    assert_int_equal(sums.bytes, 2741);
    assert_true(sums.loss == 4095 - 2741);
}

static void another_solver(void **state) {
    (void)state;
    static const char *const names[] = {"knapsack_bytes", "knapsack_both"};
    ht_test_golden golden;
    ht_test_golden_open(&golden, "optimize");
    for (int with_work = 0; with_work < 2; with_work++) {
        char key[64];
        float *columns[5];
        static const char *const parts[] = {"sizes", "losses", "works", "budgets", "least"};
        for (int i = 0; i < 5; i++) {
            snprintf(key, sizeof key, "%s/%s", names[with_work], parts[i]);
            columns[i] = ht_test_golden_read(&golden, key, NULL);
        }
        ht_choice choices[MANY][3];
        ht_allocation_layer layers[MANY];
        uint32_t got[MANY];
        ht_allocated sums;
        for (int l = 0; l < MANY; l++) {
            for (int c = 0; c < 3; c++) {
                choices[l][c] = (ht_choice){columns[1][3 * l + c], (uint64_t)columns[0][3 * l + c],
                                            columns[2][3 * l + c]};
            }
            layers[l] = (ht_allocation_layer){choices[l], 3};
        }
        const ht_allocation p = {.layers = layers,
                                 .count = MANY,
                                 .bytes = (uint64_t)columns[3][0],
                                 .work = with_work ? columns[3][1] : INFINITY};
        assert_int_equal(ht_allocate(context, &p, got, &sums), HT_OK);
        assert_true(sums.bytes <= p.bytes && sums.work <= p.work);
        // The file has single floats; the solver may stop 1e-4 from the best.
        assert_true(fabs(sums.loss / columns[4][0] - 1) < 1e-4 + 1e-6);
        for (int i = 0; i < 5; i++) {
            free(columns[i]);
        }
    }
    ht_test_golden_close(&golden);
}

static void closed_form(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_test_golden_open(&golden, "optimize");
    float *loss = ht_test_golden_read(&golden, "baq/loss", NULL);
    float *sizes = ht_test_golden_read(&golden, "baq/sizes", NULL);
    float *bits = ht_test_golden_read(&golden, "baq/bits", NULL);
    double l[12], s[12], got[12], sum = 0, total = 0;
    int clipped = 0;
    for (int i = 0; i < 12; i++) {
        l[i] = loss[i];
        s[i] = sizes[i];
    }
    ht_allocate_baq(l, s, 12, 4, 2, 8, got);
    for (int i = 0; i < 12; i++) {
        sum += got[i] * s[i];
        total += s[i];
        clipped += got[i] == 2 || got[i] == 8;
        // A minimum is flat: a minimiser to 1e-15 of the loss finds it to about 1e-4 here.
        assert_true(fabs(got[i] - bits[i]) < 2e-3);
    }
    assert_true(fabs(sum / total - 4) < 1e-12);
    assert_true(clipped >= 2);
    free(loss);
    free(sizes);
    free(bits);
    ht_test_golden_close(&golden);
}

int main(void) {
    const ht_context_desc desc = {.host_only = true};
    ht_context_create(&desc, &context);
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_solutions), cmocka_unit_test(exact),
                                       cmocka_unit_test(another_solver),
                                       cmocka_unit_test(closed_form)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ht_context_destroy(&context);
    return failed;
}

// Rounding: as packing does it, against another GPTQ, against all codes of small layers, and on
// inputs that were not calibrated on.
#include "support.h"

#include "reconstruct.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ht_context *context;

static const ht_format formats[] = {
    HT_FORMAT_E4M3,     HT_FORMAT_E5M2,     HT_FORMAT_E3M4,  HT_FORMAT_MXFP8,    HT_FORMAT_FP4,
    HT_FORMAT_FP4_E1M2, HT_FORMAT_FP4_E3M0, HT_FORMAT_NVFP4, HT_FORMAT_MXFP4,    HT_FORMAT_FP4_I8,
    HT_FORMAT_INT8,     HT_FORMAT_INT8_G32, HT_FORMAT_INT4,  HT_FORMAT_INT4_G32, HT_FORMAT_BIN1,
    HT_FORMAT_BIN2,     HT_FORMAT_BIN3};

// Rounding to nearest loses what packing loses, and what it chose is packed without a change; a
// convolution of 6 taps has packed rows of its own. Packing gives each plane of signs a scale by least
// squares where rounding halves them, which gains little where values are spread normally and much where
// most are 0: there four of the eight levels can be one.
static void packing(void **state) {
    (void)state;
    enum { N = 5, TAPS = 6, I = 77, COUNT = N * TAPS * I };
    float w[COUNT], packed_values[COUNT], own[COUNT], again[COUNT];
    ht_test_fill_normal(3, w, COUNT);
    memset(w + 32, 0, 64 * sizeof *w); // groups without any value
    for (size_t f = 0; f < HT_COUNT(formats); f++) {
        const ht_tensor_desc desc = {.format = formats[f], .rank = 2, .dims = {N * TAPS, I}};
        const ht_layer layer = {
            .format = formats[f], .rows = N, .width = TAPS * I, .segment = I, .weights = w};
        const bool signs = strncmp(ht_format_name(formats[f]), "bin", 3) == 0;
        ht_rounded rounded;
        double packing_lost = 0, lost = 0;
        void *block = malloc(ht_desc_bytes(&desc));
        ht_desc_pack(&desc, HT_SCALE_SEARCH, w, block);
        ht_desc_unpack(&desc, block, packed_values);
        assert_int_equal(ht_rounded_create(context, &layer, &rounded), HT_OK);
        assert_int_equal(ht_round_layer(context, &layer, HT_ROUNDING_NEAREST, &rounded), HT_OK);
        ht_rounded_values(&layer, &rounded, own);
        ht_desc_pack_scaled(&desc, rounded.outer, rounded.scales, own, block);
        ht_desc_unpack(&desc, block, again);
        assert_memory_equal(own, again, sizeof own);
        for (int i = 0; i < COUNT; i++) {
            if (signs && i < 2 * I) { // the rows with zeros
                continue;
            }
            packing_lost += pow((double)packed_values[i] - w[i], 2);
            lost += pow((double)own[i] - w[i], 2);
        }
        print_message("%s: %.4f of packing's\n", ht_format_name(formats[f]), lost / packing_lost);
        assert_true(fabs(lost / packing_lost - 1) < (signs ? 0.1 : 1e-5));
        free(block);
        ht_rounded_free(context, &rounded);
    }
}

static void another_gptq(void **state) {
    (void)state;
    enum { N = 16, K = 64 };
    ht_test_golden golden;
    ht_test_golden_open(&golden, "optimize");
    float *w = ht_test_golden_read(&golden, "gptq/w", NULL);
    float *gram = ht_test_golden_read(&golden, "gptq/gram", NULL);
    float *scales = ht_test_golden_read(&golden, "gptq/scales", NULL);
    float *codes = ht_test_golden_read(&golden, "gptq/codes", NULL);
    float *energy = ht_test_golden_read(&golden, "gptq/energy", NULL);
    float values[N * K];
    double lost;
    ht_rounded rounded;
    const ht_layer layer = {
        .format = HT_FORMAT_FP4, .rows = N, .width = K, .segment = K, .weights = w, .gram = gram};
    assert_int_equal(ht_rounded_create(context, &layer, &rounded), HT_OK);
    memcpy(rounded.scales, scales, N * 2 * sizeof *scales);
    assert_int_equal(ht_round_gptq(context, &layer, &rounded), HT_OK);
    assert_memory_equal(rounded.codes, codes, N * K * sizeof *codes);
    ht_rounded_values(&layer, &rounded, values);
    for (int i = 0; i < N * K; i++) {
        values[i] -= w[i];
    }
    assert_int_equal(ht_gram_energy(context, values, gram, N, K, &lost), HT_OK);
    assert_true(fabs(lost / energy[0] - 1) < 1e-4);
    ht_rounded_free(context, &rounded);
    free(w);
    free(gram);
    free(scales);
    free(codes);
    free(energy);
    ht_test_golden_close(&golden);
}

// tr(D H D^T) of a row
static double row_error(const float *w, const float *gram, const float *codes, float scale, int k) {
    double error = 0;
    for (int i = 0; i < k; i++) {
        for (int j = 0; j < k; j++) {
            error += ((double)codes[i] * scale - w[i]) * gram[i * k + j] *
                     ((double)codes[j] * scale - w[j]);
        }
    }
    return error;
}

static double best_of_all(const float *w, const float *gram, float scale, const float *grid,
                          uint32_t count) {
    double least = INFINITY;
    float codes[3];
    for (uint32_t a = 0; a < count; a++) {
        for (uint32_t b = 0; b < count; b++) {
            for (uint32_t c = 0; c < count; c++) {
                codes[0] = grid[a];
                codes[1] = grid[b];
                codes[2] = grid[c];
                least = fmin(least, row_error(w, gram, codes, scale, 3));
            }
        }
    }
    return least;
}

// Rows of three weights: never better than the best of all codes at the same scale, never worse than
// GPTQ; no single change is better.
static void all_codes(void **state) {
    (void)state;
    enum { K = 3, TRIALS = 300 };
    float grid[HT_GRID_MAX];
    const uint32_t count = ht_format_grid(HT_FORMAT_FP4, grid);
    double sums[HT_ROUNDINGS + 1] = {0};
    assert_int_equal(count, 15);
    for (int trial = 0; trial < TRIALS; trial++) {
        float w[K], x[5 * K], gram[K * K] = {0};
        double errors[HT_ROUNDINGS];
        ht_rounded rounded;
        ht_test_fill_normal(100 + (uint64_t)trial, w, K);
        ht_test_fill_normal(900 + (uint64_t)trial, x, 5 * K);
        for (int i = 0; i < K * K; i++) {
            for (int r = 0; r < 5; r++) {
                gram[i] += x[r * K + i / K] * x[r * K + i % K];
            }
        }
        const ht_layer layer = {.format = HT_FORMAT_FP4,
                                .rows = 1,
                                .width = K,
                                .segment = K,
                                .weights = w,
                                .gram = gram};
        assert_int_equal(ht_rounded_create(context, &layer, &rounded), HT_OK);
        for (int r = 0; r < HT_ROUNDINGS; r++) {
            assert_int_equal(ht_round_layer(context, &layer, (ht_rounding)r, &rounded), HT_OK);
            errors[r] = row_error(w, gram, rounded.codes, rounded.scales[0], K);
            sums[r] += errors[r];
        }
        const double best = best_of_all(w, gram, rounded.scales[0], grid, count);
        const double learned = errors[HT_ROUNDING_LEARNED], tiny = 1e-5 * learned + 1e-9;
        assert_true(learned >= best - tiny);
        assert_true(learned <= errors[HT_ROUNDING_GPTQ] + tiny);
        for (uint32_t i = 0; i < K * count; i++) {
            float changed[K];
            memcpy(changed, rounded.codes, sizeof changed);
            changed[i / count] = grid[i % count];
            assert_true(row_error(w, gram, changed, rounded.scales[0], K) >= learned - tiny);
        }
        sums[HT_ROUNDINGS] += best;
        ht_rounded_free(context, &rounded);
    }
    assert_true(sums[HT_ROUNDING_LEARNED] < sums[HT_ROUNDING_GPTQ]);
    assert_true(sums[HT_ROUNDING_GPTQ] < sums[HT_ROUNDING_NEAREST]);
    // Measured: the best there is, in each trial, for the scales it ends with.
    assert_true(sums[HT_ROUNDING_LEARNED] < 1.01 * sums[HT_ROUNDINGS]);
}

// ---- inputs that were not calibrated on

enum { N = 16, K = 64, ROWS = 512 };

static void gram_of(uint64_t seed, float rho, float *gram) {
    static float x[ROWS * K];
    ht_test_fill_normal(seed, x, ROWS * K);
    for (int r = 0; r < ROWS; r++) {
        for (int k = 1; k < K; k++) {
            x[r * K + k] = rho * x[r * K + k - 1] + sqrtf(1 - rho * rho) * x[r * K + k];
        }
    }
    memset(gram, 0, K * K * sizeof *gram);
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < K * K; i++) {
            gram[i] += x[r * K + i / K] * x[r * K + i % K];
        }
    }
}

// dB gained against rounding to nearest, on fresh inputs.
static double gained(float rho, ht_rounding rounding) {
    static float w[N * K], gram[K * K], fresh[K * K], values[N * K];
    double errors[2];
    ht_rounded rounded;
    ht_test_fill_normal(77, w, N * K);
    gram_of(78, rho, gram);
    gram_of(79, rho, fresh);
    const ht_layer layer = {
        .format = HT_FORMAT_INT4, .rows = N, .width = K, .segment = K, .weights = w, .gram = gram};
    assert_int_equal(ht_rounded_create(context, &layer, &rounded), HT_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            ht_round_layer(context, &layer, i ? rounding : HT_ROUNDING_NEAREST, &rounded), HT_OK);
        ht_rounded_values(&layer, &rounded, values);
        for (int j = 0; j < N * K; j++) {
            values[j] -= w[j];
        }
        assert_int_equal(ht_gram_energy(context, values, fresh, N, K, &errors[i]), HT_OK);
    }
    ht_rounded_free(context, &rounded);
    return 10 * log10(errors[0] / errors[1]);
}

// On white inputs data can only mislead, by a little; on correlated ones it gains much.
static void fresh_inputs(void **state) {
    (void)state;
    for (int r = HT_ROUNDING_GPTQ; r < HT_ROUNDINGS; r++) {
        const double white = gained(0, (ht_rounding)r), smooth = gained(0.9f, (ht_rounding)r);
        assert_true(white > -1 && white < 0.5);
        assert_true(smooth > 5);
    }
    assert_true(gained(0.9f, HT_ROUNDING_LEARNED) > gained(0.9f, HT_ROUNDING_GPTQ));
}

// On a diagonal Gram matrix no column can make up for another.
static void diagonal(void **state) {
    (void)state;
    float w[N * K], gram[K * K] = {0};
    ht_rounded nearest, gptq;
    ht_test_fill_normal(5, w, N * K);
    for (int k = 0; k < K; k++) {
        gram[k * K + k] = (float)(1 + k % 7);
    }
    const ht_layer layer = {
        .format = HT_FORMAT_FP4, .rows = N, .width = K, .segment = K, .weights = w, .gram = gram};
    assert_int_equal(ht_rounded_create(context, &layer, &nearest), HT_OK);
    assert_int_equal(ht_rounded_create(context, &layer, &gptq), HT_OK);
    ht_round_nearest(&layer, true, &nearest);
    assert_int_equal(ht_round_layer(context, &layer, HT_ROUNDING_GPTQ, &gptq), HT_OK);
    assert_memory_equal(nearest.codes, gptq.codes, N * K * sizeof *gptq.codes);
    ht_rounded_free(context, &nearest);
    ht_rounded_free(context, &gptq);
}

// What some columns have lost, others take back as far as their inputs are alike: no change of theirs by a
// little does better but for the damping, and where inputs have nothing in common they stay.
static void absorb(void **state) {
    (void)state;
    enum { OWN = 16 };
    float lost[N * K], gram[K * K], values[N * OWN], moved[N * K];
    uint32_t numbers[OWN];
    for (int c = 0; c < OWN; c++) {
        numbers[c] = (uint32_t)(4 * c + 1);
    }
    const ht_columns columns = {numbers, OWN, K};
    const ht_layer layer = {.rows = N, .width = K, .segment = K, .gram = gram};
    for (int alike = 0; alike < 2; alike++) {
        double before, after, near;
        ht_test_fill_normal(11, lost, N * K);
        memset(values, 0, sizeof values);
        for (int i = 0; i < K * K; i++) {
            gram[i] = powf(alike ? 0.9f : 1e-9f, (float)abs(i / K - i % K));
        }
        for (int i = 0; i < N * OWN; i++) {
            lost[i / OWN * K + (int)numbers[i % OWN]] = 0;
        }
        assert_int_equal(ht_absorb(context, &layer, &columns, lost, values), HT_OK);
        assert_int_equal(ht_gram_energy(context, lost, gram, N, K, &before), HT_OK);
        memcpy(moved, lost, sizeof moved);
        for (int i = 0; i < N * OWN; i++) {
            moved[i / OWN * K + (int)numbers[i % OWN]] = values[i];
        }
        assert_int_equal(ht_gram_energy(context, moved, gram, N, K, &after), HT_OK);
        assert_true(alike ? after < 0.7 * before : after > 0.999 * before);
        for (int i = 0; i < N * OWN; i += 7) {
            const int at = i / OWN * K + (int)numbers[i % OWN];
            for (int sign = -1; sign < 2; sign += 2) {
                moved[at] += (float)sign * 0.1f;
                assert_int_equal(ht_gram_energy(context, moved, gram, N, K, &near), HT_OK);
                assert_true(near > after);
                moved[at] = values[i];
            }
        }
    }
}

static void bad_gram(void **state) {
    (void)state;
    float w[N * K], gram[K * K] = {0};
    ht_rounded rounded;
    ht_test_fill_normal(5, w, N * K);
    for (int k = 0; k < K; k++) {
        gram[k * K + k] = 1;
    }
    gram[1] = gram[K] = 50; // |H01| beyond sqrt(H00 H11): of no inputs
    const ht_layer layer = {
        .format = HT_FORMAT_FP4, .rows = N, .width = K, .segment = K, .weights = w, .gram = gram};
    assert_int_equal(ht_rounded_create(context, &layer, &rounded), HT_OK);
    assert_int_equal(ht_round_layer(context, &layer, HT_ROUNDING_GPTQ, &rounded), HT_ERR_INVALID);
    assert_string_equal(ht_context_message(context),
                        "a Gram matrix of 64 inputs is not that of any inputs");
    ht_rounded_free(context, &rounded);
}

int main(void) {
    const ht_context_desc desc = {.host_only = true};
    ht_context_create(&desc, &context);
    const struct CMUnitTest tests[] = {cmocka_unit_test(packing),   cmocka_unit_test(another_gptq),
                                       cmocka_unit_test(all_codes), cmocka_unit_test(fresh_inputs),
                                       cmocka_unit_test(diagonal),  cmocka_unit_test(absorb),
                                       cmocka_unit_test(bad_gram)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ht_context_destroy(&context);
    return failed;
}

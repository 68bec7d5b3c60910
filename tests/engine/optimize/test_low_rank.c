// Low-rank branches: against a singular value decomposition, and what they are good for.
#include "support.h"

#include "low_rank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 16, K = 64, RANK = 8 };

static ht_context *context;

static void multiply(const float *u, const float *v, float *product) {
    for (int n = 0; n < N; n++) {
        for (int k = 0; k < K; k++) {
            double sum = 0;
            for (int r = 0; r < RANK; r++) {
                sum += (double)u[n * RANK + r] * v[r * K + k];
            }
            product[n * K + k] = (float)sum;
        }
    }
}

static void decomposition(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_test_golden_open(&golden, "optimize");
    float *w = ht_test_golden_read(&golden, "gptq/w", NULL);
    float *gram = ht_test_golden_read(&golden, "gptq/gram", NULL);
    float *want = ht_test_golden_read(&golden, "low_rank/product", NULL);
    float *plain = ht_test_golden_read(&golden, "low_rank/plain", NULL);
    float *energy = ht_test_golden_read(&golden, "low_rank/energy", NULL);
    float u[N * RANK], v[RANK * K], got[N * K];
    double left;
    assert_int_equal(ht_low_rank(context, w, gram, N, K, RANK, u, v), HT_OK);
    multiply(u, v, got);
    // D H D^T in single floats, of conditions about 1e2 between the kept and the dropped directions.
    ht_test_assert_close("weighted", got, want, N * K, 1e-4);
    for (int i = 0; i < N * K; i++) {
        got[i] -= w[i];
    }
    assert_int_equal(ht_gram_energy(context, got, gram, N, K, &left), HT_OK);
    assert_true(fabs(left / energy[0] - 1) < 1e-5);
    assert_int_equal(ht_low_rank(context, w, NULL, N, K, RANK, u, v), HT_OK);
    multiply(u, v, got);
    ht_test_assert_close("plain", got, plain, N * K, 1e-4);
    free(w);
    free(gram);
    free(want);
    free(plain);
    free(energy);
    ht_test_golden_close(&golden);
}

static double error_of(const ht_layer *layer, const ht_rounded *rounded, const float *u,
                       const float *v) {
    float values[N * K], product[N * K] = {0};
    double energy;
    ht_rounded_values(layer, rounded, values);
    if (u) {
        multiply(u, v, product);
    }
    for (int i = 0; i < N * K; i++) {
        values[i] += product[i] - layer->weights[i];
    }
    assert_int_equal(ht_gram_energy(context, values, layer->gram, N, K, &energy), HT_OK);
    return energy;
}

// Columns of large weights spoil the scales of their groups; a branch of rank 8 takes them out.
static void outliers(void **state) {
    (void)state;
    float w[N * K], gram[K * K] = {0}, u[N * RANK], v[RANK * K];
    ht_rounded plain, branch;
    ht_test_fill_normal(9, w, N * K);
    for (int n = 0; n < N; n++) {
        for (int k = 0; k < 4; k++) {
            w[n * K + 17 * k] *= 20;
        }
    }
    for (int k = 0; k < K; k++) {
        gram[k * K + k] = 1;
    }
    const ht_layer layer = {
        .format = HT_FORMAT_INT4, .rows = N, .width = K, .segment = K, .weights = w, .gram = gram};
    assert_int_equal(ht_rounded_create(context, &layer, &plain), HT_OK);
    assert_int_equal(ht_rounded_create(context, &layer, &branch), HT_OK);
    assert_int_equal(ht_round_layer(context, &layer, HT_ROUNDING_LEARNED, &plain), HT_OK);
    assert_int_equal(
        ht_round_low_rank(context, &layer, HT_ROUNDING_LEARNED, RANK, 20, u, v, &branch), HT_OK);
    const double before = error_of(&layer, &plain, NULL, NULL);
    const double after = error_of(&layer, &branch, u, v);
    assert_true(10 * log10(before / after) > 15);
    for (int i = 0; i < N * RANK; i++) { // as stored
        uint16_t half;
        float again;
        ht_format_pack(HT_FORMAT_F16, &u[i], &half, 1);
        ht_format_unpack(HT_FORMAT_F16, &half, &again, 1);
        assert_true(again == u[i]);
    }
    ht_rounded_free(context, &plain);
    ht_rounded_free(context, &branch);
}

int main(void) {
    const ht_context_desc desc = {.host_only = true};
    ht_context_create(&desc, &context);
    const struct CMUnitTest tests[] = {cmocka_unit_test(decomposition), cmocka_unit_test(outliers)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ht_context_destroy(&context);
    return failed;
}

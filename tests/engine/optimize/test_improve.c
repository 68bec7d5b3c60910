// Choosing a rounding by fresh inputs.
#include "support.h"

#include "improve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 16, K = 64, ROWS = 512, FRESH = 128, RANK = 8 };

static ht_context *context;
static float w[N * K], x[ROWS * K], fresh[FRESH * K], gram[K * K];

static void correlate(float *rows, int count, float rho) {
    for (int r = 0; r < count; r++) {
        for (int k = 1; k < K; k++) {
            rows[r * K + k] = rho * rows[r * K + k - 1] + sqrtf(1 - rho * rho) * rows[r * K + k];
        }
    }
}

static void fill(float rho) {
    ht_test_fill_normal(1, w, N * K);
    ht_test_fill_normal(2, x, ROWS * K);
    ht_test_fill_normal(3, fresh, FRESH * K);
    correlate(x, ROWS, rho);
    correlate(fresh, FRESH, rho);
    for (int i = 0; i < K * K; i++) {
        double sum = 0;
        for (int r = 0; r < ROWS; r++) {
            sum += (double)x[r * K + i / K] * x[r * K + i % K];
        }
        gram[i] = (float)sum;
    }
}

static ht_layer layer_of(ht_format format) {
    return (ht_layer){
        .format = format, .rows = N, .width = K, .segment = K, .weights = w, .gram = gram};
}

static ht_improve_desc desc_of(ht_format activations, uint32_t rank) {
    return (ht_improve_desc){.rounding = HT_ROUNDING_LEARNED,
                             .activations = activations,
                             .rows = fresh,
                             .n_rows = FRESH,
                             .rank = rank};
}

static ht_improved improve(ht_format format, ht_format activations, uint32_t rank) {
    static float u[N * RANK], v[RANK * K];
    const ht_layer layer = layer_of(format);
    const ht_improve_desc desc = desc_of(activations, rank);
    ht_rounded rounded;
    ht_improved out;
    assert_int_equal(ht_rounded_create(context, &layer, &rounded), HT_OK);
    assert_int_equal(ht_improve(context, &layer, &desc, u, v, &rounded, &out), HT_OK);
    ht_rounded_free(context, &rounded);
    return out;
}

static void choice(void **state) {
    (void)state;
    fill(0);
    const ht_improved white = improve(HT_FORMAT_FP4, HT_FORMAT_NONE, 0);
    fill(0.9f);
    const ht_improved smooth = improve(HT_FORMAT_FP4, HT_FORMAT_NONE, 0);
    assert_true(white.got_db >= white.nearest_db && white.got_db - white.nearest_db < 0.5);
    assert_int_equal(smooth.rounding, HT_ROUNDING_LEARNED);
    assert_true(smooth.got_db - smooth.nearest_db > 4);
}

// A branch reads floats: it pays most where activations are of four bits.
static void branch(void **state) {
    (void)state;
    fill(0.9f);
    const ht_improved without = improve(HT_FORMAT_NVFP4, HT_FORMAT_NVFP4, 0);
    const ht_improved with = improve(HT_FORMAT_NVFP4, HT_FORMAT_NVFP4, RANK);
    assert_true(with.got_db > without.got_db + 0.5);
    assert_true(with.nearest_db == without.nearest_db);
}

// Fails at every allocation, and leaves nothing behind.
static void no_memory(void **state) {
    (void)state;
    ht_test_allocator allocator;
    ht_test_allocator_init(&allocator);
    const ht_context_desc desc = {.host_only = true, .allocator = &allocator.callbacks};
    static float u[N * RANK], v[RANK * K];
    ht_context *own = NULL;
    fill(0.5f);
    const ht_layer layer = layer_of(HT_FORMAT_NVFP4);
    const ht_improve_desc wanted = desc_of(HT_FORMAT_NVFP4, RANK);
    assert_int_equal(ht_context_create(&desc, &own), HT_OK);
    const int64_t live = allocator.live;
    ht_status status = HT_ERR_NO_MEMORY;
    for (uint64_t at = 1; status == HT_ERR_NO_MEMORY; at++) {
        ht_rounded rounded;
        ht_improved out;
        allocator.calls = 0;
        allocator.fail_at = at;
        status = ht_rounded_create(own, &layer, &rounded);
        if (status == HT_OK) {
            status = ht_improve(own, &layer, &wanted, u, v, &rounded, &out);
            ht_rounded_free(own, &rounded);
        }
        assert_true(status == HT_OK || status == HT_ERR_NO_MEMORY);
        assert_int_equal(allocator.live, live);
    }
    assert_true(allocator.fail_at > 30);
    allocator.fail_at = 0;
    ht_context_destroy(&own);
}

int main(void) {
    const ht_context_desc desc = {.host_only = true};
    ht_context_create(&desc, &context);
    const struct CMUnitTest tests[] = {cmocka_unit_test(choice), cmocka_unit_test(branch),
                                       cmocka_unit_test(no_memory)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ht_context_destroy(&context);
    return failed;
}

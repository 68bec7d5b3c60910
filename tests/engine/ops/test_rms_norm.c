// rms_norm: hand-computed rows, the device against the reference, PyTorch's results, the rules.
#include "support.h"

#include "ref.h"

#include <stdio.h>
#include <stdlib.h>

static ht_value build(ht_graph *g, const ht_value *in, const void *eps) {
    return ht_op_rms_norm(g, in[0], in[1], *(const float *)eps);
}

static const float EPS = 1e-6f;

// Each value passes a handful of f32 roundings of 2^-24; the sum of squares has no cancellation.
static const double F32_BOUND = 8.0 / 16777216;
static const double F16_BOUND = HT_TEST_F16_ROUNDING + 8.0 / 16777216;

static void test_reference_by_hand(void **state) {
    (void)state;
    const float x[] = {3, -4, 0, 0, 0, 0};
    const float weight[] = {1, 0.5f, 7};
    // Mean of squares 25 / 3; then a row of zeros, where only eps keeps the root from zero.
    const float want[] = {1.03923048f, -0.692820323f, 0, 0, 0, 0};
    float out[6];
    ht_ref_rms_norm(x, 2, 3, weight, 1e-12f, out);
    ht_test_assert_close("by hand", out, want, 6, 1e-7);
}

static void test_shapes(void **state) {
    (void)state;
    static const uint32_t widths[] = {1, 2, 4, 29, 32, 36, 508, 512, 516, 1536};
    for (size_t i = 0; i < HT_COUNT(widths); i++) {
        const uint32_t c = widths[i];
        char name[64];
        snprintf(name, sizeof name, "rms_norm width %u", c);
        const ht_test_op op = {
            .name = name,
            .build = build,
            .args = &EPS,
            .n_inputs = 2,
            .inputs = {{HT_TEST_ACTIVATIONS, 3, {1, 5, c}, NULL}, {HT_FORMAT_F32, 1, {c}, NULL}}};
        ht_test_op_check(&op, F32_BOUND, F16_BOUND);
    }
    const ht_test_op plain = {.name = "rms_norm without weight",
                              .build = build,
                              .args = &EPS,
                              .n_inputs = 2,
                              .inputs = {{HT_TEST_ACTIVATIONS, 2, {77, 64}, NULL}}};
    ht_test_op_check(&plain, F32_BOUND, F16_BOUND);
}

static void test_golden(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "ops");
    float *x = ht_test_golden_read(&golden, "rms_norm_eps1e-06/x", &desc);
    float *gain = ht_test_golden_read(&golden, "rms_norm_eps1e-06/gain", NULL);
    float *y = ht_test_golden_read(&golden, "rms_norm_eps1e-06/y", NULL);
    ht_test_op op = {.name = "rms_norm of PyTorch",
                     .build = build,
                     .args = &EPS,
                     .n_inputs = 2,
                     .inputs = {{HT_FORMAT_F32, desc.rank, {0}, x},
                                {HT_FORMAT_F32, 1, {desc.dims[desc.rank - 1]}, gain}}};
    for (uint32_t d = 0; d < desc.rank; d++) {
        op.inputs[0].dims[d] = desc.dims[d];
    }
    ht_test_op_expect(&op, desc.rank, desc.dims, y, 2 * F32_BOUND, F16_BOUND + F32_BOUND);
    free(x);
    free(gain);
    free(y);
    ht_test_golden_close(&golden);
}

static void test_rules(void **state) {
    (void)state;
    static const float negative = -0.5f;
    const struct {
        ht_test_input x, weight;
        const float *eps;
        const char *part;
    } rows[] = {
        {{HT_FORMAT_I32, 1, {4}, NULL}, {0}, &EPS, "x must be f32, f16 or bf16, not i32"},
        {{HT_FORMAT_F32, 0, {0}, NULL}, {0}, &EPS, "x must have a dimension to normalise"},
        {{HT_FORMAT_F32, 1, {4}, NULL}, {0}, &negative, "eps must not be negative, is -0.5"},
        {{HT_FORMAT_F32, 1, {4}, NULL},
         {HT_FORMAT_F32, 1, {5}, NULL},
         &EPS,
         "weight must be f32 [4], not f32 [5]"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = {.name = "rms_norm",
                               .build = build,
                               .args = rows[i].eps,
                               .n_inputs = 2,
                               .inputs = {rows[i].x, rows[i].weight}};
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// layer_norm: hand-computed rows, the device against the reference, PyTorch's results, the rules.
#include "support.h"

#include "ref.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { X, WEIGHT, BIAS, SCALE, SHIFT, N_INPUTS };

static ht_value build(ht_graph *g, const ht_value *in, const void *eps) {
    const ht_layer_norm_args args = {.eps = *(const float *)eps,
                                     .weight = in[WEIGHT],
                                     .bias = in[BIAS],
                                     .scale = in[SCALE],
                                     .shift = in[SHIFT]};
    return ht_op_layer_norm(g, in[X], &args);
}

static const float EPS = 1e-6f;

// Each value passes about ten f32 roundings of 2^-24 (mean, difference, root, products).
static const double F32_BOUND = 10.0 / 16777216;
static const double F16_BOUND = HT_TEST_F16_ROUNDING + 10.0 / 16777216;

static void test_reference_by_hand(void **state) {
    (void)state;
    // First row: mean 2, deviation sqrt(2).
    const float x[] = {0, 4, 2, 2, 5, 5, 5, 5};
    const float weight[] = {1, 1, 2, 1};
    const float bias[] = {0, 0, 1, 1};
    const float scale[] = {1, 0, 0, 0, 9, 9, 9, 1};
    const float shift[] = {0.5f, 0, 0, 0, 0, 0, 0, 3};
    const ht_ref_layer_norm_args args = {.eps = 0.0f,
                                         .weight = weight,
                                         .bias = bias,
                                         .scale = scale,
                                         .shift = shift,
                                         .rows_per_scale = 1,
                                         .rows_per_shift = 1};
    const float r = 1.41421356f;
    const float first[] = {-r * 2 + 0.5f, r, 1, 1};
    float out[8];
    ht_ref_layer_norm(x, 1, 4, &args, out);
    ht_test_assert_close("by hand", out, first, 4, 1e-7);
    // A constant row: nothing but bias and modulation is left.
    ht_ref_layer_norm_args constant = args;
    constant.eps = 1e-6f;
    const float second[] = {0, 0, 10, 5};
    constant.scale = scale + 4;
    constant.shift = shift + 4;
    ht_ref_layer_norm(x + 4, 1, 4, &constant, out);
    ht_test_assert_close("constant row", out, second, 4, 1e-7);
}

static void test_shapes(void **state) {
    (void)state;
    // Around the widths where a workgroup's invocations (8 or 128) and quads begin and end, and
    // those of real models.
    static const uint32_t widths[] = {1, 3, 4, 31, 32, 33, 36, 192, 511, 512, 516, 1152};
    for (size_t i = 0; i < HT_COUNT(widths); i++) {
        const uint32_t c = widths[i];
        char name[64];
        snprintf(name, sizeof name, "layer_norm width %u", c);
        const ht_test_op op = {.name = name,
                               .build = build,
                               .args = &EPS,
                               .n_inputs = N_INPUTS,
                               .inputs = {{HT_TEST_ACTIVATIONS, 3, {2, 3, c}, NULL}}};
        // A row of one value normalises to nothing.
        ht_test_op_check(&op, F32_BOUND, F16_BOUND);
    }
}

static void test_affine_and_modulation(void **state) {
    (void)state;
    static const uint32_t widths[] = {5, 48, 320};
    for (size_t i = 0; i < HT_COUNT(widths); i++) {
        const uint32_t c = widths[i];
        const ht_test_input x = {HT_TEST_ACTIVATIONS, 4, {2, 3, 2, c}, NULL};
        const ht_test_input vector = {HT_FORMAT_F32, 1, {c}, NULL};
        const ht_test_input per_item = {HT_TEST_ACTIVATIONS, 3, {2, 1, c}, NULL};
        const ht_test_input per_item_f32 = {HT_FORMAT_F32, 2, {2, c}, NULL};
        const ht_test_op affine = {.name = "layer_norm with weight and bias",
                                   .build = build,
                                   .args = &EPS,
                                   .n_inputs = N_INPUTS,
                                   .inputs = {x, vector, vector}};
        const ht_test_op modulated = {.name = "layer_norm with modulation",
                                      .build = build,
                                      .args = &EPS,
                                      .n_inputs = N_INPUTS,
                                      .inputs = {x, [SCALE] = per_item, per_item}};
        const ht_test_op everything = {.name = "layer_norm with everything",
                                       .build = build,
                                       .args = &EPS,
                                       .n_inputs = N_INPUTS,
                                       .inputs = {x, vector, vector, per_item_f32, vector}};
        ht_test_op_check(&affine, F32_BOUND, F16_BOUND);
        ht_test_op_check(&modulated, F32_BOUND, F16_BOUND);
        ht_test_op_check(&everything, F32_BOUND, F16_BOUND);
    }
}

static void test_large_mean_and_outliers(void **state) {
    (void)state;
    enum { WIDTH = 1152, ROWS = 4 };
    static float x[ROWS * WIDTH];
    ht_test_fill_normal(7, x, ROWS * WIDTH);
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        x[i] += i < (ROWS - 1) * WIDTH ? 1000.0f : 0.0f;
    }
    x[WIDTH] = 30000.0f;           // the first value of a row, and
    x[3 * WIDTH + 700] = -9000.0f; // one in the middle
    const ht_test_op op = {.name = "layer_norm far from zero",
                           .build = build,
                           .args = &EPS,
                           .n_inputs = N_INPUTS,
                           .inputs = {{HT_FORMAT_F32, 2, {ROWS, WIDTH}, x}}};
    // The mean, 1000 times the spread, is known to some 2^-24 of itself: the running mean errs by
    // less than 4 of them.
    const double bound = 1000 * 4.0 / 16777216;
    ht_test_op_check(&op, bound, HT_TEST_F16_ROUNDING + bound);
}

static void test_golden(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "ops");
    float *x = ht_test_golden_read(&golden, "layer_norm_eps1e-06/x", &desc);
    float *weight = ht_test_golden_read(&golden, "layer_norm_eps1e-06/gain", NULL);
    float *bias = ht_test_golden_read(&golden, "layer_norm_eps1e-06/bias", NULL);
    float *y = ht_test_golden_read(&golden, "layer_norm_eps1e-06/y", NULL);
    float *plain = ht_test_golden_read(&golden, "layer_norm_eps1e-06/y_plain", NULL);
    const uint32_t c = desc.dims[desc.rank - 1];
    ht_test_op op = {.name = "layer_norm of PyTorch",
                     .build = build,
                     .args = &EPS,
                     .n_inputs = N_INPUTS,
                     .inputs = {{HT_FORMAT_F32, desc.rank, {0}, x}}};
    for (uint32_t d = 0; d < desc.rank; d++) {
        op.inputs[X].dims[d] = desc.dims[d];
    }
    // x has mean 5, so that PyTorch's own f32 result errs by some 5 * 2^-24 more than ours may.
    const double bound = 4 * F32_BOUND;
    ht_test_op_expect(&op, desc.rank, desc.dims, plain, bound, HT_TEST_F16_ROUNDING + bound);
    op.inputs[WEIGHT] = (ht_test_input){HT_FORMAT_F32, 1, {c}, weight};
    op.inputs[BIAS] = (ht_test_input){HT_FORMAT_F32, 1, {c}, bias};
    ht_test_op_expect(&op, desc.rank, desc.dims, y, bound, HT_TEST_F16_ROUNDING + bound);
    free(x);
    free(weight);
    free(bias);
    free(y);
    free(plain);
    ht_test_golden_close(&golden);
}

static void test_rules(void **state) {
    (void)state;
    static const float negative = -1.0f;
    const ht_test_input x = {HT_FORMAT_F32, 3, {2, 3, 8}, NULL};
    const struct {
        ht_test_input inputs[N_INPUTS];
        const float *eps;
        const char *part;
    } rows[] = {
        {{{HT_FORMAT_I32, 1, {8}, NULL}}, &EPS, "x must be f32, f16 or bf16, not i32"},
        {{{HT_FORMAT_F32, 0, {0}, NULL}}, &EPS, "x must have a dimension to normalise"},
        {{x}, &negative, "eps must not be negative, is -1"},
        {{x, {HT_FORMAT_F32, 1, {7}, NULL}}, &EPS, "weight must be f32 [8], not f32 [7]"},
        {{x, {HT_FORMAT_F16, 1, {8}, NULL}}, &EPS, "weight must be f32 [8], not f16 [8]"},
        {{x, {0}, {HT_FORMAT_F32, 2, {2, 8}, NULL}}, &EPS, "bias must be f32 [8], not f32 [2, 8]"},
        {{x, {0}, {0}, {HT_FORMAT_F32, 2, {3, 8}, NULL}},
         &EPS,
         "scale must be a float [8] or [2, 8], not f32 [3, 8]"},
        {{x, {0}, {0}, {0}, {HT_FORMAT_F32, 1, {4}, NULL}},
         &EPS,
         "shift must be a float [8] or [2, 8], not f32 [4]"},
        {{{0}}, &EPS, "x must be f32, f16 or bf16, not"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_op op = {
            .name = "layer_norm", .build = build, .args = rows[i].eps, .n_inputs = N_INPUTS};
        for (uint32_t k = 0; k < N_INPUTS; k++) {
            op.inputs[k] = rows[i].inputs[k];
        }
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

static void test_without_host_memory(void **state) {
    (void)state;
    const ht_test_op op = {.name = "layer_norm without memory",
                           .build = build,
                           .args = &EPS,
                           .n_inputs = N_INPUTS,
                           .inputs = {{HT_FORMAT_F32, 2, {2, 8}, NULL}}};
    ht_test_op_starve(&op);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_affine_and_modulation),
        cmocka_unit_test(test_large_mean_and_outliers),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_without_host_memory),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

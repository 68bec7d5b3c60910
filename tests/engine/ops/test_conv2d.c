// conv2d: hand-computed pictures, the device against the reference over geometries and formats,
// PyTorch's results, the rules.
#include "support.h"

#include "ref_gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { X, W, BIAS, GATE, RESIDUAL, N_INPUTS };

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    ht_conv2d_args a = *(const ht_conv2d_args *)args;
    a.epilogue.bias = in[BIAS];
    a.epilogue.gate = in[GATE];
    a.epilogue.residual = in[RESIDUAL];
    return ht_op_conv2d(g, in[X], in[W], &a);
}

// As for linear (test_linear.c), with taps * channels products per sum.
static double f32_bound(uint32_t depth) {
    return 3.0 * (sqrt((double)depth) + 10.0) / 16777216;
}

// Winograd's way (ht_winograd.glsl), which the CPU tier takes for many pixels and channels, sums
// channels only, but the errors of its products reach the results amplified. For independent values
// the root of the mean, over results i, of the sum over t of A[i][t]^2 |B[t]|^2 |G[t]|^2 / 3, in
// each of two directions, is 5.02 for its points.
static double winograd_bound(uint32_t channels) {
    return 5.02 * f32_bound(channels);
}

static double f16_bound(uint32_t depth) {
    return HT_TEST_F16_ROUNDING + f32_bound(depth);
}

static void test_reference_by_hand(void **state) {
    (void)state;
    const float x[] = {1, 2, 3, 4};                      // 2 x 2, one channel
    const float w[] = {0, 0, 0, 0, 1, 10, 0, 100, 1000}; // 3 x 3: itself, right, below, both
    ht_ref_conv2d_args args = {.batch = 1,
                               .in_h = 2,
                               .in_w = 2,
                               .in_channels = 1,
                               .out_h = 2,
                               .out_w = 2,
                               .out_channels = 1,
                               .kernel_h = 3,
                               .kernel_w = 3,
                               .stride = 1,
                               .upsample = 1,
                               .pad_top = 1,
                               .pad_left = 1};
    float out[16];
    const float same[] = {4321, 402, 43, 4};
    ht_ref_conv2d(x, w, &args, out);
    ht_test_assert_close("same size", out, same, 4, 0.0);
    args.stride = 2;
    args.out_h = args.out_w = 1;
    ht_ref_conv2d(x, w, &args, out);
    ht_test_assert_close("stride 2", out, same, 1, 0.0);
    // Enlarged to rows 1 1 2 2 / 1 1 2 2 / 3 3 4 4 / 3 3 4 4.
    args.stride = 1;
    args.upsample = 2;
    args.out_h = args.out_w = 4;
    const float large[] = {1111, 2121, 2222, 202, 3311, 4321, 4422, 402,
                           3333, 4343, 4444, 404, 33,   43,   44,   4};
    ht_ref_conv2d(x, w, &args, out);
    ht_test_assert_close("enlarged", out, large, 16, 0.0);
}

typedef struct shape {
    uint32_t batch, height, width, in, out, kernel;
    ht_conv2d_args args;
} shape;

static void check_within(const shape *s, ht_format w_format, double f32) {
    char name[128];
    snprintf(name, sizeof name, "conv2d %ux%ux%ux%u -> %u, kernel %u, stride %u, upsample %u, w %s",
             s->batch, s->height, s->width, s->in, s->out, s->kernel, s->args.stride,
             s->args.upsample, ht_format_name(w_format));
    const ht_test_op op = {
        .name = name,
        .build = build,
        .args = &s->args,
        .n_inputs = N_INPUTS,
        .inputs = {{HT_TEST_ACTIVATIONS, 4, {s->batch, s->height, s->width, s->in}, NULL},
                   {w_format, 4, {s->out, s->kernel, s->kernel, s->in}, NULL},
                   {HT_FORMAT_F32, 1, {s->out}, NULL}}};
    ht_test_op_check(&op, f32, HT_TEST_F16_ROUNDING + f32);
}

static void check_shape(const shape *s, ht_format w_format) {
    check_within(s, w_format, f32_bound(s->kernel * s->kernel * s->in));
}

#define SAME                                                                                       \
    { .stride = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1, .upsample = 1 }
#define POINT                                                                                      \
    { .stride = 1, .upsample = 1 }

static void test_shapes(void **state) {
    (void)state;
    static const shape shapes[] = {
        {1, 1, 1, 1, 1, 1, POINT},    {1, 1, 1, 4, 4, 3, SAME},
        {1, 8, 8, 4, 32, 3, SAME}, // latents
        {2, 5, 7, 8, 20, 3, SAME}, // not a multiple of any tile
        {1, 9, 8, 16, 3, 3, SAME}, // to a picture
        {1, 6, 5, 3, 12, 3, SAME}, // from a picture
        {2, 4, 9, 20, 33, 1, POINT},  {1, 8, 8, 64, 64, 3, SAME},
        {1, 16, 16, 36, 68, 3, SAME},
    };
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        check_shape(&shapes[i], HT_FORMAT_F16);
    }
}

static void test_geometries(void **state) {
    (void)state;
    static const shape shapes[] = {
        {1, 8, 8, 8, 16, 3, {.stride = 2, .pad_top = 1, .pad_left = 1, .upsample = 1}},
        // VAE encoders pad on the right and below only.
        {2, 8, 6, 8, 16, 3, {.stride = 2, .pad_bottom = 1, .pad_right = 1, .upsample = 1}},
        {2, 7, 9, 8, 16, 3, {.stride = 2, .pad_bottom = 1, .pad_right = 1, .upsample = 1}},
        // Patches.
        {1, 8, 12, 4, 24, 2, {.stride = 2, .upsample = 1}},
        {1, 17, 9, 4, 24, 4, {.stride = 4, .upsample = 1}},
        // Enlarged by nearest neighbour first.
        {2,
         5,
         4,
         8,
         16,
         3,
         {.stride = 1,
          .pad_top = 1,
          .pad_left = 1,
          .pad_bottom = 1,
          .pad_right = 1,
          .upsample = 2}},
        {1, 3, 5, 8, 16, 3, {.stride = 2, .pad_top = 2, .pad_right = 3, .upsample = 2}},
        // More padding than kernel: rows that read nothing.
        {1, 3, 3, 8, 16, 3, {.stride = 1, .pad_top = 4, .pad_left = 5, .upsample = 1}},
        {1, 3, 300, 4, 8, 1, POINT},
    };
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        check_shape(&shapes[i], HT_FORMAT_F16);
    }
}

static void test_model_shapes(void **state) {
    (void)state;
    static const shape shapes[] = {
        {1, 16, 16, 320, 64, 3, SAME},
        {1, 8, 8, 512, 4, 3, SAME},
    };
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        check_shape(&shapes[i], HT_FORMAT_F16);
    }
}

static void test_weight_formats(void **state) {
    (void)state;
    static const ht_format formats[] = {HT_FORMAT_F32, HT_FORMAT_BF16};
    static const shape s = {2, 5, 7, 8, 20, 3, SAME};
    for (size_t i = 0; i < HT_COUNT(formats); i++) {
        check_shape(&s, formats[i]);
    }
}

// Every input of the epilogue is there; see `build`.
static const ht_conv2d_args WITH_SILU = {.stride = 1,
                                         .pad_top = 1,
                                         .pad_left = 1,
                                         .pad_bottom = 1,
                                         .pad_right = 1,
                                         .upsample = 1,
                                         .epilogue = {.act = HT_ACT_SILU}};

static void test_epilogue(void **state) {
    (void)state;
    const ht_test_op op = {.name = "conv2d with everything",
                           .build = build,
                           .args = &WITH_SILU,
                           .n_inputs = N_INPUTS,
                           .inputs = {{HT_TEST_ACTIVATIONS, 4, {2, 5, 4, 8}, NULL},
                                      {HT_FORMAT_F16, 4, {20, 3, 3, 8}, NULL},
                                      {HT_FORMAT_F32, 1, {20}, NULL},
                                      {HT_TEST_ACTIVATIONS, 2, {2, 20}, NULL},
                                      {HT_TEST_ACTIVATIONS, 4, {2, 5, 4, 20}, NULL}}};
    ht_test_op_check(&op, f32_bound(72), f16_bound(72));
}

static void test_winograd(void **state) {
    (void)state;
    static const shape shapes[] = {
        {1, 32, 32, 64, 64, 3, SAME},
        {2, 33, 34, 72, 60, 3, SAME},   // cut tiles, more than one picture
        {1, 124, 124, 64, 64, 3, SAME}, // more than one chunk of tiles
        {1, 36, 33, 64, 64, 3, {.stride = 1, .pad_top = 1, .pad_left = 1, .upsample = 2}},
        {1, 36, 33, 64, 64, 3, {.stride = 1, .pad_left = 2, .pad_bottom = 1, .upsample = 1}},
    };
    const ht_test_op everything = {.name = "conv2d with everything, many pixels",
                                   .build = build,
                                   .args = &WITH_SILU,
                                   .n_inputs = N_INPUTS,
                                   .inputs = {{HT_TEST_ACTIVATIONS, 4, {2, 33, 32, 64}, NULL},
                                              {HT_FORMAT_F32, 4, {64, 3, 3, 64}, NULL},
                                              {HT_FORMAT_F32, 1, {64}, NULL},
                                              {HT_TEST_ACTIVATIONS, 2, {2, 64}, NULL},
                                              {HT_TEST_ACTIVATIONS, 4, {2, 33, 32, 64}, NULL}}};
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        check_within(&shapes[i], HT_FORMAT_F16, winograd_bound(shapes[i].in));
    }
    ht_test_op_check(&everything, winograd_bound(64),
                     HT_TEST_F16_ROUNDING + winograd_bound(64));
}

static void check_golden(ht_test_golden *golden, const char *name, const ht_conv2d_args *args) {
    const char *const parts[] = {"x", "w", "y"};
    char tensor[96];
    float *values[3];
    ht_tensor_desc desc[3];
    for (size_t p = 0; p < HT_COUNT(parts); p++) {
        snprintf(tensor, sizeof tensor, "%s/%s", name, parts[p]);
        values[p] = ht_test_golden_read_nhwc(golden, tensor, &desc[p]);
    }
    snprintf(tensor, sizeof tensor, "%s/b", name);
    float *bias = ht_test_golden_read(golden, tensor, NULL);
    ht_test_op op = {.name = name,
                     .build = build,
                     .args = args,
                     .n_inputs = N_INPUTS,
                     .inputs = {{HT_TEST_ACTIVATIONS, 4, {0}, values[0]},
                                {HT_FORMAT_F32, 4, {0}, values[1]},
                                {HT_FORMAT_F32, 1, {desc[1].dims[0]}, bias}}};
    for (int i = 0; i < 4; i++) {
        op.inputs[X].dims[i] = desc[0].dims[i];
        op.inputs[W].dims[i] = desc[1].dims[i];
    }
    const uint32_t depth = desc[1].dims[1] * desc[1].dims[2] * desc[1].dims[3];
    // With f16 activations x is rounded as well as the result.
    ht_test_op_expect(&op, 4, desc[2].dims, values[2], f32_bound(depth),
                      2.0 * HT_TEST_F16_ROUNDING + f32_bound(depth));
    for (size_t p = 0; p < HT_COUNT(parts); p++) {
        free(values[p]);
    }
    free(bias);
}

static void test_golden(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ht_conv2d_args args;
    } rows[] = {
        {"conv3x3", SAME},
        {"conv3x3_stride2",
         {.stride = 2,
          .pad_top = 1,
          .pad_left = 1,
          .pad_bottom = 1,
          .pad_right = 1,
          .upsample = 1}},
        {"conv3x3_stride2_right_bottom",
         {.stride = 2, .pad_bottom = 1, .pad_right = 1, .upsample = 1}},
        {"conv3x3_stride2_right_bottom_even",
         {.stride = 2, .pad_bottom = 1, .pad_right = 1, .upsample = 1}},
        {"conv1x1", POINT},
        {"conv2x2_stride2", {.stride = 2, .upsample = 1}},
    };
    ht_test_golden golden;
    ht_test_golden_open(&golden, "ops");
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        check_golden(&golden, rows[i].name, &rows[i].args);
    }
    ht_test_golden_close(&golden);
}

static void test_rules(void **state) {
    (void)state;
    static const ht_conv2d_args point = POINT;
    static const ht_conv2d_args no_stride = {.stride = 0, .upsample = 1};
    static const ht_conv2d_args no_upsample = {.stride = 1, .upsample = 0};
    static const ht_conv2d_args upsample3 = {.stride = 1, .upsample = 3};
    static const ht_conv2d_args huge = {.stride = 1, .upsample = 1, .pad_left = UINT32_MAX};
    const ht_test_input x = {HT_FORMAT_F32, 4, {1, 4, 4, 8}, NULL};
    const ht_test_input w = {HT_FORMAT_F16, 4, {4, 3, 3, 8}, NULL};
    const ht_test_input x3 = {HT_FORMAT_F32, 3, {4, 4, 8}, NULL};
    const ht_test_input ids = {HT_FORMAT_I32, 4, {1, 4, 4, 8}, NULL};
    const struct {
        ht_test_op op;
        const char *part;
    } rows[] = {
        {{.inputs = {ids, w}, .args = &point}, "x must be"},
        {{.inputs = {x3, w}, .args = &point}, "x must be [B, H, W, I]"},
        {{.inputs = {x, ids}, .args = &point}, "w must be"},
        {{.inputs = {x, x3}, .args = &point}, "w must be [O, kh, kw, 8]"},
        {{.inputs = {x, {HT_FORMAT_F16, 4, {4, 3, 3, 7}, NULL}}, .args = &point}, "w must be"},
        {{.inputs = {x, w}, .args = &no_stride}, "stride must be"},
        {{.inputs = {x, w}, .args = &no_upsample}, "upsample must be"},
        {{.inputs = {x, w}, .args = &upsample3}, "upsample must be"},
        {{.inputs = {x, w}, .args = &huge}, "limited"},
        {{.inputs = {x, {HT_FORMAT_F16, 4, {4, 5, 3, 8}, NULL}}, .args = &point}, "larger than"},
        {{.inputs = {x, w, {HT_FORMAT_F32, 1, {5}, NULL}}, .args = &point}, "bias"},
        {{.inputs = {x, w, [GATE] = {HT_FORMAT_F32, 2, {2, 4}, NULL}}, .args = &point}, "gate"},
        {{.inputs = {x, w, [RESIDUAL] = {HT_FORMAT_F32, 4, {1, 4, 4, 4}, NULL}}, .args = &point},
         "residual must"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_op op = rows[i].op;
        op.name = rows[i].part;
        op.build = build;
        op.n_inputs = N_INPUTS;
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

static void test_memory(void **state) {
    (void)state;
    static const ht_conv2d_args point = POINT;
    const ht_test_op op = {
        .name = "conv2d",
        .build = build,
        .args = &point,
        .n_inputs = N_INPUTS,
        .inputs = {{HT_FORMAT_F32, 4, {1, 4, 4, 8}, NULL}, {HT_FORMAT_F16, 4, {4, 3, 3, 8}, NULL}}};
    ht_test_op_starve(&op);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_geometries),
        cmocka_unit_test(test_model_shapes),
        cmocka_unit_test(test_weight_formats),
        cmocka_unit_test(test_epilogue),
        cmocka_unit_test(test_winograd),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_memory),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

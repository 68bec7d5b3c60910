// conv2d with packed weights: a tap of an output channel is a row of codes with scales of its own.
#include "packed_pair.h"

#define SAME                                                                                       \
    { .stride = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1, .upsample = 1 }

static ht_value build_pair(ht_graph *g, ht_value x, ht_value w, ht_value bias, const void *args) {
    ht_conv2d_args a = *(const ht_conv2d_args *)args;
    a.epilogue = HT_EPILOGUE_NONE;
    a.epilogue.bias = bias;
    return ht_op_conv2d(g, x, w, &a);
}

static uint32_t side(uint32_t in, uint32_t pads, uint32_t kernel, const ht_conv2d_args *args) {
    return (in * args->upsample + pads - kernel) / args->stride + 1;
}

static ht_ref_conv2d_args reference_args(const packed_pair *pair, const float *bias) {
    const ht_conv2d_args *a = pair->args;
    const uint32_t *x = pair->x.dims, *w = pair->w.dims;
    return (ht_ref_conv2d_args){.batch = x[0],
                                .in_h = x[1],
                                .in_w = x[2],
                                .in_channels = x[3],
                                .out_h = side(x[1], a->pad_top + a->pad_bottom, w[1], a),
                                .out_w = side(x[2], a->pad_left + a->pad_right, w[2], a),
                                .out_channels = w[0],
                                .kernel_h = w[1],
                                .kernel_w = w[2],
                                .stride = a->stride,
                                .upsample = a->upsample,
                                .pad_top = a->pad_top,
                                .pad_left = a->pad_left,
                                .epilogue = {.bias = bias}};
}

static void on_codes(const packed_pair *pair, const void *x, const void *w, const float *bias,
                     float *out) {
    const ht_ref_conv2d_args args = reference_args(pair, bias);
    const ht_ref_packed of_x = {&pair->x, x, pair->piece}, of_w = {&pair->w, w, 0};
    ht_ref_packed_conv2d(&of_x, &of_w, &args, out);
}

static void on_floats(const packed_pair *pair, const float *x, const float *w, const float *bias,
                      float *out) {
    const ht_ref_conv2d_args args = reference_args(pair, bias);
    ht_ref_conv2d(x, w, &args, out);
}

typedef struct shape {
    uint32_t batch, height, width, in, out, kernel;
    ht_conv2d_args args;
} shape;

static void check_shape(const shape *s, ht_format w, ht_format x) {
    char text[96];
    snprintf(text, sizeof text, "conv2d %ux%ux%ux%u -> %u, kernel %u, stride %u, upsample %u",
             s->batch, s->height, s->width, s->in, s->out, s->kernel, s->args.stride,
             s->args.upsample);
    packed_pair pair = {
        .x = {.format = x, .rank = 4, .dims = {s->batch, s->height, s->width, s->in}},
        .w = {.format = w, .rank = 4, .dims = {s->out, s->kernel, s->kernel, s->in}},
        .columns = s->out,
        .taps = s->kernel * s->kernel,
        .args = &s->args,
        .build = build_pair,
        .on_codes = on_codes,
        .on_floats = on_floats};
    const ht_ref_conv2d_args out = reference_args(&pair, NULL);
    pair_check(&pair, text, (size_t)out.batch * out.out_h * out.out_w * out.out_channels);
}

static void test_pairs(void **state) {
    (void)state;
    static const shape s = {1, 2, 3, 40, 6, 3, SAME};
    static const ht_format inputs[] = {HT_FORMAT_F16, HT_FORMAT_INT8, HT_FORMAT_MXFP8};
    static const ht_format some[] = {HT_FORMAT_FP4, HT_FORMAT_FP4_I8, HT_FORMAT_INT4Z,
                                     HT_FORMAT_NVFP4, HT_FORMAT_E4M3};
    for (size_t x = 0; x < HT_COUNT(inputs); x++) {
        for (size_t w = 0; w < HT_COUNT(some); w++) {
            check_shape(&s, some[w], inputs[x]);
        }
    }
}

static void test_geometries(void **state) {
    (void)state;
    static const shape shapes[] = {
        {1, 1, 1, 4, 4, 3, SAME},
        {2, 5, 7, 36, 20, 3, SAME},
        {2, 4, 9, 70, 33, 1, {.stride = 1, .upsample = 1}},
        {2, 7, 9, 32, 16, 3, {.stride = 2, .pad_bottom = 1, .pad_right = 1, .upsample = 1}},
        {1, 3, 5, 33, 16, 3, {.stride = 2, .pad_top = 2, .pad_right = 3, .upsample = 2}},
        // More padding than kernel: rows that read nothing.
        {1, 3, 3, 8, 16, 3, {.stride = 1, .pad_top = 4, .pad_left = 5, .upsample = 1}},
    };
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        check_shape(&shapes[i], HT_FORMAT_INT8, HT_FORMAT_INT8);
        check_shape(&shapes[i], HT_FORMAT_FP4, HT_FORMAT_INT8);
        check_shape(&shapes[i], HT_FORMAT_INT4, HT_FORMAT_F16);
        check_shape(&shapes[i], HT_FORMAT_BIN1, HT_FORMAT_INT8);
        check_shape(&shapes[i], HT_FORMAT_BIN1, HT_FORMAT_BIN1);
        check_shape(&shapes[i], HT_FORMAT_BIN2, HT_FORMAT_INT4_PLANES);
    }
}

// More channels than f32 can count over, in each of several taps.
static void test_long_rows(void **state) {
    (void)state;
    static const shape s = {1, 2, 2, 1056, 5, 2, {.stride = 1, .pad_top = 1, .upsample = 1}};
    check_shape(&s, HT_FORMAT_INT8, HT_FORMAT_INT8);
}

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    ht_conv2d_args a = {.stride = 1, .upsample = 1, .epilogue = HT_EPILOGUE_NONE};
    (void)args;
    return ht_op_conv2d(g, in[0], in[1], &a);
}

static void test_rules(void **state) {
    (void)state;
    const ht_test_input x = {HT_FORMAT_INT8, 4, {1, 3, 3, 64}, NULL};
    const struct {
        ht_test_op op;
        const char *part;
    } rows[] = {
        {{.inputs = {x, {HT_FORMAT_F16, 4, {4, 1, 1, 64}, NULL}}},
         "w must be packed where x is (int8)"},
        {{.inputs = {{HT_FORMAT_INT4Z, 4, {1, 3, 3, 64}, NULL},
                     {HT_FORMAT_INT8, 4, {4, 1, 1, 64}, NULL}}},
         "x cannot have zero points (int4z)"},
        {{.inputs = {x, {HT_FORMAT_INT8, 4, {4, 1, 1, 65}, NULL}}}, "w must be [O, kh, kw, 64]"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_op op = rows[i].op;
        op.name = rows[i].part;
        op.build = build;
        op.n_inputs = 2;
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_geometries),
        cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// group_norm: hand-computed groups, the device against the reference, PyTorch's results, accuracy
// far from zero, statistics measured and given, the rules.
#include "support.h"

#include "ref.h"

#include <stdio.h>
#include <stdlib.h>

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    ht_group_norm_args a = *(const ht_group_norm_args *)args;
    a.weight = in[1];
    a.bias = in[2];
    a.statistics = in[3];
    return ht_op_group_norm(g, in[0], &a);
}

// Each value passes about ten f32 roundings of 2^-24 (moments, root, products), activations four
// more.
static const double F32_BOUND = 14.0 / 16777216;
static const double F16_BOUND = HT_TEST_F16_ROUNDING + 14.0 / 16777216;

static ht_test_op make_op(const char *name, const ht_group_norm_args *args, uint32_t channels) {
    return (ht_test_op){.name = name,
                        .build = build,
                        .args = args,
                        .n_inputs = 4, // the last, statistics, are x's own
                        .inputs = {{0},
                                   {HT_FORMAT_F32, 1, {channels}, NULL},
                                   {HT_FORMAT_F32, 1, {channels}, NULL}}};
}

static void test_reference_by_hand(void **state) {
    (void)state;
    // Two positions of four channels in two groups: {1, 3, 1, 3} and {0, 0, 4, 4}.
    const float x[] = {1, 3, 0, 0, 1, 3, 4, 4};
    const float weight[] = {1, 1, 1, 2};
    const float bias[] = {0, 0.5f, 0, 0};
    const float want[] = {-1, 1.5f, -1, -2, -1, 1.5f, 1, 2};
    const float relu[] = {0, 1.5f, 0, 0, 0, 1.5f, 1, 2};
    ht_ref_group_norm_args args = {.groups = 2, .weight = weight, .bias = bias};
    float out[8];
    ht_ref_group_norm(x, 1, 2, 4, &args, out);
    ht_test_assert_close("by hand", out, want, 8, 1e-7);
    args.act = HT_ACT_RELU;
    ht_ref_group_norm(x, 1, 2, 4, &args, out);
    ht_test_assert_close("by hand, relu", out, relu, 8, 1e-7);
}

static void test_shapes(void **state) {
    (void)state;
    static const struct {
        uint32_t batch, height, width, channels, groups;
    } rows[] = {
        {1, 1, 1, 4, 1},     {2, 3, 5, 4, 4},    {1, 7, 9, 6, 3},    {2, 8, 8, 12, 3},
        {1, 9, 7, 30, 5},    {1, 8, 8, 32, 32},  {1, 16, 16, 36, 9}, {1, 31, 33, 128, 32},
        {1, 64, 65, 64, 32}, {2, 5, 5, 320, 32}, {1, 2, 2, 516, 4},  {1, 130, 130, 8, 2},
        {1, 3, 9, 256, 32},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const uint32_t c = rows[i].channels;
        const ht_group_norm_args args = {.groups = rows[i].groups, .eps = 1e-6f};
        char name[80];
        snprintf(name, sizeof name, "group_norm %ux%ux%ux%u in %u", rows[i].batch, rows[i].height,
                 rows[i].width, c, rows[i].groups);
        ht_test_op op = make_op(name, &args, c);
        op.inputs[0] = (ht_test_input){
            HT_TEST_ACTIVATIONS, 4, {rows[i].batch, rows[i].height, rows[i].width, c}, NULL};
        ht_test_op_check(&op, F32_BOUND, F16_BOUND);
    }
}

static void test_activation_and_tokens(void **state) {
    (void)state;
    const ht_group_norm_args args = {.groups = 8, .eps = 1e-5f, .act = HT_ACT_SILU};
    ht_test_op op = make_op("group_norm with silu", &args, 64);
    op.inputs[0] = (ht_test_input){HT_TEST_ACTIVATIONS, 3, {2, 300, 64}, NULL};
    ht_test_op_check(&op, F32_BOUND, F16_BOUND);
}

static void test_far_from_zero(void **state) {
    (void)state;
    enum { SIDE = 96, CHANNELS = 32, COUNT = SIDE * SIDE * CHANNELS };
    const ht_group_norm_args args = {.groups = 8, .eps = 1e-6f};
    float *x = malloc(COUNT * sizeof *x);
    assert_non_null(x);
    ht_test_fill_normal(3, x, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        x[i] += 1000.0f;
    }
    x[0] = -20000.0f; // an outlier where a shift by the first value would be fooled
    ht_test_op op = make_op("group_norm far from zero", &args, CHANNELS);
    op.inputs[0] = (ht_test_input){HT_FORMAT_F32, 4, {1, SIDE, SIDE, CHANNELS}, x};
    // The mean is 1000 times the spread and known to a few 2^-24 of itself.
    const double bound = 1000 * 4.0 / 16777216;
    ht_test_op_check(&op, bound, HT_TEST_F16_ROUNDING + bound);
    free(x);
}

static void test_golden(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ht_group_norm_args args;
    } rows[] = {
        {"group_norm_4_eps1e-06", {.groups = 4, .eps = 1e-6f}},
        {"group_norm_3_eps1e-05", {.groups = 3, .eps = 1e-5f}},
        {"group_norm_12_eps1e-06", {.groups = 12, .eps = 1e-6f}},
    };
    ht_test_golden golden;
    ht_test_golden_open(&golden, "ops");
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        char key[80];
        ht_tensor_desc x_desc, y_desc;
        snprintf(key, sizeof key, "%s/x", rows[i].name);
        float *x = ht_test_golden_read_nhwc(&golden, key, &x_desc);
        snprintf(key, sizeof key, "%s/y", rows[i].name);
        float *y = ht_test_golden_read_nhwc(&golden, key, &y_desc);
        snprintf(key, sizeof key, "%s/gain", rows[i].name);
        float *gain = ht_test_golden_read(&golden, key, NULL);
        snprintf(key, sizeof key, "%s/bias", rows[i].name);
        float *bias = ht_test_golden_read(&golden, key, NULL);
        const uint32_t *d = x_desc.dims;
        ht_test_op op = make_op(rows[i].name, &rows[i].args, d[3]);
        op.inputs[0] = (ht_test_input){HT_FORMAT_F32, 4, {d[0], d[1], d[2], d[3]}, x};
        op.inputs[1].values = gain;
        op.inputs[2].values = bias;
        // PyTorch computes x * scale + shift in f32, where x has mean 3: its own error is twice
        // that of the reference's bound.
        ht_test_op_expect(&op, 4, y_desc.dims, y, 3 * F32_BOUND, F16_BOUND + 2 * F32_BOUND);
        free(x);
        free(y);
        free(gain);
        free(bias);
    }
    ht_test_golden_close(&golden);
}

static ht_value build_statistics(ht_graph *g, const ht_value *in, const void *args) {
    return ht_op_group_statistics(g, in[0], *(const uint32_t *)args);
}

static void test_statistics_by_hand(void **state) {
    (void)state;
    // The groups of test_reference_by_hand.
    const float x[] = {1, 3, 0, 0, 1, 3, 4, 4}, want[] = {2, 1, 2, 4};
    const float weight[] = {1, 1, 1, 2}, bias[] = {0, 0.5f, 0, 0};
    const float given[] = {1, 4, 0, 1}, normed[] = {0, 1.5f, 0, 0, 0, 1.5f, 4, 8};
    const ht_ref_group_norm_args args = {
        .groups = 2, .weight = weight, .bias = bias, .statistics = given};
    float out[8];
    ht_ref_group_statistics(x, 1, 2, 4, 2, out);
    ht_test_assert_close("by hand", out, want, 4, 1e-7);
    ht_ref_group_norm(x, 1, 2, 4, &args, out);
    ht_test_assert_close("by hand, given", out, normed, 8, 1e-7);
}

// Measured, and as what x is normalised by.
static void test_statistics(void **state) {
    (void)state;
    static const struct {
        uint32_t batch, positions, channels, groups;
    } rows[] = {{1, 1, 4, 1}, {2, 15, 6, 3}, {1, 1023, 128, 32}, {2, 25, 320, 32}, {1, 27, 30, 5}};
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const uint32_t b = rows[i].batch, c = rows[i].channels, groups = rows[i].groups;
        const ht_test_input x = {HT_TEST_ACTIVATIONS, 3, {b, rows[i].positions, c}, NULL};
        const ht_test_op measure = {.name = "group_statistics",
                                    .build = build_statistics,
                                    .args = &rows[i].groups,
                                    .n_inputs = 1,
                                    .inputs = {x}};
        // The result is f32 whatever x is; a mean near zero is exact to the spread, not to itself.
        ht_test_op_check(&measure, F32_BOUND, F32_BOUND);
        const ht_group_norm_args args = {.groups = groups, .eps = 1e-6f, .act = HT_ACT_SILU};
        float given[128];
        ht_test_fill_uniform(5, given, (size_t)2 * b * groups, 0.25f, 2.0f);
        ht_test_op op = make_op("group_norm by given statistics", &args, c);
        op.inputs[0] = x;
        op.inputs[3] = (ht_test_input){HT_FORMAT_F32, 3, {b, groups, 2}, given};
        ht_test_op_check(&op, F32_BOUND, F16_BOUND);
    }
}

static void test_rules(void **state) {
    (void)state;
    const ht_test_input x = {HT_FORMAT_F32, 4, {1, 2, 2, 8}, NULL};
    const ht_test_input v8 = {HT_FORMAT_F32, 1, {8}, NULL};
    const struct {
        ht_test_input x, weight, bias;
        ht_group_norm_args args;
        const char *part;
    } rows[] = {
        {{HT_FORMAT_I32, 2, {1, 8}, NULL}, v8, v8, {.groups = 2}, "x must be f32, f16 or bf16"},
        {{HT_FORMAT_F32, 1, {8}, NULL}, v8, v8, {.groups = 2}, "x must be [B, .., C], has rank 1"},
        {x, v8, v8, {.groups = 3}, "3 groups do not divide 8 channels"},
        {x, v8, v8, {.groups = 0}, "0 groups do not divide 8 channels"},
        {x, v8, v8, {.groups = 2, .eps = -1.0f}, "eps must not be negative, is -1"},
        {x, {0}, v8, {.groups = 2}, "weight and bias must be given"},
        {x, {HT_FORMAT_F32, 1, {4}, NULL}, v8, {.groups = 2}, "weight must be f32 [8]"},
        {x, v8, {HT_FORMAT_F16, 1, {8}, NULL}, {.groups = 2}, "bias must be f32 [8]"},
        {x, v8, v8, {.groups = 2, .act = (ht_activation)77}, "there is no activation 77"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = {.name = "group_norm",
                               .build = build,
                               .args = &rows[i].args,
                               .n_inputs = 4,
                               .inputs = {rows[i].x, rows[i].weight, rows[i].bias}};
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
    const ht_group_norm_args args = {.groups = 2};
    const uint32_t three = 3;
    ht_test_op op = make_op("group_norm", &args, 8);
    op.inputs[0] = x;
    op.inputs[3] = (ht_test_input){HT_FORMAT_F32, 3, {1, 4, 2}, NULL};
    ht_test_op_refuse(&op, HT_ERR_INVALID, "statistics must be f32 [1, 2, 2]");
    op = (ht_test_op){
        .name = "group_statistics", .build = build_statistics, .args = &three, .n_inputs = 1};
    op.inputs[0] = x;
    ht_test_op_refuse(&op, HT_ERR_INVALID, "3 groups do not divide 8 channels");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_activation_and_tokens),
        cmocka_unit_test(test_far_from_zero),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_statistics_by_hand),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// linear: hand-computed sums, the device against the reference over shapes and formats, PyTorch's
// results, the rules.
#include "support.h"

#include "ref_gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { X, W, BIAS, GATE, RESIDUAL, N_INPUTS };

static ht_value build(ht_graph *g, const ht_value *in, const void *act) {
    const ht_epilogue epilogue = {.bias = in[BIAS],
                                  .act = act != NULL ? *(const ht_activation *)act : HT_ACT_NONE,
                                  .gate = in[GATE],
                                  .residual = in[RESIDUAL]};
    return ht_op_linear(g, in[X], in[W], &epilogue);
}

// Inputs are normal, so the sum of k products has deviation sqrt(k), and each of the k partial
// sums is rounded by at most 2^-24 of at most that: in quadrature sqrt(k) 2^-24 of the result. The
// epilogue adds about ten roundings; an activation may shrink the result to a third.
static double f32_bound(uint32_t depth) {
    return 3.0 * (sqrt((double)depth) + 10.0) / 16777216;
}

static double f16_bound(uint32_t depth) {
    return HT_TEST_F16_ROUNDING + f32_bound(depth);
}

static void test_reference_by_hand(void **state) {
    (void)state;
    const float x[] = {1, 2, 3, -1, 0, 4}; // 2 rows
    const float w[] = {1, 0, 2, 0, -1, 1}; // 2 columns
    const float bias[] = {10, -2};
    const float gate[] = {1, 2, 3, 4};
    const float residual[] = {100, 200, 300, 400};
    float out[4];
    const ht_ref_epilogue none = {.act = HT_ACT_NONE};
    const float plain[] = {7, 1, 7, 4};
    ht_ref_linear(x, 2, 3, w, 2, &none, out);
    ht_test_assert_close("sums", out, plain, 4, 0.0);
    const ht_ref_epilogue all = {
        .bias = bias, .act = HT_ACT_RELU, .gate = gate, .rows_per_gate = 1, .residual = residual};
    const float finished[] = {117, 200, 351, 408};
    ht_ref_linear(x, 2, 3, w, 2, &all, out);
    ht_test_assert_close("epilogue", out, finished, 4, 0.0);
    ht_ref_epilogue shared = all;
    shared.rows_per_gate = 2;
    const float once[] = {117, 200, 317, 404};
    ht_ref_linear(x, 2, 3, w, 2, &shared, out);
    ht_test_assert_close("one gate", out, once, 4, 0.0);
}

static void check_shape(uint32_t rows, uint32_t columns, uint32_t depth, ht_format w_format) {
    char name[96];
    snprintf(name, sizeof name, "linear %u x %u x %u, w %s", rows, columns, depth,
             ht_format_name(w_format));
    const ht_test_op op = {.name = name,
                           .build = build,
                           .n_inputs = N_INPUTS,
                           .inputs = {{HT_TEST_ACTIVATIONS, 2, {rows, depth}, NULL},
                                      {w_format, 2, {columns, depth}, NULL},
                                      {HT_FORMAT_F32, 1, {columns}, NULL}}};
    ht_test_op_check(&op, f32_bound(depth), f16_bound(depth));
}

static void test_shapes(void **state) {
    (void)state;
    // Around the tiles (8, 16, 64 rows; 8, 32, 64 columns; 4 and 16 values of k).
    static const uint32_t shapes[][3] = {
        {1, 1, 1},    {1, 4, 4},    {7, 9, 3},    {8, 8, 8},    {9, 31, 15},
        {15, 32, 16}, {16, 33, 17}, {17, 36, 20}, {63, 64, 32}, {64, 65, 33},
        {65, 63, 34}, {3, 128, 64}, {40, 4, 36},  {5, 260, 12}, {257, 12, 28},
    };
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        check_shape(shapes[i][0], shapes[i][1], shapes[i][2], HT_FORMAT_F16);
    }
}

static void test_model_shapes(void **state) {
    (void)state;
    check_shape(77, 192, 768, HT_FORMAT_F16);
    check_shape(64, 320, 1280, HT_FORMAT_F16);
    check_shape(2, 1280, 320, HT_FORMAT_F16);
    check_shape(20, 72, 4096, HT_FORMAT_F16);
}

static void test_weight_formats(void **state) {
    (void)state;
    static const ht_format formats[] = {HT_FORMAT_F32, HT_FORMAT_BF16};
    for (size_t i = 0; i < HT_COUNT(formats); i++) {
        check_shape(33, 40, 48, formats[i]);
        check_shape(33, 41, 47, formats[i]);
    }
}

static void test_activations(void **state) {
    (void)state;
    static const ht_activation acts[] = {HT_ACT_SILU, HT_ACT_GELU_TANH, HT_ACT_GELU_ERF,
                                         HT_ACT_QUICK_GELU, HT_ACT_RELU};
    for (size_t i = 0; i < HT_COUNT(acts); i++) {
        char name[64];
        snprintf(name, sizeof name, "linear with activation %d", (int)acts[i]);
        const ht_test_op op = {.name = name,
                               .build = build,
                               .args = &acts[i],
                               .n_inputs = N_INPUTS,
                               .inputs = {{HT_TEST_ACTIVATIONS, 2, {20, 24}, NULL},
                                          {HT_FORMAT_F16, 2, {36, 24}, NULL},
                                          {HT_FORMAT_F32, 1, {36}, NULL}}};
        ht_test_op_check(&op, f32_bound(24), f16_bound(24));
    }
}

// Activations at the ends of their range must neither overflow nor turn into NaN.
static void test_activation_extremes(void **state) {
    (void)state;
    static const float x[] = {-1e30f, -3e4f, -100, -20, -1, 0, 1, 20, 100, 3e4f, 1e30f, 6e4f};
    static const float one[] = {1};
    static const ht_activation acts[] = {HT_ACT_SILU, HT_ACT_GELU_TANH, HT_ACT_GELU_ERF,
                                         HT_ACT_QUICK_GELU};
    for (size_t i = 0; i < HT_COUNT(acts); i++) {
        const ht_test_op op = {
            .name = "linear, large activations",
            .build = build,
            .args = &acts[i],
            .n_inputs = N_INPUTS,
            .inputs = {{HT_FORMAT_F32, 2, {12, 1}, x}, {HT_FORMAT_F32, 2, {1, 1}, one}}};
        static const ht_tier tiers[] = {HT_TIER_PORTABLE, HT_TIER_CPU};
        for (size_t t = 0; t < HT_COUNT(tiers) && ht_test_context(tiers[t]) != NULL; t++) {
            ht_test_output output;
            ht_test_op_run(&op, tiers[t], HT_FORMAT_F32, &output); // fails when not finite
            assert_true(output.rel_l2 <= f32_bound(1));
            free(output.values);
        }
    }
}

static void test_gates_and_residual(void **state) {
    (void)state;
    const ht_test_input x = {HT_TEST_ACTIVATIONS, 3, {3, 7, 20}, NULL};
    const ht_test_input bias = {HT_FORMAT_F32, 1, {36}, NULL};
    const ht_test_input gates[] = {
        {HT_FORMAT_F32, 1, {36}, NULL},
        {HT_FORMAT_F32, 3, {1, 1, 36}, NULL},
        {HT_TEST_ACTIVATIONS, 2, {3, 36}, NULL},
        {HT_TEST_ACTIVATIONS, 3, {3, 1, 36}, NULL},
        {HT_TEST_ACTIVATIONS, 3, {3, 7, 36}, NULL},
    };
    const ht_test_input residual = {HT_TEST_ACTIVATIONS, 3, {3, 7, 36}, NULL};
    for (size_t i = 0; i < HT_COUNT(gates); i++) {
        char name[64];
        snprintf(name, sizeof name, "linear with gate %zu and residual", i);
        const ht_test_op op = {
            .name = name,
            .build = build,
            .n_inputs = N_INPUTS,
            .inputs = {x, {HT_FORMAT_F16, 2, {36, 20}, NULL}, bias, gates[i], residual}};
        ht_test_op_check(&op, f32_bound(20), f16_bound(20));
    }
    // Columns that cannot be moved four at a time.
    const ht_test_op odd = {.name = "linear with gate and residual, 5 columns",
                            .build = build,
                            .n_inputs = N_INPUTS,
                            .inputs = {x,
                                       {HT_FORMAT_F16, 2, {5, 20}, NULL},
                                       {HT_FORMAT_F32, 1, {5}, NULL},
                                       {HT_TEST_ACTIVATIONS, 2, {3, 5}, NULL},
                                       {HT_TEST_ACTIVATIONS, 3, {3, 7, 5}, NULL}}};
    ht_test_op_check(&odd, f32_bound(20), f16_bound(20));
}

static void test_golden(void **state) {
    (void)state;
    static const char *const names[] = {"linear_16x32x64", "linear_5x7x19"};
    ht_test_golden golden;
    ht_test_golden_open(&golden, "ops");
    for (size_t i = 0; i < HT_COUNT(names); i++) {
        char tensor[4][64];
        const char *const parts[] = {"x", "w", "b", "y"};
        float *values[4];
        ht_tensor_desc desc[4];
        for (size_t p = 0; p < HT_COUNT(parts); p++) {
            snprintf(tensor[p], sizeof tensor[p], "%s/%s", names[i], parts[p]);
            values[p] = ht_test_golden_read(&golden, tensor[p], &desc[p]);
        }
        const ht_test_op op = {
            .name = names[i],
            .build = build,
            .n_inputs = N_INPUTS,
            .inputs = {{HT_TEST_ACTIVATIONS, 2, {desc[0].dims[0], desc[0].dims[1]}, values[0]},
                       {HT_FORMAT_F32, 2, {desc[1].dims[0], desc[1].dims[1]}, values[1]},
                       {HT_FORMAT_F32, 1, {desc[2].dims[0]}, values[2]}}};
        // With f16 activations x is rounded as well as the result.
        const uint32_t depth = desc[0].dims[1];
        ht_test_op_expect(&op, 2, desc[3].dims, values[3], f32_bound(depth),
                          2.0 * HT_TEST_F16_ROUNDING + f32_bound(depth));
        for (size_t p = 0; p < HT_COUNT(parts); p++) {
            free(values[p]);
        }
    }
    ht_test_golden_close(&golden);
}

static void test_rules(void **state) {
    (void)state;
    static const ht_activation no_such = (ht_activation)17;
    const ht_test_input x = {HT_FORMAT_F32, 3, {2, 3, 8}, NULL};
    const ht_test_input w = {HT_FORMAT_F16, 2, {4, 8}, NULL};
    const ht_test_input scalar = {HT_FORMAT_F32, 0, {0}, NULL};
    const ht_test_input ids = {HT_FORMAT_I32, 2, {2, 8}, NULL};
    const ht_test_input bias16 = {HT_FORMAT_F16, 1, {4}, NULL};
    const struct {
        ht_test_op op;
        const char *part;
    } rows[] = {
        {{.inputs = {ids, w}}, "x must be"},
        {{.inputs = {scalar, w}}, "at least one dimension"},
        {{.inputs = {x, ids}}, "w must be"},
        {{.inputs = {x, {HT_FORMAT_F16, 2, {4, 9}, NULL}}}, "w must be [N, 8]"},
        {{.inputs = {x, {HT_FORMAT_F16, 3, {4, 1, 8}, NULL}}}, "w must be [N, 8]"},
        {{.inputs = {x, w, bias16}}, "bias"},
        {{.inputs = {x, w, {HT_FORMAT_F32, 1, {5}, NULL}}}, "bias"},
        {{.inputs = {x, w}, .args = &no_such}, "activation 17"},
        {{.inputs = {x, w, [GATE] = {HT_FORMAT_F32, 2, {3, 4}, NULL}}}, "gate must be"},
        {{.inputs = {x, w, [GATE] = {HT_FORMAT_F32, 1, {5}, NULL}}}, "gate must be"},
        {{.inputs = {x, w, [GATE] = {HT_FORMAT_F32, 2, {6, 4}, NULL}}}, "gate must be"},
        {{.inputs = {x, w, [RESIDUAL] = {HT_FORMAT_F32, 2, {6, 4}, NULL}}}, "residual must"},
        {{.inputs = {x, w, [RESIDUAL] = {HT_FORMAT_F32, 3, {2, 3, 5}, NULL}}}, "residual must"},
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
    const ht_test_op op = {
        .name = "linear",
        .build = build,
        .n_inputs = N_INPUTS,
        .inputs = {{HT_FORMAT_F32, 2, {3, 8}, NULL}, {HT_FORMAT_F16, 2, {4, 8}, NULL}}};
    ht_test_op_starve(&op);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_model_shapes),
        cmocka_unit_test(test_weight_formats),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_activation_extremes),
        cmocka_unit_test(test_gates_and_residual),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_memory),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// activation: hand-computed values, the device against the reference over a wide range, PyTorch's
// results, and what happens at the ends of the range.
#include "support.h"

#include "ref.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static ht_value build(ht_graph *g, const ht_value *in, const void *act) {
    return ht_op_activation(g, in[0], *(const ht_activation *)act);
}

static ht_value build_gated(ht_graph *g, const ht_value *in, const void *act) {
    return ht_op_gated_activation(g, in[0], *(const ht_activation *)act);
}

static const ht_activation ALL[] = {HT_ACT_NONE,     HT_ACT_SILU,       HT_ACT_GELU_TANH,
                                    HT_ACT_GELU_ERF, HT_ACT_QUICK_GELU, HT_ACT_RELU};
static const char *const NAMES[] = {"none", "silu", "gelu_tanh", "gelu_erf", "quick_gelu", "relu"};

// The kernels promise e^x within 3e-7 and the normal distribution within 4e-7 (ht_math.glsl); with
// the division and the product after them a value errs by less than 6e-7 of itself where it counts.
static const double F32_BOUND = 6e-7;

static void test_reference_by_hand(void **state) {
    (void)state;
    assert_true(fabsf(ht_ref_activate(1, HT_ACT_SILU) - 0.731058579f) < 1e-7f);
    assert_true(fabsf(ht_ref_activate(1, HT_ACT_GELU_TANH) - 0.841191991f) < 1e-7f);
    assert_true(fabsf(ht_ref_activate(1, HT_ACT_GELU_ERF) - 0.841344746f) < 1e-7f);
    assert_true(fabsf(ht_ref_activate(1, HT_ACT_QUICK_GELU) - 0.845795766f) < 1e-7f);
    assert_true(ht_ref_activate(-3, HT_ACT_RELU) == 0.0f);
    assert_true(ht_ref_activate(3, HT_ACT_RELU) == 3.0f);
    assert_true(ht_ref_activate(-3, HT_ACT_NONE) == -3.0f);
}

static void test_range(void **state) {
    (void)state;
    enum { COUNT = 4096 };
    static float x[COUNT];
    ht_test_fill_uniform(11, x, COUNT, -15.0f, 15.0f);
    for (size_t i = 0; i < HT_COUNT(ALL); i++) {
        const ht_test_op op = {.name = NAMES[i],
                               .build = build,
                               .args = &ALL[i],
                               .n_inputs = 1,
                               .inputs = {{HT_TEST_ACTIVATIONS, 2, {64, 64}, x}}};
        ht_test_op_check(&op, F32_BOUND, HT_TEST_F16_ROUNDING + F32_BOUND);
    }
}

static void test_odd_counts(void **state) {
    (void)state;
    static const uint32_t counts[] = {1, 3, 255, 257, 1023, 1025};
    for (size_t i = 0; i < HT_COUNT(counts); i++) {
        const ht_test_op op = {.name = "silu of an odd count",
                               .build = build,
                               .args = &ALL[1],
                               .n_inputs = 1,
                               .inputs = {{HT_TEST_ACTIVATIONS, 1, {counts[i]}, NULL}}};
        ht_test_op_check(&op, F32_BOUND, HT_TEST_F16_ROUNDING + F32_BOUND);
    }
}

static void test_ends_of_the_range(void **state) {
    (void)state;
    static const float x[] = {-3e38f, -1e30f, -1e10f, -500, -88.5f, -87, -30, -0.0f,
                              0,      1e-30f, 1e-10f, 30,   87,     89,  500, 1e10f};
    for (size_t i = 0; i < HT_COUNT(ALL); i++) {
        const ht_test_op op = {.name = NAMES[i],
                               .build = build,
                               .args = &ALL[i],
                               .n_inputs = 1,
                               .inputs = {{HT_FORMAT_F32, 1, {HT_COUNT(x)}, x}}};
        for (int tier = HT_TIER_PORTABLE; tier <= HT_TIER_CPU; tier++) {
            ht_test_output output;
            if (ht_test_context((ht_tier)tier) == NULL) {
                continue;
            }
            ht_test_op_run(&op, (ht_tier)tier, HT_FORMAT_F32, &output);
            for (size_t k = 0; k < HT_COUNT(x); k++) {
                // Below e^-87 the kernels give zero: an absolute error of 88 e^-87. Above, e^u
                // inherits the rounding of u: 87 * 2^-24 of itself, and some more.
                const float want = ht_ref_activate(x[k], ALL[i]);
                if (!(fabsf(output.values[k] - want) <= 1e-35f + 1e-5f * fabsf(want))) {
                    fail_msg("%s of %g is %g, not %g", NAMES[i], (double)x[k],
                             (double)output.values[k], (double)want);
                }
            }
            free(output.values);
        }
    }
}

static void test_golden(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "ops");
    float *x = ht_test_golden_read(&golden, "activation/x", &desc);
    for (size_t i = 1; i < HT_COUNT(ALL); i++) {
        char key[64];
        snprintf(key, sizeof key, "activation/%s", NAMES[i]);
        float *y = ht_test_golden_read(&golden, key, NULL);
        const ht_test_op op = {.name = key,
                               .build = build,
                               .args = &ALL[i],
                               .n_inputs = 1,
                               .inputs = {{HT_FORMAT_F32, 1, {desc.dims[0]}, x}}};
        ht_test_op_expect(&op, 1, desc.dims, y, F32_BOUND, HT_TEST_F16_ROUNDING + F32_BOUND);
        free(y);
    }
    free(x);
    ht_test_golden_close(&golden);
}

// The first half of a row is the value, the second goes through the function.
static void test_gated(void **state) {
    (void)state;
    static const float row[] = {2, -3, 1, 1};
    float out[2];
    ht_ref_gated_activation(row, 1, 2, HT_ACT_GELU_ERF, out);
    assert_true(fabsf(out[0] - 2 * 0.841344746f) < 1e-6f);
    assert_true(fabsf(out[1] + 3 * 0.841344746f) < 1e-6f);
    static const ht_test_input shapes[] = {{HT_TEST_ACTIVATIONS, 3, {2, 33, 64}, NULL},
                                           {HT_TEST_ACTIVATIONS, 2, {5, 6}, NULL},
                                           {HT_TEST_ACTIVATIONS, 2, {7, 2}, NULL}};
    for (size_t i = 0; i < HT_COUNT(ALL) * HT_COUNT(shapes); i++) {
        const ht_test_op op = {.name = "gated",
                               .build = build_gated,
                               .args = &ALL[i % HT_COUNT(ALL)],
                               .n_inputs = 1,
                               .inputs = {shapes[i / HT_COUNT(ALL)]}};
        ht_test_op_check(&op, F32_BOUND, HT_TEST_F16_ROUNDING + F32_BOUND);
    }
    const ht_test_op odd = {.name = "gated",
                            .build = build_gated,
                            .args = &ALL[1],
                            .n_inputs = 1,
                            .inputs = {{HT_FORMAT_F32, 2, {2, 5}, NULL}}};
    ht_test_op_refuse(&odd, HT_ERR_INVALID, "rows of 5 values have no halves");
}

static void test_rules(void **state) {
    (void)state;
    static const ht_activation silly = (ht_activation)6;
    const ht_test_op ids = {.name = "activation of ids",
                            .build = build,
                            .args = &ALL[1],
                            .n_inputs = 1,
                            .inputs = {{HT_FORMAT_I32, 1, {4}, NULL}}};
    const ht_test_op unknown = {.name = "unknown activation",
                                .build = build,
                                .args = &silly,
                                .n_inputs = 1,
                                .inputs = {{HT_FORMAT_F32, 1, {4}, NULL}}};
    ht_test_op_refuse(&ids, HT_ERR_INVALID, "x must be f32, f16 or bf16, not i32");
    ht_test_op_refuse(&unknown, HT_ERR_INVALID, "there is no activation 6");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_odd_counts),
        cmocka_unit_test(test_ends_of_the_range),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_gated),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// add, mul and affine: hand-computed values, repetition of the second tensor, formats, the rules.
#include "support.h"

#include "ref.h"

#include <stdio.h>

static ht_value build_add(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_add(g, in[0], in[1]);
}

static ht_value build_mul(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_mul(g, in[0], in[1]);
}

static ht_value build_affine(ht_graph *g, const ht_value *in, const void *args) {
    const float *scale_shift = args;
    return ht_op_affine(g, in[0], scale_shift[0], scale_shift[1]);
}

// One rounding per operation: half a unit in the last place, and two of them for affine.
static const double ADD_BOUND = 1.0 / 16777216;
static const double AFFINE_BOUND = 2.0 / 16777216;

static void test_reference_by_hand(void **state) {
    (void)state;
    const float a[] = {1, 2, 3, 4};
    const float b[] = {10, -1};
    const float sum[] = {11, 1, 13, 3};
    const float product[] = {10, -2, 30, -4};
    const float line[] = {0.5f, 2.5f, 4.5f, 6.5f};
    float out[4];
    ht_ref_add(a, 4, b, 2, out);
    assert_memory_equal(out, sum, sizeof sum);
    ht_ref_mul(a, 4, b, 2, out);
    assert_memory_equal(out, product, sizeof product);
    ht_ref_affine(a, 4, 2.0f, -1.5f, out);
    assert_memory_equal(out, line, sizeof line);
}

static void test_two_tensors(void **state) {
    (void)state;
    static const struct {
        ht_test_input a, b;
    } rows[] = {
        {{HT_TEST_ACTIVATIONS, 1, {1}, NULL}, {HT_TEST_ACTIVATIONS, 1, {1}, NULL}},
        {{HT_TEST_ACTIVATIONS, 3, {2, 5, 7}, NULL}, {HT_TEST_ACTIVATIONS, 3, {2, 5, 7}, NULL}},
        {{HT_TEST_ACTIVATIONS, 4, {2, 4, 4, 64}, NULL},
         {HT_TEST_ACTIVATIONS, 4, {2, 4, 4, 64}, NULL}},
        {{HT_TEST_ACTIVATIONS, 3, {2, 33, 48}, NULL}, {HT_FORMAT_F32, 1, {48}, NULL}},
        {{HT_TEST_ACTIVATIONS, 3, {2, 33, 6}, NULL}, {HT_FORMAT_F32, 1, {6}, NULL}},
        {{HT_TEST_ACTIVATIONS, 3, {3, 16, 8}, NULL}, {HT_TEST_ACTIVATIONS, 3, {1, 16, 8}, NULL}},
        {{HT_TEST_ACTIVATIONS, 2, {9, 5}, NULL}, {HT_FORMAT_F32, 1, {1}, NULL}},
        {{HT_TEST_ACTIVATIONS, 2, {9, 8}, NULL}, {HT_FORMAT_BF16, 1, {8}, NULL}},
        // a row per item
        {{HT_TEST_ACTIVATIONS, 3, {2, 33, 48}, NULL}, {HT_FORMAT_F32, 3, {2, 1, 48}, NULL}},
        {{HT_TEST_ACTIVATIONS, 4, {3, 4, 5, 6}, NULL},
         {HT_TEST_ACTIVATIONS, 4, {3, 1, 1, 6}, NULL}},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        char name[64];
        snprintf(name, sizeof name, "add, row %zu", i);
        ht_test_op op = {
            .name = name, .build = build_add, .n_inputs = 2, .inputs = {rows[i].a, rows[i].b}};
        ht_test_op_check(&op, ADD_BOUND, HT_TEST_F16_ROUNDING + ADD_BOUND);
        snprintf(name, sizeof name, "mul, row %zu", i);
        op.build = build_mul;
        ht_test_op_check(&op, ADD_BOUND, HT_TEST_F16_ROUNDING + ADD_BOUND);
    }
}

static void test_affine(void **state) {
    (void)state;
    static const float scale_shift[] = {0.18215f, -3.25f};
    static const uint32_t counts[] = {1, 4, 1023, 1024, 4100};
    for (size_t i = 0; i < HT_COUNT(counts); i++) {
        const ht_test_op op = {.name = "affine",
                               .build = build_affine,
                               .args = scale_shift,
                               .n_inputs = 1,
                               .inputs = {{HT_TEST_ACTIVATIONS, 1, {counts[i]}, NULL}}};
        ht_test_op_check(&op, AFFINE_BOUND, HT_TEST_F16_ROUNDING + AFFINE_BOUND);
    }
}

static void test_rules(void **state) {
    (void)state;
    static const float scale_shift[] = {1, 0};
    const ht_test_input x = {HT_FORMAT_F32, 3, {2, 3, 4}, NULL};
    const ht_test_input ids = {HT_FORMAT_I32, 1, {4}, NULL};
    const struct {
        ht_test_input a, b;
        const char *part;
    } rows[] = {
        {ids, x, "a must be f32, f16 or bf16, not i32"},
        {x, ids, "b must be f32, f16 or bf16, not i32"},
        {x, {0}, "b must be f32, f16 or bf16"},
        {x,
         {HT_FORMAT_F32, 1, {3}, NULL},
         "b, f32 [3], must have a's last dimensions; a is f32 [2"},
        {x, {HT_FORMAT_F32, 3, {3, 1, 4}, NULL}, "b, f32 [3, 1, 4], must have a's last"},
        {x, {HT_FORMAT_F32, 2, {2, 4}, NULL}, "b, f32 [2, 4], must have a's last dimensions"},
        {{HT_FORMAT_F32, 1, {4}, NULL}, x, "b, f32 [2, 3, 4], must have a's last dimensions"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_op op = {
            .name = "add", .build = build_add, .n_inputs = 2, .inputs = {rows[i].a, rows[i].b}};
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
        op.name = "mul";
        op.build = build_mul;
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
    const ht_test_op affine = {.name = "affine",
                               .build = build_affine,
                               .args = scale_shift,
                               .n_inputs = 1,
                               .inputs = {ids}};
    ht_test_op_refuse(&affine, HT_ERR_INVALID, "x must be f32, f16 or bf16, not i32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_two_tensors),
        cmocka_unit_test(test_affine),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// embedding: rows gathered from tables of every float format, clamping, the rules; take: columns.
#include "support.h"

#include "ref.h"

#include <stdio.h>
#include <stdlib.h>

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_embedding(g, in[0], in[1]);
}

static const float IDS[] = {4, 0, 3, 3, -2, 99, 1, 2};

static void test_reference_by_hand(void **state) {
    (void)state;
    const float table[] = {1, 2, 3, 4, 5, 6};
    const float ids[] = {2, 0, -1, 7};
    const float want[] = {5, 6, 1, 2, 1, 2, 5, 6};
    float out[8];
    ht_ref_embedding(table, 3, 2, ids, 4, out);
    assert_memory_equal(out, want, sizeof want);
}

static void test_tables(void **state) {
    (void)state;
    static const ht_format formats[] = {HT_FORMAT_F32, HT_FORMAT_F16, HT_FORMAT_BF16};
    static const uint32_t widths[] = {1, 4, 30, 64, 516};
    for (size_t f = 0; f < HT_COUNT(formats); f++) {
        for (size_t w = 0; w < HT_COUNT(widths); w++) {
            char name[64];
            snprintf(name, sizeof name, "embedding %s width %u", ht_format_name(formats[f]),
                     widths[w]);
            const ht_test_op op = {
                .name = name,
                .build = build,
                .n_inputs = 2,
                .inputs = {{formats[f], 2, {5, widths[w]}, NULL}, {HT_FORMAT_I32, 2, {2, 4}, IDS}}};
            // Values are only moved; what is not exact is a rounding to f16.
            ht_test_op_check(&op, 0.0, formats[f] == HT_FORMAT_F16 ? 0.0 : HT_TEST_F16_ROUNDING);
        }
    }
}

// Numbers stay numbers, large ones and those below 0 too.
static void test_numbers(void **state) {
    (void)state;
    static const float table[] = {1, -2, 3, 16777215, 0, -7, 8, 9, 1000000, 11};
    const ht_test_op op = {
        .name = "embedding of numbers",
        .build = build,
        .n_inputs = 2,
        .inputs = {{HT_FORMAT_I32, 2, {5, 2}, table}, {HT_FORMAT_I32, 2, {2, 4}, IDS}}};
    ht_test_output output;
    ht_test_op_check(&op, 0.0, 0.0);
    ht_test_op_run(&op, HT_TIER_AUTO, HT_FORMAT_F16, &output);
    assert_int_equal(output.desc.format, HT_FORMAT_I32);
    assert_float_equal(output.values[0], 1000000.0f, 0);
    assert_float_equal(output.values[3], -2.0f, 0);
    assert_float_equal(output.values[13], 16777215.0f, 0);
    free(output.values);
}

static void test_rows_of_rank_2(void **state) {
    (void)state;
    static const uint32_t dims[] = {8, 3, 4};
    ht_test_output output;
    const ht_test_op op = {
        .name = "embedding of matrices",
        .build = build,
        .n_inputs = 2,
        .inputs = {{HT_FORMAT_F32, 3, {5, 3, 4}, NULL}, {HT_FORMAT_I32, 1, {8}, IDS}}};
    ht_test_op_check(&op, 0.0, HT_TEST_F16_ROUNDING);
    ht_test_op_run(&op, HT_TIER_AUTO, HT_FORMAT_F32, &output);
    assert_int_equal(output.desc.rank, 3);
    assert_memory_equal(output.desc.dims, dims, sizeof dims);
    free(output.values);
}

static void test_rules(void **state) {
    (void)state;
    const ht_test_input table = {HT_FORMAT_F32, 2, {5, 4}, NULL};
    const struct {
        ht_test_input table, ids;
        const char *part;
    } rows[] = {
        {{HT_FORMAT_INT8, 2, {5, 4}, NULL}, {HT_FORMAT_I32, 1, {8}, IDS}, "table must be f32"},
        {{HT_FORMAT_F32, 1, {5}, NULL}, {HT_FORMAT_I32, 1, {8}, IDS}, "table must be [R, C..]"},
        {table, {HT_FORMAT_F32, 1, {8}, IDS}, "ids must be i32, not f32"},
        {table, {0}, "ids must be i32"},
        {table, {HT_FORMAT_I32, 6, {2, 1, 1, 1, 1, 4}, IDS}, "7 dimensions, more than 6"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = {.name = "embedding",
                               .build = build,
                               .n_inputs = 2,
                               .inputs = {rows[i].table, rows[i].ids}};
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

static ht_value build_take(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_take(g, in[0], in[1]);
}

static void test_columns_by_hand(void **state) {
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6};
    const float columns[] = {2, 0, -1, 7};
    const float want[] = {3, 1, 1, 3, 6, 4, 4, 6};
    float out[8];
    ht_ref_take(x, 2, 3, columns, 4, out);
    assert_memory_equal(out, want, sizeof want);
}

static void test_columns(void **state) {
    (void)state;
    static const ht_format formats[] = {HT_FORMAT_F32, HT_FORMAT_F16, HT_FORMAT_BF16};
    static const ht_test_input shapes[] = {
        {0, 1, {5}, NULL}, {0, 2, {7, 33}, NULL}, {0, 4, {2, 3, 5, 64}, NULL}};
    for (size_t f = 0; f < HT_COUNT(formats); f++) {
        for (size_t s = 0; s < HT_COUNT(shapes); s++) {
            ht_test_op op = {.name = "take",
                             .build = build_take,
                             .n_inputs = 2,
                             .inputs = {shapes[s], {HT_FORMAT_I32, 1, {8}, IDS}}};
            op.inputs[0].format = formats[f];
            // Values are only moved; what is not exact is a rounding to f16.
            ht_test_op_check(&op, 0.0, formats[f] == HT_FORMAT_F16 ? 0.0 : HT_TEST_F16_ROUNDING);
        }
    }
}

static void test_rules_of_columns(void **state) {
    (void)state;
    const ht_test_input x = {HT_FORMAT_F32, 2, {5, 4}, NULL};
    const struct {
        ht_test_input x, columns;
        const char *part;
    } rows[] = {
        {{HT_FORMAT_INT8, 2, {5, 4}, NULL}, {HT_FORMAT_I32, 1, {8}, IDS}, "x must be f32"},
        {x, {HT_FORMAT_F32, 1, {8}, IDS}, "columns must be i32 [n], not f32"},
        {x, {HT_FORMAT_I32, 2, {2, 4}, IDS}, "not i32 of rank 2"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = {.name = "take",
                               .build = build_take,
                               .n_inputs = 2,
                               .inputs = {rows[i].x, rows[i].columns}};
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_rows_of_rank_2),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_columns_by_hand),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_rules_of_columns),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

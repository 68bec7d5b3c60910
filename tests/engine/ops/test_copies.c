// cast, concat, permute, reshape, slice and upsample: values that only move, so every result is
// exact but for a change of format.
#include "support.h"

#include "ref.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct move {
    const char *name;
    enum { CAST, CONCAT, PERMUTE, RESHAPE, SLICE, UPSAMPLE } op;
    ht_format format;      // CAST
    uint32_t axis;         // CONCAT, SLICE
    uint32_t begin, count; // SLICE; count is also the factor of UPSAMPLE
    uint32_t rank;         // RESHAPE
    uint32_t list[7];      // order of PERMUTE, dims of RESHAPE
} move;

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    const move *m = args;
    switch (m->op) {
    case CAST: return ht_op_cast(g, in[0], m->format);
    case CONCAT: return ht_op_concat(g, in[0], in[1], m->axis);
    case PERMUTE: return ht_op_permute(g, in[0], m->list);
    case RESHAPE: // an alias: give it a node to copy it
        return ht_op_cast(g, ht_op_reshape(g, in[0], m->rank, m->list),
                          ht_graph_value_desc(g, in[0]).format);
    case SLICE: return ht_op_slice(g, in[0], m->axis, m->begin, m->count);
    case UPSAMPLE: return ht_op_upsample(g, in[0], m->count);
    }
    return (ht_value){0};
}

// One to 24, and so on: any misplaced value shows.
static void count_up(float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)(i + 1);
    }
}

// Whole numbers up to 2048 are exact in f16 (and up to 256 in bf16).
static void expect(const move *m, const ht_test_input *a, const ht_test_input *b, uint32_t rank,
                   const uint32_t *dims, const float *want) {
    ht_test_op op = {.name = m->name, .build = build, .args = m, .n_inputs = 1, .inputs = {*a}};
    if (b != NULL) {
        op.n_inputs = 2;
        op.inputs[1] = *b;
    }
    ht_test_op_expect(&op, rank, dims, want, 0.0, 0.0);
}

static void test_by_hand(void **state) {
    (void)state;
    float x[24];
    float more[24];
    count_up(x, 24);
    count_up(more, 24);
    const ht_test_input six = {HT_TEST_ACTIVATIONS, 2, {2, 3}, x};
    const ht_test_input four = {HT_TEST_ACTIVATIONS, 2, {2, 2}, x + 10};
    const ht_test_input picture = {HT_TEST_ACTIVATIONS, 4, {1, 2, 2, 1}, x};

    const move concat1 = {.name = "concat columns", .op = CONCAT, .axis = 1};
    expect(&concat1, &six, &four, 2, (uint32_t[]){2, 5},
           (float[]){1, 2, 3, 11, 12, 4, 5, 6, 13, 14});
    const move concat0 = {.name = "concat rows", .op = CONCAT, .axis = 0};
    expect(&concat0, &six, &six, 2, (uint32_t[]){4, 3},
           (float[]){1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6});
    const move transpose = {.name = "transpose", .op = PERMUTE, .list = {1, 0}};
    expect(&transpose, &six, NULL, 2, (uint32_t[]){3, 2}, (float[]){1, 4, 2, 5, 3, 6});
    const move slice = {.name = "slice", .op = SLICE, .axis = 1, .begin = 1, .count = 2};
    expect(&slice, &six, NULL, 2, (uint32_t[]){2, 2}, (float[]){2, 3, 5, 6});
    const move reshape = {.name = "reshape", .op = RESHAPE, .rank = 3, .list = {3, 1, 2}};
    expect(&reshape, &six, NULL, 3, (uint32_t[]){3, 1, 2}, x);
    const move upsample = {.name = "upsample", .op = UPSAMPLE, .count = 2};
    expect(&upsample, &picture, NULL, 4, (uint32_t[]){1, 4, 4, 1},
           (float[]){1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4});
    const move cast = {.name = "cast", .op = CAST, .format = HT_FORMAT_BF16};
    expect(&cast, &six, NULL, 2, (uint32_t[]){2, 3}, x);
}

static void test_shapes(void **state) {
    (void)state;
    static const struct {
        move move;
        ht_test_input a, b;
    } rows[] = {
        {{"concat channels of pictures", CONCAT, .axis = 3},
         {HT_TEST_ACTIVATIONS, 4, {2, 4, 5, 64}, NULL},
         {HT_TEST_ACTIVATIONS, 4, {2, 4, 5, 32}, NULL}},
        {{"concat odd channels", CONCAT, .axis = 3},
         {HT_TEST_ACTIVATIONS, 4, {2, 4, 5, 6}, NULL},
         {HT_TEST_ACTIVATIONS, 4, {2, 4, 5, 4}, NULL}},
        {{"concat tokens", CONCAT, .axis = 1},
         {HT_TEST_ACTIVATIONS, 3, {2, 7, 16}, NULL},
         {HT_TEST_ACTIVATIONS, 3, {2, 1, 16}, NULL}},
        {{"patches to a picture", PERMUTE, .list = {0, 1, 3, 2, 4, 5}},
         {HT_TEST_ACTIVATIONS, 6, {2, 4, 5, 2, 2, 8}, NULL},
         {0}},
        {{"channels first", PERMUTE, .list = {0, 3, 1, 2}},
         {HT_TEST_ACTIVATIONS, 4, {2, 5, 6, 12}, NULL},
         {0}},
        {{"everything reversed", PERMUTE, .list = {5, 4, 3, 2, 1, 0}},
         {HT_TEST_ACTIVATIONS, 6, {2, 3, 4, 2, 3, 5}, NULL},
         {0}},
        {{"nothing moved", PERMUTE, .list = {0, 1, 2}},
         {HT_TEST_ACTIVATIONS, 3, {3, 1, 8}, NULL},
         {0}},
        {{"row of a table of modulations", SLICE, .axis = 1, .begin = 3, .count = 1},
         {HT_TEST_ACTIVATIONS, 3, {2, 6, 48}, NULL},
         {0}},
        {{"channels from an odd one", SLICE, .axis = 2, .begin = 3, .count = 8},
         {HT_TEST_ACTIVATIONS, 3, {2, 6, 16}, NULL},
         {0}},
        {{"picture three times as large", UPSAMPLE, .count = 3},
         {HT_TEST_ACTIVATIONS, 4, {2, 3, 5, 8}, NULL},
         {0}},
        {{"picture of odd channels", UPSAMPLE, .count = 2},
         {HT_TEST_ACTIVATIONS, 4, {1, 17, 16, 3}, NULL},
         {0}},
        {{"more values than one row of workgroups", SLICE, .axis = 0, .begin = 1, .count = 1},
         {HT_TEST_ACTIVATIONS, 2, {2, 70001}, NULL},
         {0}},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = {.name = rows[i].move.name,
                               .build = build,
                               .args = &rows[i].move,
                               .n_inputs = rows[i].move.op == CONCAT ? 2 : 1,
                               .inputs = {rows[i].a, rows[i].b}};
        ht_test_op_check(&op, 0.0, 0.0);
    }
}

static void test_formats(void **state) {
    (void)state;
    static const ht_format formats[] = {HT_FORMAT_F32, HT_FORMAT_F16, HT_FORMAT_BF16};
    for (size_t i = 0; i < 9; i++) {
        const ht_format from = formats[i % 3];
        const ht_format to = formats[i / 3];
        for (uint32_t count = 1001; count <= 1004; count += 3) {
            const move m = {.name = "cast", .op = CAST, .format = to};
            ht_test_output output;
            float want[1004], packed[1004];
            const ht_test_op op = {.name = m.name,
                                   .build = build,
                                   .args = &m,
                                   .n_inputs = 1,
                                   .inputs = {{from, 1, {count}, NULL}}};
            ht_test_op_run(&op, HT_TIER_AUTO, HT_FORMAT_F32, &output);
            assert_int_equal(output.desc.format, to);
            // The host's own conversions, bit for bit.
            ht_test_fill_normal(1, want, count);
            ht_format_pack(from, want, packed, count);
            ht_format_unpack(from, packed, want, count);
            ht_format_pack(to, want, packed, count);
            ht_format_unpack(to, packed, want, count);
            assert_memory_equal(output.values, want, count * sizeof *want);
            free(output.values);
        }
    }
}

static void test_golden_upsample(void **state) {
    (void)state;
    const move m = {.name = "upsample of PyTorch", .op = UPSAMPLE, .count = 2};
    ht_test_golden golden;
    ht_tensor_desc from, to;
    ht_test_golden_open(&golden, "ops");
    float *x = ht_test_golden_read_nhwc(&golden, "upsample_nearest2/x", &from);
    float *y = ht_test_golden_read_nhwc(&golden, "upsample_nearest2/y", &to);
    const ht_test_op op = {
        .name = m.name,
        .build = build,
        .args = &m,
        .n_inputs = 1,
        .inputs = {
            {HT_FORMAT_F32, 4, {from.dims[0], from.dims[1], from.dims[2], from.dims[3]}, x}}};
    ht_test_op_expect(&op, 4, to.dims, y, 0.0, HT_TEST_F16_ROUNDING);
    free(x);
    free(y);
    ht_test_golden_close(&golden);
}

static void test_rules(void **state) {
    (void)state;
    static const ht_test_input ids = {HT_FORMAT_I32, 1, {4}, NULL};
    static const ht_test_input x = {HT_FORMAT_F32, 3, {2, 3, 4}, NULL};
    const struct {
        move move;
        ht_test_input a, b;
        const char *part;
    } rows[] = {
        {{"cast", CAST, .format = HT_FORMAT_F16}, ids, {0}, "x must be f32, f16 or bf16, not i32"},
        {{"cast", CAST, .format = HT_FORMAT_I32}, x, {0}, "the new format must be f32, f16 or"},
        {{"concat", CONCAT, .axis = 0}, ids, ids, "a must be f32, f16 or bf16, not i32"},
        {{"concat", CONCAT, .axis = 0}, x, ids, "b must be f32, f16 or bf16, not i32"},
        {{"concat", CONCAT, .axis = 3}, x, x, "axis 3 of a tensor of rank 3"},
        {{"concat", CONCAT, .axis = 0},
         x,
         {HT_FORMAT_F32, 3, {2, 2, 4}, NULL},
         "a, f32 [2, 3, 4], and b, f32 [2, 2, 4], differ in more than dimension 0"},
        {{"concat", CONCAT, .axis = 0}, x, {HT_FORMAT_F32, 2, {2, 3}, NULL}, "differ in more"},
        {{"permute", PERMUTE, .list = {0}}, ids, {0}, "x must be f32, f16 or bf16, not i32"},
        {{"permute", PERMUTE, .list = {0, 2, 2}}, x, {0}, "order[2] is 2: not each of 0..2 once"},
        {{"permute", PERMUTE, .list = {0, 1, 3}}, x, {0}, "order[2] is 3"},
        {{"reshape", RESHAPE, .rank = 2, .list = {5, 5}},
         x,
         {0},
         "f32 [2, 3, 4] has another number of values than f32 [5, 5]"},
        {{"reshape", RESHAPE, .rank = 7, .list = {24, 1, 1, 1, 1, 1, 1}}, x, {0}, "dimensions"},
        {{"slice", SLICE, .axis = 0, .count = 1}, ids, {0}, "x must be f32, f16 or bf16, not i32"},
        {{"slice", SLICE, .axis = 5, .count = 1}, x, {0}, "axis 5 of a tensor of rank 3"},
        {{"slice", SLICE, .axis = 1, .begin = 2, .count = 2}, x, {0}, "2 values from 2 of a dime"},
        {{"slice", SLICE, .axis = 1, .begin = UINT32_MAX, .count = 2}, x, {0}, "of a dimension of"},
        {{"slice", SLICE, .axis = 1}, x, {0}, "0 values from 0 of a dimension of 3"},
        {{"upsample", UPSAMPLE, .count = 2}, ids, {0}, "x must be f32, f16 or bf16, not i32"},
        {{"upsample", UPSAMPLE, .count = 2}, x, {0}, "x must be [B, H, W, C], has rank 3"},
        {{"upsample", UPSAMPLE, .count = 0},
         {HT_FORMAT_F32, 4, {1, 2, 3, 4}, NULL},
         {0},
         "factor must be 1..64, is 0"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = {.name = rows[i].move.name,
                               .build = build,
                               .args = &rows[i].move,
                               .n_inputs = rows[i].move.op == CONCAT ? 2 : 1,
                               .inputs = {rows[i].a, rows[i].b}};
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_formats), cmocka_unit_test(test_golden_upsample),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// linear with packed weights: every format of w with floats and packed x, bit by bit where sums are
// exact; sizes around tiles and groups; the epilogue; what is refused. HT_TEST_ALL_PAIRS=1: every
// format of w with every format of x in every size, which takes many minutes.
#include "packed_linear_pair.h"

enum { X, W, BIAS, GATE, RESIDUAL, N_INPUTS };

static void check_tiers(uint32_t rows, uint32_t columns, uint32_t depth, ht_format w, ht_format x,
                        bool tiles_only) {
    char shape[64];
    snprintf(shape, sizeof shape, "linear %u x %u x %u", rows, columns, depth);
    packed_pair pair = linear_pair(rows, columns, depth, w, x);
    pair.tiles_only = tiles_only;
    pair_check(&pair, shape, (size_t)rows * columns);
}

static void check_shape(uint32_t rows, uint32_t columns, uint32_t depth, ht_format w, ht_format x) {
    check_tiers(rows, columns, depth, w, x, false);
}

// Integers by hand: scales that are powers of two, sums that are known.
static void test_reference_by_hand(void **state) {
    (void)state;
    const ht_tensor_desc desc = {.format = HT_FORMAT_INT8, .rank = 2, .dims = {1, 3}};
    const float x[] = {127, -2, 3}, w[] = {63.5f, 4, -1}; // codes of w: 127, 8, -2
    const float bias[] = {0.5f};
    const ht_ref_epilogue epilogue = {.bias = bias};
    uint8_t x_block[256], w_block[256];
    float out;
    ht_desc_pack(&desc, HT_SCALE_MAX, x, x_block);
    ht_desc_pack(&desc, HT_SCALE_MAX, w, w_block);
    const ht_ref_packed of_x = {&desc, x_block, 0}, of_w = {&desc, w_block, 0};
    ht_ref_packed_linear(&of_x, &of_w, &epilogue, &out);
    assert_true(out == (127 * 127 - 2 * 8 - 3 * 2) * 0.5f + 0.5f);
}

// Few rows, for which GPUs have a kernel of their own, and enough for a tile. Few columns: the kernel
// for them is compiled fast, and each pair of formats compiles its own. Every weight meets floats and
// INT8, and one of the other inputs; every input meets a sixth of the weights.
static void test_pairs(void **state) {
    (void)state;
    for (size_t x = 0; x < HT_COUNT(PAIR_INPUTS); x++) {
        for (size_t w = 0; w < HT_COUNT(PACKED_WEIGHTS); w++) {
            if (x > 1 && (x + w) % 6 != 0 && PACKED_WEIGHTS[w] != PAIR_INPUTS[x]) {
                continue;
            }
            check_shape(7, 6, 100, PACKED_WEIGHTS[w], PAIR_INPUTS[x]);
            check_tiers(9, 6, 100, PACKED_WEIGHTS[w], PAIR_INPUTS[x], true);
        }
    }
}

static const uint32_t SHAPES[][3] = {
    {1, 1, 1},    {8, 8, 32},   {9, 31, 33},   {15, 32, 63},
    {17, 33, 64}, {17, 36, 65}, {63, 64, 128}, {65, 63, 31},
};

static void check_shapes(ht_format w, ht_format x) {
    for (size_t i = 0; i < HT_COUNT(SHAPES); i++) {
        check_shape(SHAPES[i][0], SHAPES[i][1], SHAPES[i][2], w, x);
    }
}

// The whole table, and a size of scenes-dit.
static void test_all_pairs(void **state) {
    (void)state;
    if (getenv("HT_TEST_ALL_PAIRS") == NULL) {
        skip();
    }
    for (size_t x = 0; x < HT_COUNT(PAIR_INPUTS); x++) {
        for (size_t w = 0; w < HT_COUNT(PACKED_WEIGHTS); w++) {
            check_shapes(PACKED_WEIGHTS[w], PAIR_INPUTS[x]);
            check_shape(130, 192, 768, PACKED_WEIGHTS[w], PAIR_INPUTS[x]);
        }
    }
}

static void test_shapes(void **state) {
    (void)state;
    static const ht_format pairs[][2] = {{HT_FORMAT_INT8, HT_FORMAT_INT8},
                                         {HT_FORMAT_FP4, HT_FORMAT_INT8},
                                         {HT_FORMAT_FP4_I8, HT_FORMAT_INT8},
                                         {HT_FORMAT_NVFP4, HT_FORMAT_NVFP4},
                                         {HT_FORMAT_INT4, HT_FORMAT_F16}};
    for (size_t p = 0; p < HT_COUNT(pairs); p++) {
        check_shapes(pairs[p][0], pairs[p][1]);
    }
}

// Weights in bit planes with x that is not; pairs of planes; every width around words and every
// size around tiles.
static void test_planes(void **state) {
    (void)state;
    static const ht_format plain[] = {HT_FORMAT_F16, HT_FORMAT_INT8, HT_FORMAT_INT8_G32};
    for (size_t w = 0; w < HT_COUNT(PLANE_WEIGHTS); w++) {
        // Each pair compiles its own kernels.
        if (w % 2 == 0) {
            check_shape(9, 6, 100, PLANE_WEIGHTS[w], plain[w % HT_COUNT(plain)]);
        }
        check_shape(9, 6, 100, PLANE_WEIGHTS[w], PLANE_INPUTS[w % HT_COUNT(PLANE_INPUTS)]);
    }
    static const uint32_t shapes[][3] = {
        {1, 1, 1}, {9, 31, 33}, {17, 36, 65}, {66, 130, 96},
    };
    static const ht_format pairs[][2] = {{HT_FORMAT_BIN1, HT_FORMAT_INT8_PLANES},
                                         {HT_FORMAT_BIN2, HT_FORMAT_INT4_PLANES},
                                         {HT_FORMAT_BIN1, HT_FORMAT_BIN1}};
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        const ht_format *pair = pairs[i % HT_COUNT(pairs)];
        check_shape(shapes[i][0], shapes[i][1], shapes[i][2], pair[0], pair[1]);
    }
    check_shape(20, 40, 2080, HT_FORMAT_BIN1, HT_FORMAT_INT8_PLANES);
}

// Whole rows of integers beyond what f32 can count.
static void test_long_rows(void **state) {
    (void)state;
    check_shape(3, 5, 1024, HT_FORMAT_INT8, HT_FORMAT_INT8);
    check_shape(3, 5, 1025, HT_FORMAT_INT8, HT_FORMAT_INT8);
    check_shape(17, 40, 4608, HT_FORMAT_INT8, HT_FORMAT_INT8);
    check_shape(17, 40, 1152, HT_FORMAT_FP4, HT_FORMAT_INT8);
    check_shape(17, 40, 4608, HT_FORMAT_FP4_I8, HT_FORMAT_INT8);
    check_shape(17, 40, 1152, HT_FORMAT_E4M3, HT_FORMAT_INT8);
    check_shape(17, 40, 1152, HT_FORMAT_BIN2, HT_FORMAT_INT8);
}

static void test_float_inputs(void **state) {
    (void)state;
    static const ht_format formats[] = {HT_FORMAT_F32, HT_FORMAT_F16, HT_FORMAT_BF16};
    for (size_t i = 0; i < HT_COUNT(formats); i++) {
        check_shape(5, 6, 36, HT_FORMAT_FP4, formats[i]);
        check_shape(5, 6, 37, HT_FORMAT_FP4, formats[i]);
        check_shape(5, 6, 130, HT_FORMAT_INT4Z, formats[i]);
    }
}

static ht_value build(ht_graph *g, const ht_value *in, const void *act) {
    const ht_epilogue epilogue = {.bias = in[BIAS],
                                  .act = act != NULL ? *(const ht_activation *)act : HT_ACT_NONE,
                                  .gate = in[GATE],
                                  .residual = in[RESIDUAL]};
    return ht_op_linear(g, in[X], in[W], &epilogue);
}

// The epilogue is that of float weights; f16 results too. As in test_linear.c, with the rounding of
// the unpacked weights on top.
static void test_epilogue(void **state) {
    (void)state;
    static const ht_activation act = HT_ACT_SILU;
    const double bound = 3.0 * (sqrt(72.0) + 14.0) / 16777216;
    const ht_format inputs[] = {HT_FORMAT_INT8, HT_FORMAT_MXFP8, HT_FORMAT_F16};
    for (size_t i = 0; i < HT_COUNT(inputs); i++) {
        const ht_test_op op = {.name = "packed linear with everything",
                               .build = build,
                               .args = &act,
                               .n_inputs = N_INPUTS,
                               .inputs = {{inputs[i], 3, {3, 7, 72}, NULL},
                                          {HT_FORMAT_FP4, 2, {36, 72}, NULL},
                                          {HT_FORMAT_F32, 1, {36}, NULL},
                                          {HT_TEST_ACTIVATIONS, 2, {3, 36}, NULL},
                                          {HT_TEST_ACTIVATIONS, 3, {3, 7, 36}, NULL}}};
        ht_test_op_check(&op, bound, HT_TEST_F16_ROUNDING + bound);
    }
}

static void test_rules(void **state) {
    (void)state;
    const ht_test_input x = {HT_FORMAT_INT8, 2, {3, 64}, NULL};
    const struct {
        ht_test_op op;
        const char *part;
    } rows[] = {
        {{.inputs = {x, {HT_FORMAT_F16, 2, {4, 64}, NULL}}}, "w must be packed where x is (int8)"},
        {{.inputs = {x, {HT_FORMAT_I32, 2, {4, 64}, NULL}}}, "must be f32"},
        {{.inputs = {{HT_FORMAT_I32, 2, {3, 64}, NULL}, {HT_FORMAT_INT8, 2, {4, 64}, NULL}}},
         "x must be"},
        {{.inputs = {{HT_FORMAT_INT4Z, 2, {3, 64}, NULL}, {HT_FORMAT_INT8, 2, {4, 64}, NULL}}},
         "x cannot have zero points (int4z)"},
        {{.inputs = {{HT_FORMAT_BIN2, 2, {3, 64}, NULL}, {HT_FORMAT_BIN1, 2, {4, 64}, NULL}}},
         "x cannot be a sum of bit planes (bin2)"},
        {{.inputs = {{HT_FORMAT_FP4_I8, 2, {3, 64}, NULL}, {HT_FORMAT_INT8, 2, {4, 64}, NULL}}},
         "x cannot have whole numbers for scales (fp4-i8)"},
        {{.inputs = {{HT_FORMAT_INT8_PLANES, 2, {3, 64}, NULL},
                     {HT_FORMAT_INT8, 2, {4, 64}, NULL}}},
         "w must be in bit planes where x is (int8-planes), not int8"},
        {{.inputs = {x, {HT_FORMAT_INT8, 2, {4, 65}, NULL}}}, "w must be [N, 64]"},
        {{.inputs = {x, {HT_FORMAT_INT8, 3, {4, 1, 64}, NULL}}}, "w must be [N, 64]"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_op op = rows[i].op;
        op.name = rows[i].part;
        op.build = build;
        op.n_inputs = N_INPUTS;
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_all_pairs),
        cmocka_unit_test(test_planes),
        cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_float_inputs),
        cmocka_unit_test(test_epilogue),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

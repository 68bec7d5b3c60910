// Products by cooperative matrices: what is chosen on which GPU, and the large tiles. The formats and
// shapes are those of test_packed_linear.c, test_packed_conv2d.c, test_linear.c and test_conv2d.c,
// which have this tier too where the device does.
#include "packed_linear_pair.h"

#include "gemm_matrix.h"
#include "vk_internal.h"

static const ht_vk_limits NVIDIA = {
    .max_workgroup_invocations = 1024,
    .max_shared_bytes = 49152,
    .matrix = {[HT_VK_F16] = {16, 16, 16}, [HT_VK_S8] = {16, 16, 32}, [HT_VK_E4M3] = {16, 16, 32}},
    .matrix_subgroup = 32};
static const ht_vk_limits AMD = {.max_workgroup_invocations = 1024,
                                 .max_shared_bytes = 65536,
                                 .matrix = {[HT_VK_F16] = {16, 16, 16}, [HT_VK_S8] = {16, 16, 16}},
                                 .matrix_subgroup = 64};
static const ht_vk_limits INTEL = {.max_workgroup_invocations = 1024,
                                   .max_shared_bytes = 65536,
                                   .matrix = {[HT_VK_F16] = {8, 16, 16}, [HT_VK_S8] = {8, 16, 32}},
                                   .matrix_subgroup = 16};

typedef struct expectation {
    const ht_vk_limits *limits;
    ht_format x, w;
    uint32_t rows, columns, depth;
    bool suits;
    ht_vk_element element;
    uint32_t tile;
} expectation;

static void expect(const expectation *e) {
    ht_vk_device device = {.limits = *e->limits};
    ht_context context = {.device = &device, .tier = HT_TIER_MATRIX};
    const ht_op_call call = {
        .context = &context,
        .n_inputs = 2,
        .in = {{.format = e->x, .rank = 2, .dims = {e->rows, e->depth}},
               {.format = e->w, .rank = 2, .dims = {e->columns, e->depth}}},
        .out = {.format = HT_FORMAT_F16, .rank = 2, .dims = {e->rows, e->columns}}};
    const ht_push_gemm push = {.rows = e->rows, .columns = e->columns, .depth = e->depth};
    ht_gemm_matrix cut = {0};
    assert_int_equal(ht_op_cut_gemm_matrix(&call, &push, &cut), e->suits);
    if (!e->suits) {
        return;
    }
    assert_int_equal(cut.element, e->element);
    assert_int_equal(cut.tile, e->tile);
    // Every subgroup has whole matrices, and together they are the tile.
    assert_int_equal(cut.subgroups_m * cut.subgroups_n * e->limits->matrix_subgroup, 2 * cut.tile);
    assert_int_equal(cut.tile % (cut.subgroups_m * cut.shape.m), 0);
    assert_int_equal(cut.tile % (cut.subgroups_n * cut.shape.n), 0);
    assert_int_equal(cut.fetches * 32 % cut.shape.k, 0);
}

static void test_choices(void **state) {
    (void)state;
    const ht_format F16 = HT_FORMAT_F16, F32 = HT_FORMAT_F32, E4M3 = HT_FORMAT_E4M3;
    const ht_format INT8 = HT_FORMAT_INT8, FP4 = HT_FORMAT_FP4, NVFP4 = HT_FORMAT_NVFP4;
    const expectation rows[] = {
        {&NVIDIA, F16, F16, 4096, 4096, 4096, true, HT_VK_F16, 128},
        {&AMD, F16, F16, 4096, 4096, 4096, true, HT_VK_F16, 128},
        {&INTEL, F16, F16, 4096, 4096, 4096, true, HT_VK_F16, 128},
        {&NVIDIA, F16, F16, 256, 256, 4096, true, HT_VK_F16, 64},
        {&NVIDIA, F32, F16, 256, 256, 256, false, HT_VK_F16, 0},
        {&NVIDIA, F16, F32, 256, 256, 256, false, HT_VK_F16, 0},
        {&NVIDIA, F16, HT_FORMAT_INT4Z, 256, 256, 256, true, HT_VK_F16, 64},
        {&NVIDIA, INT8, INT8, 4096, 4096, 4096, true, HT_VK_S8, 128},
        {&AMD, INT8, FP4, 4096, 4096, 4096, true, HT_VK_S8, 128},
        {&INTEL, INT8, HT_FORMAT_INT4, 256, 256, 4096, true, HT_VK_S8, 64},
        // Groups of 16 end within a step of 32: f16, whose sums of 16 products are exact too.
        {&NVIDIA, NVFP4, NVFP4, 256, 256, 4096, true, HT_VK_F16, 64},
        {&AMD, NVFP4, NVFP4, 256, 256, 4096, true, HT_VK_S8, 64},
        {&NVIDIA, E4M3, E4M3, 4096, 4096, 4096, true, HT_VK_E4M3, 128},
        {&NVIDIA, E4M3, FP4, 256, 256, 4096, true, HT_VK_E4M3, 64},
        {&AMD, E4M3, FP4, 256, 256, 4096, true, HT_VK_F16, 64},
        {&NVIDIA, E4M3, HT_FORMAT_E5M2, 256, 256, 4096, true, HT_VK_F16, 64},
        {&NVIDIA, E4M3, INT8, 256, 256, 4096, true, HT_VK_F16, 64},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        expect(&rows[i]);
    }
    ht_vk_limits halves = NVIDIA; // whole rows of integers are exact in f16 while they are short
    halves.matrix[HT_VK_S8] = (ht_vk_matrix){0};
    expect(&(expectation){&halves, INT8, INT8, 256, 256, 1024, true, HT_VK_F16, 64});
    expect(&(expectation){&halves, INT8, INT8, 256, 256, 1025, false, HT_VK_F16, 0});
    expect(&(expectation){&halves, INT8, FP4, 256, 256, 4096, true, HT_VK_F16, 64});
}

// 128 large tiles, the last ones not full, and a step that is not full either.
static void test_large_tiles(void **state) {
    (void)state;
    static const ht_format pairs[][2] = {{HT_FORMAT_FP4, HT_FORMAT_INT8},
                                         {HT_FORMAT_INT4Z, HT_FORMAT_F16}};
    if (ht_test_context(HT_TIER_MATRIX) == NULL) {
        skip();
    }
    for (size_t i = 0; i < HT_COUNT(pairs); i++) {
        packed_pair pair = linear_pair(1930, 1022, 100, pairs[i][0], pairs[i][1]);
        pair_check(&pair, "large tiles", (size_t)1930 * 1022);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choices),
                                       cmocka_unit_test(test_large_tiles)};
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

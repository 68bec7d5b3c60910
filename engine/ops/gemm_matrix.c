// Whether cooperative matrices do for a product, and how their kernel is cut.
#include "gemm_matrix.h"

#include "formats.h"

#include <halftone/bench.h>

enum { STEP = 16 }; // HT_STEP of the shaders

// Values along k that share scales; 0: whole rows.
static uint32_t group_of(const ht_fmt_row *x, const ht_fmt_row *w) {
    const uint32_t of_w = ht_fmt_sum_group(w);
    return x->group == 0 || (of_w != 0 && of_w < x->group) ? of_w : x->group;
}

static bool is_packed(const ht_fmt_row *row) {
    return row->scale != HT_FMT_SCALE_NONE;
}

// Do bits moved between fields make it E4M3?
static bool fits_e4m3(const ht_fmt_row *row) {
    return row->kind == HT_FMT_MINIFLOAT && row->exponent <= 4 && row->mantissa <= 3 &&
           row->scale != HT_FMT_SCALE_WHOLE;
}

// Do groups end where steps of the matrices do?
static bool groups_fit(uint32_t group, const ht_vk_matrix *shape) {
    return shape->k != 0 && group % shape->k == 0;
}

// What to multiply as, or HT_VK_ELEMENTS where no matrix gives these products exactly.
static ht_vk_element choose_element(const ht_op_call *call, uint32_t depth) {
    const ht_vk_limits *limits = ht_vk_get_limits(call->context);
    const ht_fmt_row *x = ht_fmt_find(call->in[GEMM_X].format);
    const ht_fmt_row *w = ht_fmt_find(call->in[GEMM_W].format);
    const uint32_t group = group_of(x, w);
    const bool integers = ht_op_has_integer_codes(x) && ht_op_has_integer_codes(w);
    if (!is_packed(x) && x->format != HT_FORMAT_F16) {
        return HT_VK_ELEMENTS; // would have to be rounded
    }
    if (ht_fmt_in_planes(x) || ht_fmt_terms(w) > 1) {
        return HT_VK_ELEMENTS; // bit counts, or a product for each term
    }
    if (integers && groups_fit(group, &limits->matrix[HT_VK_S8])) {
        return HT_VK_S8;
    }
    if (fits_e4m3(x) && fits_e4m3(w) && groups_fit(group, &limits->matrix[HT_VK_E4M3])) {
        return HT_VK_E4M3;
    }
    // Sums of integers have to stay below 2^24.
    const bool exact = !integers || group != 0 || depth <= 1024;
    const bool f16 = is_packed(w) || w->format == HT_FORMAT_F16;
    return exact && f16 && groups_fit(group, &limits->matrix[HT_VK_F16]) ? HT_VK_F16
                                                                         : HT_VK_ELEMENTS;
}

// Bytes of shared memory of gemm_matrix.comp.
static uint32_t shared_bytes(const ht_gemm_matrix *cut) {
    const uint32_t bytes = cut->element == HT_VK_F16 ? 2 : 1;
    const uint32_t subgroups = cut->subgroups_m * cut->subgroups_n;
    const uint32_t tiles = 2 * cut->tile * (2 * cut->fetches * STEP * bytes + 16);
    const uint32_t scales = 4 * 2 * cut->fetches * 2 * cut->tile;
    return tiles + scales + 4 * subgroups * cut->shape.m * cut->shape.n;
}

// Spread the subgroups over a tile, nearly square. False when a subgroup's part would be smaller than
// one matrix.
static bool cut_tile(const ht_vk_limits *limits, uint32_t tile, uint32_t fetches,
                     ht_gemm_matrix *cut) {
    const uint32_t subgroups = 2 * tile / limits->matrix_subgroup;
    cut->tile = tile;
    cut->fetches = fetches;
    cut->subgroups_n = 1;
    while (4 * cut->subgroups_n * cut->subgroups_n <= subgroups) {
        cut->subgroups_n *= 2;
    }
    cut->subgroups_m = subgroups / cut->subgroups_n;
    return subgroups != 0 && tile % (cut->subgroups_m * cut->shape.m) == 0 &&
           tile % (cut->subgroups_n * cut->shape.n) == 0 &&
           2 * tile <= limits->max_workgroup_invocations &&
           shared_bytes(cut) <= limits->max_shared_bytes;
}

ht_bench_unit ht_bench_unit_of(ht_context *context, ht_format x, ht_format w, uint32_t rows,
                               uint32_t depth) {
    static const ht_bench_unit UNITS[] = {[HT_VK_F16] = HT_BENCH_MATRIX_F16,
                                          [HT_VK_S8] = HT_BENCH_MATRIX_S8,
                                          [HT_VK_E4M3] = HT_BENCH_MATRIX_E4M3};
    const ht_op_call call = {
        .context = context, .n_inputs = 2, .in = {{.format = x}, {.format = w}}};
    const ht_push_gemm push = {.rows = rows, .columns = rows, .depth = depth};
    ht_gemm_matrix cut;
    if (rows <= HT_GEMM_FEW_ROWS) {
        return HT_BENCH_F32;
    }
    if (ht_op_cut_gemm_matrix(&call, &push, &cut)) {
        return UNITS[cut.element];
    }
    return ht_op_use_dot_kernel(&call) ? HT_BENCH_DOT : HT_BENCH_F32;
}

bool ht_op_cut_gemm_matrix(const ht_op_call *call, const ht_push_gemm *push, ht_gemm_matrix *cut) {
    // A large tile reads operands half as often, when there are enough of them for all of a GPU.
    enum { SMALL = 64, LARGE = 128, ENOUGH_TILES = 128 };
    static const ht_vk_kernel KERNELS[] = {[HT_VK_F16] = HT_KERNEL_gemm_matrix_f16,
                                           [HT_VK_S8] = HT_KERNEL_gemm_matrix_s8,
                                           [HT_VK_E4M3] = HT_KERNEL_gemm_matrix_e4m3};
    const ht_vk_limits *limits = ht_vk_get_limits(call->context);
    if (ht_context_tier(call->context) != HT_TIER_MATRIX) {
        return false;
    }
    cut->element = choose_element(call, push->depth);
    if (cut->element == HT_VK_ELEMENTS) {
        return false;
    }
    cut->kernel = KERNELS[cut->element];
    cut->shape = limits->matrix[cut->element];
    const uint64_t tiles =
        (uint64_t)((push->rows + LARGE - 1) / LARGE) * ((push->columns + LARGE - 1) / LARGE);
    const uint32_t fetches = cut->element == HT_VK_F16 ? 1 : 2; // 64 bytes of k a step
    return (tiles >= ENOUGH_TILES && cut_tile(limits, LARGE, fetches, cut)) ||
           cut_tile(limits, SMALL, 1, cut);
}

// A packed weight, and an x that is packed or float, on both tiers against references that work on
// the codes. Shared by the tests of linear and conv2d, which say how to build and to refer.
#ifndef HT_TEST_PACKED_PAIR_H
#define HT_TEST_PACKED_PAIR_H

#include "support.h"

#include "formats.h"
#include "gemm.shared.h"
#include "gpu.h"
#include "ref_gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct packed_pair {
    ht_tensor_desc x, w;
    uint32_t columns;
    uint32_t taps;
    const void *args; // of the functions below
    ht_value (*build)(ht_graph *g, ht_value x, ht_value w, ht_value bias, const void *args);
    void (*on_codes)(const struct packed_pair *pair, const void *x, const void *w,
                     const float *bias, float *out);
    void (*on_floats)(const struct packed_pair *pair, const float *x, const float *w,
                      const float *bias, float *out);
    bool tiles_only;    // not on the tier of CPU drivers
    uint32_t piece;     // of the reference on codes (ht_ref_packed)
    ht_tensor_desc out; // found by the run
} packed_pair;

static const ht_format PACKED_WEIGHTS[] = {
    HT_FORMAT_E4M3,     HT_FORMAT_E5M2,     HT_FORMAT_E3M4,     HT_FORMAT_E2M5,     HT_FORMAT_MXFP8,
    HT_FORMAT_FP4,      HT_FORMAT_FP4_E1M2, HT_FORMAT_FP4_E3M0, HT_FORMAT_NVFP4,    HT_FORMAT_MXFP4,
    HT_FORMAT_INT8,     HT_FORMAT_INT8_G32, HT_FORMAT_INT4,     HT_FORMAT_INT4_G32, HT_FORMAT_INT4Z,
    HT_FORMAT_INT8_F16, HT_FORMAT_FP4_I8};

// Both in bit planes: products by AND and bit counts.
static const ht_format PLANE_WEIGHTS[] = {
    HT_FORMAT_BIN1,    HT_FORMAT_BIN2,        HT_FORMAT_BIN3,       HT_FORMAT_DUAL,
    HT_FORMAT_TERNARY, HT_FORMAT_INT4_PLANES, HT_FORMAT_INT8_PLANES};
static const ht_format PLANE_INPUTS[] = {HT_FORMAT_INT8_PLANES, HT_FORMAT_INT4_PLANES,
                                         HT_FORMAT_BIN1, HT_FORMAT_TERNARY};

static const ht_format PAIR_INPUTS[] = {HT_FORMAT_F16,  HT_FORMAT_INT8,  HT_FORMAT_INT8_G32,
                                        HT_FORMAT_E4M3, HT_FORMAT_MXFP8, HT_FORMAT_INT4,
                                        HT_FORMAT_NVFP4};

static inline void *pair_alloc(size_t bytes) {
    void *block = malloc(bytes ? bytes : 1);
    assert_non_null(block);
    return block;
}

static inline void pair_must(ht_context *context, ht_status status) {
    if (status != HT_OK) {
        fail_msg("%s", ht_context_message(context));
    }
}

// A tensor's memory, and its values as floats.
static inline void *pair_pack(const ht_tensor_desc *desc, bool is_w, uint64_t seed,
                              float **values) {
    const size_t count = ht_desc_count(desc);
    void *block = pair_alloc(ht_desc_bytes(desc));
    *values = pair_alloc(count * sizeof **values);
    ht_test_fill_normal(seed, *values, count);
    if (is_w || !ht_format_is_packed(desc->format)) {
        ht_desc_pack(desc, HT_SCALE_MAX, *values, block);
    } else {
        ht_fmt_pack_rows(desc, HT_SCALE_MAX, 1, *values, block);
    }
    ht_desc_unpack(desc, block, *values);
    return block;
}

static inline float *pair_run(ht_context *context, packed_pair *pair, const void *x, const void *w,
                              const float *bias) {
    const ht_tensor_desc bias_desc = {.format = HT_FORMAT_F32, .rank = 1, .dims = {pair->columns}};
    const ht_graph_desc desc = {.label = "packed pair", .activations = HT_FORMAT_F32};
    const ht_tensor_desc *descs[] = {&pair->x, &pair->w, &bias_desc};
    const void *data[] = {x, w, bias};
    ht_tensor *tensors[3] = {NULL};
    ht_tensor *out = NULL;
    ht_value values[3];
    ht_graph *g = NULL;
    pair_must(context, ht_graph_create(context, &desc, &g));
    for (size_t i = 0; i < HT_COUNT(descs); i++) {
        pair_must(context, ht_tensor_create(context, descs[i], &tensors[i]));
        pair_must(context, ht_tensor_write(tensors[i], data[i], ht_desc_bytes(descs[i])));
        values[i] = ht_graph_tensor(g, tensors[i]);
    }
    const ht_value result = pair->build(g, values[0], values[1], values[2], pair->args);
    pair_must(context, ht_graph_status(g));
    pair->out = ht_graph_value_desc(g, result);
    pair->out.label = NULL;
    pair_must(context, ht_tensor_create(context, &pair->out, &out));
    ht_graph_output(g, result, out);
    pair_must(context, ht_graph_finish(g));
    pair_must(context, ht_graph_run(g));
    float *got = pair_alloc(ht_desc_bytes(&pair->out));
    pair_must(context, ht_tensor_read_f32(out, got, ht_desc_count(&pair->out)));
    ht_graph_destroy(&g);
    for (size_t i = 0; i < HT_COUNT(tensors); i++) {
        ht_tensor_destroy(&tensors[i]);
    }
    ht_tensor_destroy(&out);
    return got;
}

// The largest value of a format in units of its smallest.
static inline double pair_span(const ht_fmt_row *row) {
    const double times = row->scale == HT_FMT_SCALE_WHOLE ? ht_fmt_most_times(row) : 1;
    return row->kind == HT_FMT_MINIFLOAT ? times * ht_fmt_largest(row) / ht_fmt_decode(row, 1)
                                         : times * row->top;
}

// Is every sum of code products an integer that f32 holds? Integers of whole rows are counted on as
// int and always are.
static inline bool pair_is_exact(const packed_pair *pair) {
    const ht_fmt_row *x = ht_fmt_find(pair->x.format), *w = ht_fmt_find(pair->w.format);
    const uint32_t depth = pair->x.dims[pair->x.rank - 1];
    const uint32_t of_w = ht_fmt_sum_group(w);
    const uint32_t x_group = x->group ? x->group : depth, w_group = of_w ? of_w : depth;
    const uint32_t length = x_group < w_group ? x_group : w_group;
    if (x->scale == HT_FMT_SCALE_NONE) {
        return false;
    }
    const bool integers = (x->kind == HT_FMT_SYMMETRIC &&
                           (w->kind == HT_FMT_SYMMETRIC || w->scale == HT_FMT_SCALE_WHOLE)) ||
                          ht_fmt_in_planes(x);
    return integers || pair_span(x) * pair_span(w) * length <= 16777216;
}

static inline float *absolute(float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = fabsf(values[i]);
    }
    return values;
}

// Each of the products, sums and scalings is rounded once in f32, by at most 2^-24 of what has been
// summed up to there; the reference's own roundings count likewise.
static inline void pair_assert_bounded(const char *what, const float *got, const float *want,
                                       const float *sizes, size_t count, uint32_t depth) {
    const double unit = (depth + 16) * 0x1p-23;
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)got[i] - want[i]) <= unit * sizes[i])) {
            fail_msg("%s: value %zu is %.9g, not %.9g (bound %.3g)", what, i, (double)got[i],
                     (double)want[i], unit * sizes[i]);
        }
    }
}

static inline void pair_compare(const char *what, const packed_pair *pair, const float *got,
                                const float *want, const float *sizes) {
    const size_t count = ht_desc_count(&pair->out);
    const uint32_t depth = pair->x.dims[pair->x.rank - 1] * pair->taps;
    if (!pair_is_exact(pair)) {
        pair_assert_bounded(what, got, want, sizes, count, depth);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) != 0 && got[i] != want[i]) {
            fail_msg("%s: value %zu is %.9g, not %.9g", what, i, (double)got[i], (double)want[i]);
        }
    }
}

static inline bool pair_has_integers(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row->kind == HT_FMT_SYMMETRIC || row->kind == HT_FMT_ZERO_POINT ||
           ht_fmt_in_planes(row) ||
           (row->kind == HT_FMT_MINIFLOAT && row->exponent == 2 && row->mantissa == 1);
}

// Codes that are scaled together where the kernel is that of CPU drivers: integers go by steps of 16, but
// for whole rows of eight bits or planes where that is faster (ht_integer_steps.glsl). 0: a group.
static inline uint32_t pair_piece(const packed_pair *pair, ht_tier tier) {
    enum { STEP = 16 };
    const ht_fmt_row *x = ht_fmt_find(pair->x.format), *w = ht_fmt_find(pair->w.format);
    const bool integers = pair_has_integers(pair->x.format) && pair_has_integers(pair->w.format) &&
                          w->kind != HT_FMT_ZERO_POINT && !ht_fmt_in_planes(x);
    if (tier != HT_TIER_CPU || !integers) {
        return 0;
    }
    const bool rows = x->group == 0 && w->group == 0;
    return rows && ht_vk_get_limits(ht_test_context(tier))->fused_integers ? 0 : STEP;
}

// `count` values of the result; the caller's `out` desc is not known before the first run.
static inline void pair_check(packed_pair *pair, const char *shape, size_t count) {
    static const ht_tier tiers[] = {HT_TIER_PORTABLE, HT_TIER_CPU, HT_TIER_DOT, HT_TIER_MATRIX};
    float *x, *w;
    void *x_block = pair_pack(&pair->x, false, 1, &x);
    void *w_block = pair_pack(&pair->w, true, 2, &w);
    float *bias = pair_alloc(pair->columns * sizeof *bias);
    ht_test_fill_normal(3, bias, pair->columns);
    float *want = pair_alloc(count * sizeof *want);
    float *sizes = pair_alloc(count * sizeof *sizes);
    const bool on_codes = ht_format_is_packed(pair->x.format);
    if (!on_codes) {
        pair->on_floats(pair, x, w, bias, want);
    }
    float *bias_size = pair_alloc(pair->columns * sizeof *bias);
    memcpy(bias_size, bias, pair->columns * sizeof *bias);
    pair->on_floats(pair, absolute(x, ht_desc_count(&pair->x)),
                    absolute(w, ht_desc_count(&pair->w)), absolute(bias_size, pair->columns),
                    sizes);
    const bool planes = ht_fmt_in_planes(ht_fmt_find(pair->x.format)); // one kernel for all GPUs
    const bool dot =
        !planes && pair_has_integers(pair->x.format) && pair_has_integers(pair->w.format);
    const bool few = pair->x.rank == 2 && pair->x.dims[0] <= HT_GEMM_FEW_ROWS; // gemm_few.comp
    size_t runs = 0;
    for (size_t t = 0; t < HT_COUNT(tiers); t++) {
        if (ht_test_context(tiers[t]) == NULL || (pair->tiles_only && tiers[t] == HT_TIER_CPU)) {
            continue;
        }
        // Else these have the kernels of the portable tier.
        const bool same =
            (tiers[t] == HT_TIER_DOT && (few || !dot)) || (tiers[t] == HT_TIER_MATRIX && few);
        if (same && runs > 0) {
            continue;
        }
        const uint32_t piece = pair_piece(pair, tiers[t]);
        if (on_codes && (runs == 0 || piece != pair->piece)) {
            pair->piece = piece;
            pair->on_codes(pair, x_block, w_block, bias, want);
        }
        char what[160];
        snprintf(what, sizeof what, "%s, %s x %s (%s tier)", shape, ht_format_name(pair->w.format),
                 ht_format_name(pair->x.format), ht_tier_name(tiers[t]));
        float *got = pair_run(ht_test_context(tiers[t]), pair, x_block, w_block, bias);
        assert_int_equal(ht_desc_count(&pair->out), count);
        pair_compare(what, pair, got, want, sizes);
        free(got);
        runs++;
    }
    assert_true(runs > 0);
    free(bias_size);
    free(sizes);
    free(want);
    free(bias);
    free(w_block);
    free(x_block);
    free(w);
    free(x);
}

#endif

// References of linear and conv2d on packed operands, code by code.
#include "ref_gemm.h"

#include "formats.h"

#include <string.h>

typedef struct operand {
    const ht_fmt_row *format;
    ht_packed_layout at;
    const uint8_t *block;
    uint32_t piece;       // as in ht_ref_packed
    uint32_t terms;       // scales that add up to a value
    float values[8][256]; // of the codes, in each term
    float outer;          // scale of the whole tensor, of w
} operand;

static void open_operand(const ht_ref_packed *packed, bool is_w, operand *o) {
    o->format = ht_fmt_find(packed->desc->format);
    o->block = packed->block;
    o->piece = packed->piece;
    o->outer = 1;
    ht_packed_layout_of(packed->desc, &o->at);
    o->terms = ht_fmt_terms(o->format);
    for (uint32_t code = 0; code < 1u << o->format->bits; code++) {
        for (uint32_t j = 0; j < o->terms; j++) {
            o->values[j][code] = ht_fmt_term(o->format, code, j);
        }
    }
    if (is_w && o->format->scale == HT_FMT_SCALE_E4M3) {
        memcpy(&o->outer, o->block + o->at.outer_offset, sizeof o->outer);
    }
}

static uint64_t group_index(const operand *o, uint64_t row, uint32_t k) {
    return row * o->at.groups + (o->format->group ? k / o->format->group : 0);
}

static float scale_at(const operand *o, uint64_t row, uint32_t k, uint32_t term) {
    float of_row;
    if (o->format->scale == HT_FMT_SCALE_WHOLE) { // that of the group belongs to the codes
        memcpy(&of_row, o->block + o->at.outer_offset + row * sizeof of_row, sizeof of_row);
        return of_row;
    }
    return ht_fmt_scale_value(o->format, o->block + o->at.scales_offset,
                              group_index(o, row, k) + term) *
           o->outer;
}

static float value_at(const operand *o, uint64_t row, uint32_t k, uint32_t term) {
    const uint8_t *codes = o->block + row * o->at.row_bytes;
    const float value = o->values[term][ht_fmt_get_code(o->format, codes, k)];
    if (o->format->scale == HT_FMT_SCALE_WHOLE) {
        return value * ht_fmt_scale_value(o->format, o->block + o->at.scales_offset,
                                          group_index(o, row, k));
    }
    return o->format->kind == HT_FMT_ZERO_POINT
               ? value - (float)o->block[o->at.zeros_offset + group_index(o, row, k)]
               : value;
}

static uint32_t group_length(const operand *x, const operand *w, uint32_t depth) {
    const uint32_t of_x = ht_fmt_sum_group(x->format), of_w = ht_fmt_sum_group(w->format);
    const uint32_t a = of_x ? of_x : depth;
    const uint32_t b = of_w ? of_w : depth;
    const uint32_t group = a < b ? a : b;
    return x->piece != 0 && x->piece < group ? x->piece : group;
}

// total + the products of a row of x and one term of a row of w. In double every sum of code products
// is exact.
static float add_term(float total, const operand *x, uint64_t x_row, const operand *w,
                      uint64_t w_row, uint32_t term) {
    const uint32_t depth = x->at.width;
    const uint32_t length = group_length(x, w, depth);
    for (uint32_t first = 0; first < depth; first += length) {
        const float scale = scale_at(x, x_row, first, 0) * scale_at(w, w_row, first, term);
        double sum = 0;
        for (uint32_t k = first; k < depth && k - first < length; k++) {
            sum += (double)value_at(x, x_row, k, 0) * value_at(w, w_row, k, term);
        }
        const float part = scale * (float)sum;
        total = total + part;
    }
    return total;
}

static float add_rows(float total, const operand *x, uint64_t x_row, const operand *w,
                      uint64_t w_row) {
    for (uint32_t term = 0; term < w->terms; term++) {
        total = add_term(total, x, x_row, w, w_row, term);
    }
    return total;
}

typedef struct pictures {
    operand x, w;
    const ht_ref_conv2d_args *args;
} pictures;

static float sum_at(const pictures *p, uint32_t image, uint32_t oy, uint32_t ox, uint32_t column) {
    const ht_ref_conv2d_args *a = p->args;
    float total = 0;
    for (uint32_t ty = 0; ty < a->kernel_h; ty++) {
        for (uint32_t tx = 0; tx < a->kernel_w; tx++) {
            const int64_t y = (int64_t)oy * a->stride + ty - a->pad_top;
            const int64_t x = (int64_t)ox * a->stride + tx - a->pad_left;
            if (y < 0 || x < 0 || y >= (int64_t)a->in_h * a->upsample ||
                x >= (int64_t)a->in_w * a->upsample) {
                continue;
            }
            const uint64_t line = (uint64_t)image * a->in_h + (uint64_t)y / a->upsample;
            total = add_rows(total, &p->x, line * a->in_w + (uint64_t)x / a->upsample, &p->w,
                             ((uint64_t)column * a->kernel_h + ty) * a->kernel_w + tx);
        }
    }
    return total;
}

void ht_ref_packed_conv2d(const ht_ref_packed *x, const ht_ref_packed *w,
                          const ht_ref_conv2d_args *args, float *out) {
    pictures p = {.args = args};
    open_operand(x, false, &p.x);
    open_operand(w, true, &p.w);
    uint64_t row = 0;
    for (uint32_t b = 0; b < args->batch; b++) {
        for (uint32_t oy = 0; oy < args->out_h; oy++) {
            for (uint32_t ox = 0; ox < args->out_w; ox++, row++) {
                for (uint32_t n = 0; n < args->out_channels; n++) {
                    out[row * args->out_channels + n] =
                        ht_ref_finish(&args->epilogue, row, n, args->out_channels,
                                      (double)sum_at(&p, b, oy, ox, n));
                }
            }
        }
    }
}

void ht_ref_packed_linear(const ht_ref_packed *x, const ht_ref_packed *w,
                          const ht_ref_epilogue *epilogue, float *out) {
    ht_packed_layout rows;
    ht_packed_layout_of(x->desc, &rows);
    const ht_ref_conv2d_args args = {.batch = 1,
                                     .in_h = 1,
                                     .in_w = (uint32_t)rows.rows,
                                     .in_channels = rows.width,
                                     .out_h = 1,
                                     .out_w = (uint32_t)rows.rows,
                                     .out_channels = w->desc->dims[0],
                                     .kernel_h = 1,
                                     .kernel_w = 1,
                                     .stride = 1,
                                     .upsample = 1,
                                     .epilogue = *epilogue};
    ht_ref_packed_conv2d(x, w, &args, out);
}

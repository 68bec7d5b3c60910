// Half-precision floats, and the table of number formats behind halftone/tensor.h.
#ifndef HT_FORMATS_H
#define HT_FORMATS_H

#include "core.h"

#include <halftone/tensor.h>

#include <float.h>
#include <math.h>

// The `kind` column of formats.def.
typedef enum ht_fmt_kind {
    HT_FMT_FLOAT = 0,
    HT_FMT_SIGNED = 1,
    HT_FMT_UNSIGNED = 2,
    HT_FMT_MINIFLOAT = 3,
    HT_FMT_SYMMETRIC = 4,
    HT_FMT_ZERO_POINT = 5,
    HT_FMT_SIGNS = 6, // in bit planes from here on
    HT_FMT_BITS = 7,
    HT_FMT_PLANES = 8,
    HT_FMT_STACK = 9,
} ht_fmt_kind;

// The `scale` column.
typedef enum ht_fmt_scale {
    HT_FMT_SCALE_NONE = 0,
    HT_FMT_SCALE_F32 = 1,
    HT_FMT_SCALE_F16 = 2,
    HT_FMT_SCALE_E8M0 = 3,
    HT_FMT_SCALE_E4M3 = 4,  // times the tensor's f32
    HT_FMT_SCALE_WHOLE = 5, // times the row's f32
} ht_fmt_scale;

typedef struct ht_fmt_row {
    ht_format format;
    const char *name;
    uint32_t bits;
    ht_fmt_kind kind;
    uint32_t exponent, mantissa, top, group;
    ht_fmt_scale scale;
} ht_fmt_row;

// Rows in the order of formats.def.
extern const ht_fmt_row ht_fmt_rows[];
extern const size_t ht_fmt_row_count;
// NULL for HT_FORMAT_NONE and unknown numbers.
const ht_fmt_row *ht_fmt_find(ht_format format);

// One code of a packed format, sign in its highest bit (minifloats) or two's complement
// (integers, in planes too; sums of planes have no single codes); INT4Z's are 0..15. `value` is already divided by the scale (and moved by the zero
// point). Round to nearest even, saturate, NaN becomes 0. See OCP MX 1.0 for the minifloats.
uint32_t ht_fmt_encode(const ht_fmt_row *row, float value);
float ht_fmt_decode(const ht_fmt_row *row, uint32_t code); // zero point not subtracted
float ht_fmt_largest(const ht_fmt_row *row);               // decode of the top code
// A group's scale as it is read back, f32, f16, E8M0 or E4M3 bits or a whole number, without an outer
// scale.
float ht_fmt_scale_value(const ht_fmt_row *row, const void *scales, uint64_t index);

// Are codes stored plane by plane?
static inline bool ht_fmt_in_planes(const ht_fmt_row *row) {
    return row->kind >= HT_FMT_SIGNS && row->kind <= HT_FMT_PLANES;
}
// Scales that share a group: one, or one for each plane.
static inline uint32_t ht_fmt_terms(const ht_fmt_row *row) {
    return row->kind == HT_FMT_SIGNS || row->kind == HT_FMT_BITS ? row->bits : 1;
}
// The integer that a code stands for in term `term` of a value: +-1, 0 or 1, or the whole integer.
float ht_fmt_term(const ht_fmt_row *row, uint32_t code, uint32_t term);

// Code of value `at` in a row of any packed format.
uint32_t ht_fmt_get_code(const ht_fmt_row *row, const uint8_t *codes, uint32_t at);
void ht_fmt_put_code(const ht_fmt_row *row, uint8_t *codes, uint32_t at, uint32_t code);

// What packing takes a number for: a device may flush subnormals, so they are 0 everywhere.
static inline float ht_fmt_limited(float value) {
    if (!(fabsf(value) >= FLT_MIN)) {
        return 0;
    }
    return value > 3e38f ? 3e38f : value < -3e38f ? -3e38f : value;
}

// planes.c: scales and codes of a row of SIGNS or BITS; `codes` is zero, scales are f16.
void ht_fmt_pack_sum(const ht_fmt_row *row, ht_scale_rule rule, const float *values, uint32_t count,
                     uint8_t *codes, void *scales);
// The same of SIGNS on a grid: the last plane's scale is given, each before it has twice the next one's.
void ht_fmt_pack_halving(const ht_fmt_row *row, float scale, const float *values, uint32_t count,
                         uint8_t *codes, void *scales);
// The scale of -1, 0, 1 for a row: the mean size, or the best by squared error. values: finite.
float ht_fmt_ternary_scale(ht_scale_rule rule, const float *values, uint32_t count);

// Values along a row whose products are summed before scales are applied; 0: the whole row.
static inline uint32_t ht_fmt_sum_group(const ht_fmt_row *row) {
    return row->scale == HT_FMT_SCALE_WHOLE ? 0 : row->group;
}
// HT_FMT_SCALE_WHOLE: the largest scale with which the codes, as integers, fit a signed byte.
uint32_t ht_fmt_most_times(const ht_fmt_row *row);

// The scale that group scales of a tensor (NVFP4) or of a row (FP4_I8) with this largest size are
// multiplied by; 1 in formats that have none.
float ht_fmt_outer_scale(const ht_fmt_row *row, float largest);

// ht_desc_pack of a packed format with a tensor scale that is given (NVFP4; others have none).
void ht_fmt_pack_rows(const ht_tensor_desc *desc, ht_scale_rule rule, float tensor_scale,
                      const float *values, void *packed);

// One value. To 16 bits: round to nearest even, overflow to infinity, NaN stays a (quiet) NaN
// with its sign and the payload bits that fit.
uint16_t ht_fmt_f16_from_f32(float value);
float ht_fmt_f32_from_f16(uint16_t bits);
uint16_t ht_fmt_bf16_from_f32(float value);
float ht_fmt_f32_from_bf16(uint16_t bits);

// Arrays of them. Any alignment on the packed side: it may be a mapped file.
void ht_fmt_f16_from_f32_array(const float *values, void *packed, size_t count);
void ht_fmt_f32_from_f16_array(const void *packed, float *values, size_t count);
void ht_fmt_bf16_from_f32_array(const float *values, void *packed, size_t count);
void ht_fmt_f32_from_bf16_array(const void *packed, float *values, size_t count);

#endif

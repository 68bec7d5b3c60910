// Half-precision floats, and the table of number formats behind halftone/tensor.h.
#ifndef HT_FORMATS_H
#define HT_FORMATS_H

#include "core.h"

#include <halftone/tensor.h>

// The `kind` column of formats.def.
typedef enum ht_fmt_kind {
    HT_FMT_FLOAT = 0,
    HT_FMT_SIGNED = 1,
    HT_FMT_UNSIGNED = 2,
} ht_fmt_kind;

typedef struct ht_fmt_row {
    ht_format format;
    const char *name;
    uint32_t bits;
    ht_fmt_kind kind;
} ht_fmt_row;

// Rows in the order of formats.def.
extern const ht_fmt_row ht_fmt_rows[];
extern const size_t ht_fmt_row_count;
// NULL for HT_FORMAT_NONE and unknown numbers.
const ht_fmt_row *ht_fmt_find(ht_format format);

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

// The format table made from formats.def, and what follows from a tensor's description.
#include "formats.h"

#include <stdio.h>
#include <string.h>

// The public enumerators are written out for readers; here they are held to the table.
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale)                     \
    _Static_assert(HT_FORMAT_##id == (wire), "HT_FORMAT_" #id " must equal its wire number");      \
    _Static_assert((bits) > 0 && (bits) <= 64 && (kind) <= HT_FMT_STACK, "row "  #id);             \
    _Static_assert(((kind) >= HT_FMT_MINIFLOAT) == ((scale) != 0), "scales of " #id);
#include "formats.def"
#undef HT_FORMAT

// Rows hold no strings (GLSL includes the table too), so the lower-case names are listed here.
#define HT_NAME_F32 "f32"
#define HT_NAME_F16 "f16"
#define HT_NAME_BF16 "bf16"
#define HT_NAME_I32 "i32"
#define HT_NAME_E4M3 "fp8-e4m3"
#define HT_NAME_E5M2 "fp8-e5m2"
#define HT_NAME_E3M4 "fp8-e3m4"
#define HT_NAME_E2M5 "fp8-e2m5"
#define HT_NAME_MXFP8 "mxfp8"
#define HT_NAME_FP4 "fp4"
#define HT_NAME_FP4_E1M2 "fp4-e1m2"
#define HT_NAME_FP4_E3M0 "fp4-e3m0"
#define HT_NAME_NVFP4 "nvfp4"
#define HT_NAME_MXFP4 "mxfp4"
#define HT_NAME_FP4_I8 "fp4-i8"
#define HT_NAME_INT8 "int8"
#define HT_NAME_INT8_G32 "int8-g32"
#define HT_NAME_INT4 "int4"
#define HT_NAME_INT4_G32 "int4-g32"
#define HT_NAME_INT4Z "int4z"
#define HT_NAME_INT8_F16 "int8-f16"
#define HT_NAME_BIN1 "bin1"
#define HT_NAME_BIN2 "bin2"
#define HT_NAME_BIN3 "bin3"
#define HT_NAME_DUAL "dual"
#define HT_NAME_TERNARY "ternary"
#define HT_NAME_INT4_PLANES "int4-planes"
#define HT_NAME_INT8_PLANES "int8-planes"
#define HT_NAME_STACK "stack"

const ht_fmt_row ht_fmt_rows[] = {
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale)                     \
    {HT_FORMAT_##id, HT_NAME_##id, bits,  (ht_fmt_kind)(kind),  exponent,                          \
     mantissa,       top,          group, (ht_fmt_scale)(scale)},
#include "formats.def"
#undef HT_FORMAT
};
const size_t ht_fmt_row_count = sizeof ht_fmt_rows / sizeof ht_fmt_rows[0];

const ht_fmt_row *ht_fmt_find(ht_format format) {
    for (size_t i = 0; i < ht_fmt_row_count; i++) {
        if (ht_fmt_rows[i].format == format) {
            return &ht_fmt_rows[i];
        }
    }
    return NULL;
}

const char *ht_format_name(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row ? row->name : "none";
}

ht_format ht_format_find(const char *name) {
    for (size_t i = 0; i < ht_fmt_row_count; i++) {
        if (strcmp(ht_fmt_rows[i].name, name) == 0) {
            return ht_fmt_rows[i].format;
        }
    }
    return HT_FORMAT_NONE;
}

ht_format ht_format_at(size_t index) {
    return index < ht_fmt_row_count ? ht_fmt_rows[index].format : HT_FORMAT_NONE;
}

bool ht_format_is_packed(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row && row->scale != HT_FMT_SCALE_NONE && row->kind != HT_FMT_STACK;
}

bool ht_format_is_stack(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row && row->kind == HT_FMT_STACK;
}

bool ht_format_in_planes(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row && ht_fmt_in_planes(row);
}

bool ht_format_for_activations(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row && ht_format_is_packed(format) && row->kind != HT_FMT_ZERO_POINT &&
           row->scale != HT_FMT_SCALE_WHOLE && row->top > 1;
}

uint32_t ht_format_bits(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row ? row->bits : 0;
}

uint64_t ht_desc_count(const ht_tensor_desc *desc) {
    uint64_t count = 1;
    bool fits = true;
    for (uint32_t i = 0; i < desc->rank; i++) {
        if (desc->dims[i] == 0) {
            return 0;
        }
        fits = fits && ht_mul_u64(count, desc->dims[i], &count);
    }
    return fits ? count : UINT64_MAX;
}

static uint64_t rounded(uint64_t value, uint64_t step) {
    return (value + step - 1) / step * step;
}

void ht_packed_layout_of(const ht_tensor_desc *desc, ht_packed_layout *out) {
    static const uint32_t scale_bits[] = {0, 32, 16, 8, 8, 4};
    const ht_fmt_row *row = ht_fmt_find(desc->format);
    const uint32_t width = desc->rank == 0 ? 1 : desc->dims[desc->rank - 1];
    *out = (ht_packed_layout){.width = width, .rows = width ? ht_desc_count(desc) / width : 0};
    out->padded = (uint32_t)rounded(width, row->group > 32 ? row->group : 32);
    out->groups = row->group ? out->padded / row->group : ht_fmt_terms(row);
    out->row_bytes = (uint64_t)out->padded * row->bits / 8;
    out->scale_row_bytes = (uint64_t)out->groups * scale_bits[row->scale] / 8;
    out->scales_offset = rounded(out->rows * out->row_bytes, 16);
    const uint64_t scales = out->rows * out->groups;
    out->zeros_offset = rounded(out->scales_offset + out->rows * out->scale_row_bytes, 16);
    out->outer_offset = out->zeros_offset;
    if (row->kind == HT_FMT_ZERO_POINT) {
        out->outer_offset = rounded(out->zeros_offset + scales, 16);
    }
    out->outers = row->scale == HT_FMT_SCALE_E4M3    ? 1
                  : row->scale == HT_FMT_SCALE_WHOLE ? out->rows
                                                     : 0;
    out->bytes = out->outer_offset + rounded(out->outers * sizeof(float), 16);
}

uint64_t ht_desc_bytes(const ht_tensor_desc *desc) {
    uint64_t bits = 0;
    if (ht_format_is_packed(desc->format) && ht_desc_count(desc) < UINT64_MAX / 1024) {
        ht_packed_layout layout;
        ht_packed_layout_of(desc, &layout);
        return layout.bytes;
    }
    if (!ht_mul_u64(ht_desc_count(desc), ht_format_bits(desc->format), &bits)) {
        return UINT64_MAX;
    }
    return bits / 8 + (bits % 8 != 0);
}

const char *ht_desc_text(const ht_tensor_desc *desc, char *text, size_t bytes) {
    if (bytes == 0) {
        return text;
    }
    size_t used = 0;
    int written = snprintf(text, bytes, "%s [", ht_format_name(desc->format));
    for (uint32_t i = 0; i <= desc->rank && written >= 0; i++) {
        used += (size_t)written;
        if (used >= bytes) {
            break; // cut, and terminated by snprintf
        }
        if (i == desc->rank) {
            written = snprintf(text + used, bytes - used, "]");
        } else {
            written = snprintf(text + used, bytes - used, i ? ", %u" : "%u", desc->dims[i]);
        }
    }
    return text;
}

// A row of formats.def, for the kernels that decode packed formats and those that encode them.
// `format` is a specialization constant, so that only one row's arithmetic is left.
#ifndef HT_FORMAT_ROW_GLSL
#define HT_FORMAT_ROW_GLSL

#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#include "ht_load.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 1) buffer HtBytes { uint8_t v[]; };

const uint HT_KIND_MINIFLOAT = 3u; // columns of formats.def
const uint HT_KIND_SYMMETRIC = 4u;
const uint HT_KIND_ZERO_POINT = 5u;
const uint HT_KIND_SIGNS = 6u; // in bit planes from here on
const uint HT_KIND_BITS = 7u;
const uint HT_KIND_PLANES = 8u;
const uint HT_SCALE_F32 = 1u;
const uint HT_SCALE_F16 = 2u;
const uint HT_SCALE_E8M0 = 3u;
const uint HT_SCALE_E4M3 = 4u;

struct HtFormatRow {
    uint bits, kind, exponent, mantissa, top, group, scale;
};

HtFormatRow ht_format_row(uint format) {
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    if (format == wire) { \
        return HtFormatRow(bits, kind, exponent, mantissa, top, group, scale); \
    }
#include "../engine/formats/formats.def"
#undef HT_FORMAT
    return HtFormatRow(0u, 0u, 0u, 0u, 0u, 0u, 0u);
}

bool ht_is_packed(uint format) { return ht_format_row(format).scale != 0u; }

bool ht_in_planes(uint format) { return ht_format_row(format).kind >= HT_KIND_SIGNS; }

// Scales that share a group: one, or one for each plane.
uint ht_terms(uint format) {
    HtFormatRow row = ht_format_row(format);
    return row.kind == HT_KIND_SIGNS || row.kind == HT_KIND_BITS ? row.bits : 1u;
}

bool ht_is_e2m1(HtFormatRow row) {
    return row.kind == HT_KIND_MINIFLOAT && row.exponent == 2u && row.mantissa == 1u;
}

// Bias of the exponent of a minifloat.
int ht_exponent_bias(HtFormatRow row) {
    return row.exponent == 1u ? 1 : int((1u << (row.exponent - 1u)) - 1u);
}

#endif

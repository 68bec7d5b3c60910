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
const uint HT_SCALE_WHOLE = 5u;

struct HtFormatRow {
    uint bits, kind, exponent, mantissa, top, group, scale;
};

#ifdef HT_OPERANDS
// Of FORMAT_X and FORMAT_W only, each column chosen by constants of the module: drivers fold them as they
// read it. The chain of rows below, in a kernel that asks for them hundreds of times, keeps a driver
// busy for a second before it is folded.
#include "ht_operands.glsl"

#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_X == wire ? bits:
const uint HT_X_BITS =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_X == wire ? kind:
const uint HT_X_KIND =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_X == wire ? exponent:
const uint HT_X_EXPONENT =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_X == wire ? mantissa:
const uint HT_X_MANTISSA =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_X == wire ? top:
const uint HT_X_TOP =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_X == wire ? group:
const uint HT_X_GROUP =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_X == wire ? scale:
const uint HT_X_SCALE =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_W == wire ? bits:
const uint HT_W_BITS =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_W == wire ? kind:
const uint HT_W_KIND =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_W == wire ? exponent:
const uint HT_W_EXPONENT =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_W == wire ? mantissa:
const uint HT_W_MANTISSA =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_W == wire ? top:
const uint HT_W_TOP =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_W == wire ? group:
const uint HT_W_GROUP =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    FORMAT_W == wire ? scale:
const uint HT_W_SCALE =
#include "../engine/formats/formats.def"
    0u;
#undef HT_FORMAT

HtFormatRow ht_format_row(uint format) {
    const bool x = format == FORMAT_X;
    return HtFormatRow(x ? HT_X_BITS : HT_W_BITS,
                       x ? HT_X_KIND : HT_W_KIND,
                       x ? HT_X_EXPONENT : HT_W_EXPONENT,
                       x ? HT_X_MANTISSA : HT_W_MANTISSA,
                       x ? HT_X_TOP : HT_W_TOP,
                       x ? HT_X_GROUP : HT_W_GROUP,
                       x ? HT_X_SCALE : HT_W_SCALE);
}
#else
HtFormatRow ht_format_row(uint format) {
#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    if (format == wire) { \
        return HtFormatRow(bits, kind, exponent, mantissa, top, group, scale); \
    }
#include "../engine/formats/formats.def"
#undef HT_FORMAT
    return HtFormatRow(0u, 0u, 0u, 0u, 0u, 0u, 0u);
}
#endif

bool ht_is_packed(uint format) { return ht_format_row(format).scale != 0u; }

// Are the scales of groups whole numbers, which belong to the codes? A whole row is then summed before
// its scale is applied.
bool ht_has_times(uint format) { return ht_format_row(format).scale == HT_SCALE_WHOLE; }

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

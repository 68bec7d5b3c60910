// Codes and scales of the packed formats as numbers. `format` is a specialization constant, so that
// only the arithmetic of one format is left. Minifloats become f16 by moving bits, since f16 has
// fields for any of them: exact, with subnormals, and times a power of two (ht_code_unit).
#ifndef HT_FORMATS_GLSL
#define HT_FORMATS_GLSL

#include "ht_format_row.glsl"
#include "ht_packed.glsl"

const uint HT_STEP = 16u; // codes that are loaded at once; rows and groups are multiples of it

uint ht_term = 0u; // of w, where its values are sums of planes: which one is decoded

bool ht_has_zeros(uint format) { return ht_format_row(format).kind == HT_KIND_ZERO_POINT; }
// Values that are summed before a scale is applied; 0: the whole row.
uint ht_group_of(uint format) { return ht_has_times(format) ? 0u : ht_format_row(format).group; }

// Of rows of `width` values (ht_packed_layout): values with the pad, and scales.
uint ht_padded(uint format, uint width) {
    uint unit = max(ht_format_row(format).group, 32u);
    return (width + unit - 1u) / unit * unit;
}

uint ht_groups(uint format, uint width) {
    uint group = ht_format_row(format).group;
    return group == 0u ? ht_terms(format) : ht_padded(format, width) / group;
}

uint ht_row_bytes(uint format, uint width) {
    return ht_is_packed(format) ? ht_padded(format, width) * ht_format_row(format).bits / 8u
                                : width * ht_value_bytes(format);
}

// Codes HT_STEP * step and on, of a row at `address`; of bit planes 16 bits of each, two in a word.
uvec4 ht_load_codes(uint64_t address, uint format, uint step) {
    if (ht_in_planes(format)) {
        uint planes = ht_format_row(format).bits;
        uvec4 halves = uvec4(0u);
        [[unroll]] for (uint p = 0u; p < planes; p++) {
            uint word = HtU32(address).v[step / 2u * planes + p];
            halves[p / 2u] |= ((word >> (step % 2u * 16u)) & 0xffffu) << (p % 2u * 16u);
        }
        return halves;
    }
    if (ht_format_row(format).bits == 8u) {
        u64vec2 words = HtU64x2(address).v[step];
        return uvec4(unpackUint2x32(words.x), unpackUint2x32(words.y));
    }
    return uvec4(unpackUint2x32(HtU64(address).v[step]), 0u, 0u);
}

// Two minifloats, of the lowest bits of each half of `codes`.
vec2 ht_minifloats(uint codes, HtFormatRow row) {
    uint sign = 0x00010001u << (row.bits - 1u);
    uint size = (sign - 0x00010001u) & codes;
    return unpackHalf2x16(size << (10u - row.mantissa) | (codes & sign) << (16u - row.bits));
}

// The integer of value `k` of a step in bit planes; of sums of planes, in the term ht_term.
int ht_plane_value(uvec4 codes, uint k, uint format) {
    HtFormatRow row = ht_format_row(format);
    if (row.kind != HT_KIND_PLANES) {
        int bit = int((codes[ht_term / 2u] >> (ht_term % 2u * 16u + k)) & 1u);
        return row.kind == HT_KIND_SIGNS ? 2 * bit - 1 : bit;
    }
    int value = 0;
    [[unroll]] for (uint p = 0u; p < row.bits; p++) {
        int bit = int((codes[p / 2u] >> (p % 2u * 16u + k)) & 1u);
        value += p + 1u == row.bits ? -(bit << p) : bit << p;
    }
    return value;
}

// Four of the codes of a step, in ht_code_unit; zero points are not subtracted.
vec4 ht_decode_codes(uvec4 codes, uint quad, uint format) {
    HtFormatRow row = ht_format_row(format);
    if (ht_in_planes(format)) {
        return vec4(ht_plane_value(codes, 4u * quad, format),
                    ht_plane_value(codes, 4u * quad + 1u, format),
                    ht_plane_value(codes, 4u * quad + 2u, format),
                    ht_plane_value(codes, 4u * quad + 3u, format));
    }
    uint word = row.bits == 8u ? codes[quad] : codes[quad / 2u] >> (quad % 2u * 16u);
    if (row.kind == HT_KIND_MINIFLOAT) {
        uint pairs = row.bits == 8u ? word : (word & 0xffffu) | word << 8;
        vec2 even = ht_minifloats(pairs, row);
        vec2 odd = ht_minifloats(pairs >> row.bits, row);
        return vec4(even.x, odd.x, even.y, odd.y);
    }
    vec4 values;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        uint rest = 32u - row.bits;
        uint high = word << (rest - i * row.bits); // the code is at the top
        values[i] = row.kind == HT_KIND_ZERO_POINT ? float(high >> rest) : float(int(high) >> rest);
    }
    return values;
}

// What the decoded number 1 stands for, without the scale.
float ht_code_unit(uint format) {
    HtFormatRow row = ht_format_row(format);
    if (row.kind != HT_KIND_MINIFLOAT) {
        return 1.0;
    }
    return uintBitsToFloat(uint(127 + 15 - ht_exponent_bias(row)) << 23);
}

float ht_load_scale(uint64_t scales, uint format, uint index) {
    uint type = ht_format_row(format).scale;
    if (type == HT_SCALE_F32) {
        return HtF32(scales).v[index];
    }
    if (type == HT_SCALE_F16) {
        return unpackHalf2x16(uint(HtU16(scales).v[index])).x;
    }
    uint bits = uint(HtBytes(scales).v[index]);
    return type == HT_SCALE_E8M0 ? uintBitsToFloat(bits << 23)
                                 : unpackHalf2x16((bits & 0x7fu) << 7).x * 256.0;
}

#endif

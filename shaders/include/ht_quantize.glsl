// Encoding into the packed formats, in the order of operations of engine/formats/packed.c: the
// group's largest size gives the scale, the scale is rounded to its type, and what is stored is
// what is divided by. `format` is a specialization constant; sizes and values are limited ones.
#ifndef HT_QUANTIZE_GLSL
#define HT_QUANTIZE_GLSL

#include "ht_format_row.glsl"
#include "ht_quad.glsl"

const uint HT_PACK_MAX_QUADS = 16u; // of a group

// Quads that share a scale; 0: the whole row.
uint ht_pack_group_quads(uint format) { return ht_format_row(format).group / 4u; }

float ht_power(int exponent) { return uintBitsToFloat(uint(exponent + 127) << 23); }

float ht_pack_largest(HtFormatRow row) {
    if (row.kind != HT_KIND_MINIFLOAT) {
        return float(row.top);
    }
    uint steps = 1u << row.mantissa;
    int power = int(row.top >> row.mantissa) - ht_exponent_bias(row) - int(row.mantissa);
    return float(steps + (row.top & (steps - 1u))) * ht_power(power);
}

const uint HT_LEAST_NORMAL = 0x00800000u; // bits of 2^-126
const uint HT_LIMIT = 0x7f61b1e6u;        // of 3e38

// NaN and subnormals become 0, infinities large numbers. By bits: drivers may assume that there
// are neither, and may flush or keep subnormals; and those that run on the CPU take several times as
// long for a minimum of floats as for one of integers.
float ht_limited(float value) {
    uint bits = floatBitsToUint(value);
    uint size = bits & 0x7fffffffu;
    bool normal = size - HT_LEAST_NORMAL <= 0x7f800000u - HT_LEAST_NORMAL;
    return uintBitsToFloat((normal ? min(size, HT_LIMIT) : 0u) | (bits & 0x80000000u));
}

vec4 ht_limited4(vec4 v) {
    return vec4(ht_limited(v.x), ht_limited(v.y), ht_limited(v.z), ht_limited(v.w));
}

// The larger of two sizes: not below 0, and not NaN.
float ht_larger(float a, float b) {
    return uintBitsToFloat(max(floatBitsToUint(a), floatBitsToUint(b)));
}

// The largest size of four limited values.
float ht_size4(vec4 v) {
    uvec4 a = floatBitsToUint(v) & 0x7fffffffu;
    return uintBitsToFloat(max(max(a.x, a.y), max(a.z, a.w)));
}

// The integer nearest to a size below 2^22, halves to even, in the lowest bits; of a negative one in
// two's complement.
uint ht_nearest(float value) {
    precise float up = value + 12582912.0; // 1.5 * 2^23
    return floatBitsToUint(up);
}

// The code without its sign of a size that is not NaN: in steps of the last mantissa bit, where a
// carry runs on into the exponent.
uint ht_encode_size(float size, HtFormatRow row) {
    int bias = ht_exponent_bias(row);
    float kept = uintBitsToFloat(
        min(floatBitsToUint(size), floatBitsToUint(ht_pack_largest(row))));
    int exponent = max(int(floatBitsToUint(kept) >> 23) - 127, 1 - bias);
    uint steps = ht_nearest(kept * ht_power(int(row.mantissa) - exponent)) & 0xffffu;
    return min((uint(exponent + bias - 1) << row.mantissa) + steps, row.top);
}

// `value` is divided by its scale.
uint ht_encode(float value, HtFormatRow row) {
    if (row.kind == HT_KIND_MINIFLOAT) {
        return ht_encode_size(abs(value), row) | (value < 0.0 ? 1u << (row.bits - 1u) : 0u);
    }
    uint bits = floatBitsToUint(value);
    uint size = min(bits & 0x7fffffffu, floatBitsToUint(float(row.top)));
    return ht_nearest(uintBitsToFloat(size | (bits & 0x80000000u))) & ((1u << row.bits) - 1u);
}

// Codes of four values, the first in the lowest bits: 32 or 16 bits.
uint ht_encode4_of(vec4 v, float inverse, HtFormatRow row) {
    uint codes = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        codes |= ht_encode(v[i] * inverse, row) << (i * row.bits);
    }
    return codes;
}

// The same of values that gave the scale: integers need no limit then, as the largest is `top` and
// a rounding or two.
uint ht_encode4_within(vec4 v, float inverse, HtFormatRow row) {
    if (row.kind != HT_KIND_SYMMETRIC || row.scale != HT_SCALE_F32) {
        return ht_encode4_of(v, inverse, row);
    }
    uint codes = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        codes |= (ht_nearest(v[i] * inverse) & ((1u << row.bits) - 1u)) << (i * row.bits);
    }
    return codes;
}

uint ht_encode4(vec4 v, float inverse, uint format) {
    return ht_encode4_of(v, inverse, ht_format_row(format));
}

// An f16 above 0, subnormals too.
float ht_f16_value(uint bits) {
    return bits < 0x400u ? float(bits) * ht_power(-24) : uintBitsToFloat((bits << 13) + (112u << 23));
}

// Bits of the scale of a group whose largest value has this size, and 1 / scale: no scale is below
// 2^-126, so that is finite.
uint ht_pack_scale_of(float size, HtFormatRow row, out float inverse) {
    float largest = ht_pack_largest(row);
    float wanted = size == 0.0 ? 1.0 : size / largest;
    uint bits = max(floatBitsToUint(wanted), HT_LEAST_NORMAL);
    float scale = uintBitsToFloat(bits);
    if (row.scale == HT_SCALE_F16) {
        bits = max(ht_f16_bits(min(wanted, 65504.0)), 1u);
        scale = ht_f16_value(bits);
    } else if (row.scale == HT_SCALE_E8M0) { // the power of two of the largest element
        int power = int(floatBitsToUint(size) >> 23) - int(floatBitsToUint(largest) >> 23);
        bits = size == 0.0 ? 127u : uint(clamp(power + 127, 1, 254));
        scale = ht_power(int(bits) - 127);
    } else if (row.scale != HT_SCALE_F32) { // E4M3; activations have the tensor scale 1
        bits = max(ht_encode_size(wanted, ht_format_row(HT_FORMAT_E4M3)), 1u);
        uint field = bits >> 3;
        float part = float(field == 0u ? bits : 8u + (bits & 7u));
        scale = part * ht_power(int(max(field, 1u)) - 10);
    }
    inverse = 1.0 / scale;
    return bits;
}

uint ht_pack_scale(float size, uint format, out float inverse) {
    return ht_pack_scale_of(size, ht_format_row(format), inverse);
}

void ht_store_scale(uvec2 scales, uint format, uint index, uint bits) {
    uint type = ht_format_row(format).scale;
    if (type == HT_SCALE_F32) {
        HtU32(scales).v[index] = bits;
    } else if (type == HT_SCALE_F16) {
        HtU16(scales).v[index] = uint16_t(bits);
    } else {
        HtBytes(scales).v[index] = uint8_t(bits);
    }
}

// The codes of quad `quad` counted from the start of the block; rows are whole quads.
void ht_store_codes(uvec2 codes, uint format, uint quad, uint bits) {
    if (ht_format_row(format).bits == 8u) {
        HtU32(codes).v[quad] = bits;
    } else {
        HtU16(codes).v[quad] = uint16_t(bits);
    }
}

// Of quads `quad`, which is even, and quad + 1.
void ht_store_two_codes(uvec2 codes, uint format, uint quad, uvec2 bits) {
    if (ht_format_row(format).bits == 8u) {
        HtU64(codes).v[quad / 2u] = packUint2x32(bits);
    } else {
        HtU32(codes).v[quad / 2u] = bits.x | bits.y << 16;
    }
}

// A whole group in one invocation: values `v` (limited), its number in the block `group`.
void ht_pack_group(uvec2 codes, uvec2 scales, uint format, uint group,
                   const vec4 v[HT_PACK_MAX_QUADS]) {
    uint quads = ht_pack_group_quads(format);
    uint per_word = 16u / ht_format_row(format).bits;
    float size = 0.0;
    [[unroll]] for (uint q = 0u; q < HT_PACK_MAX_QUADS; q++) {
        size = q < quads ? ht_larger(size, ht_size4(v[q])) : size;
    }
    float inverse;
    ht_store_scale(scales, format, group, ht_pack_scale(size, format, inverse));
    [[unroll]] for (uint q = 0u; q < HT_PACK_MAX_QUADS; q += 4u) { // a group has 4, 8 or 16
        if (q < quads) {
            uvec4 c;
            [[unroll]] for (uint i = 0u; i < 4u; i++) {
                c[i] = ht_encode4_within(v[q + i], inverse, ht_format_row(format));
            }
            uint word = (group * quads + q) / per_word;
            if (per_word == 2u) {
                HtU64(codes).v[word] = packUint2x32(c.xy);
                HtU64(codes).v[word + 1u] = packUint2x32(c.zw);
            } else {
                HtU64(codes).v[word] = packUint2x32(uvec2(c.x | c.y << 16, c.z | c.w << 16));
            }
        }
    }
}

#endif

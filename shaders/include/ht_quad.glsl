// Four values at once, as 64-bit words: drivers that run on the CPU pay per load, not per byte.
// Addresses must be multiples of 8 and counts of 4; otherwise kernels are specialized with
// WIDE = 0, and a "quad" is a single value in .x.
#ifndef HT_QUAD_GLSL
#define HT_QUAD_GLSL

#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#include "ht_load.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer HtF32x2 { vec2 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer HtU64 { uint64_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer HtU64x2 { u64vec2 v[]; };

vec4 ht_load4(uvec2 address, uint format, uint quad) {
    if (format == HT_FORMAT_F32) {
        u64vec2 words = HtU64x2(address).v[quad];
        return vec4(uintBitsToFloat(unpackUint2x32(words.x)),
                    uintBitsToFloat(unpackUint2x32(words.y)));
    }
    uvec2 words = unpackUint2x32(HtU64(address).v[quad]);
    if (format == HT_FORMAT_F16) {
        return vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
    }
    return uintBitsToFloat(uvec4(words.x << 16, words.x & 0xffff0000u, words.y << 16,
                                 words.y & 0xffff0000u));
}

void ht_store4(uvec2 address, uint format, uint quad, vec4 value) {
    if (format == HT_FORMAT_F32) {
        HtU64x2(address).v[quad] = u64vec2(packUint2x32(floatBitsToUint(value.xy)),
                                           packUint2x32(floatBitsToUint(value.zw)));
    } else if (format == HT_FORMAT_F16) {
        HtU64(address).v[quad] =
            packUint2x32(uvec2(ht_f16_pair(value.xy), ht_f16_pair(value.zw)));
    } else {
        uvec4 bits = uvec4(ht_bf16_bits(value.x), ht_bf16_bits(value.y), ht_bf16_bits(value.z),
                           ht_bf16_bits(value.w));
        HtU64(address).v[quad] = packUint2x32(uvec2(bits.x | bits.y << 16, bits.z | bits.w << 16));
    }
}

// The same, or one value when not wide.
vec4 ht_load_quad(uvec2 address, uint format, bool wide, uint index) {
    return wide ? ht_load4(address, format, index)
                : vec4(ht_load(address, format, index), 0.0, 0.0, 0.0);
}

void ht_store_quad(uvec2 address, uint format, bool wide, uint index, vec4 value) {
    if (wide) {
        ht_store4(address, format, index, value);
    } else {
        ht_store(address, format, index, value.x);
    }
}

#endif

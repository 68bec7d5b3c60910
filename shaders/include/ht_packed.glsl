// Four neighbouring values as they lie in memory, so that loads can be issued well before the
// values are decoded. Addresses are 64-bit; PACKED loads need them to be multiples of 8.
#ifndef HT_PACKED_GLSL
#define HT_PACKED_GLSL

#include "ht_quad.glsl"

uint ht_value_bytes(uint format) { return format == HT_FORMAT_F32 ? 4u : 2u; }

// Values 4 * quad .. 4 * quad + 3; those from `count` on are 0 (unpacked loads) or, when packed
// (count is a multiple of 4), not looked at: the caller keeps quad < count / 4.
uvec4 ht_load_raw(uint64_t address, uint format, bool packed, uint quad, uint count) {
    if (packed) {
        if (format == HT_FORMAT_F32) {
            u64vec2 words = HtU64x2(address).v[quad];
            return uvec4(unpackUint2x32(words.x), unpackUint2x32(words.y));
        }
        return uvec4(unpackUint2x32(HtU64(address).v[quad]), 0u, 0u);
    }
    uvec4 values = uvec4(0u);
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        uint at = 4u * quad + i;
        if (at < count) {
            values[i] = format == HT_FORMAT_F32 ? HtU32(address).v[at] : uint(HtU16(address).v[at]);
        }
    }
    return format == HT_FORMAT_F32
               ? values
               : uvec4(values.x | values.y << 16, values.z | values.w << 16, 0u, 0u);
}

vec4 ht_decode(uvec4 raw, uint format) {
    if (format == HT_FORMAT_F32) {
        return uintBitsToFloat(raw);
    }
    if (format == HT_FORMAT_F16) {
        return vec4(unpackHalf2x16(raw.x), unpackHalf2x16(raw.y));
    }
    return uintBitsToFloat(uvec4(raw.x << 16, raw.x & 0xffff0000u, raw.y << 16,
                                 raw.y & 0xffff0000u));
}

#endif

// Four codes in the bytes of a word: products of signed integers (HT_DOT: by the device's integer dot
// product), E4M3 as floats, four bits spread out. Include after
// ht_formats.glsl and ht_quantize.glsl.
#ifndef HT_BYTES_GLSL
#define HT_BYTES_GLSL

#ifdef HT_DOT
#include "ht_dot.glsl"
#endif

ivec4 ht_bytes(int word) {
    return ivec4(bitfieldExtract(word, 0, 8), bitfieldExtract(word, 8, 8),
                 bitfieldExtract(word, 16, 8), word >> 24);
}

int ht_dot4(int a, int b) {
#ifdef HT_DOT
    return ht_dot(a, b, 0);
#else
    ivec4 p = ht_bytes(a) * ht_bytes(b);
    return (p.x + p.y) + (p.z + p.w);
#endif
}

// In units of ht_code_unit.
vec4 ht_e4m3_bytes(uint word) {
    HtFormatRow row = ht_format_row(HT_FORMAT_E4M3);
    vec2 even = ht_minifloats(word & 0x00ff00ffu, row);
    vec2 odd = ht_minifloats((word >> 8) & 0x00ff00ffu, row);
    return vec4(even.x, odd.x, even.y, odd.y);
}

// Sizes, not negative, to codes.
uint ht_e4m3_encode4(vec4 sizes) {
    HtFormatRow row = ht_format_row(HT_FORMAT_E4M3);
    uint word = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        word |= ht_encode_size(sizes[i], row) << (8u * i);
    }
    return word;
}

// The four signed nibbles of the lower half of a word as bytes.
uint ht_spread_nibbles(uint word) {
    uint bytes =
        (word & 0xfu) | (word & 0xf0u) << 4 | (word & 0xf00u) << 8 | (word & 0xf000u) << 12;
    return bytes | (bytes & 0x08080808u) * 0x1eu; // bit 3 is the sign: copied to bits 4 to 7
}

#endif

// Codes that are integers, or half of them (E2M1), as signed bytes: four in a word.
// Include after ht_formats.glsl.
#ifndef HT_INTEGER_CODES_GLSL
#define HT_INTEGER_CODES_GLSL

// Twice the value of an E2M1 code: 0 1 2 3 4 6 8 12 and their negatives.
int ht_twice_e2m1(uint code) {
    int size = int(0xc8643210u >> (code & 7u) * 4u & 15u);
    return (code & 8u) == 0u ? size : -size;
}

// Codes 4 * quad and on, of those loaded for a step, minus the zero point, times `times`.
int ht_integer_codes(uvec4 codes, uint quad, uint format, int zero, uint times) {
    HtFormatRow row = ht_format_row(format);
    if (ht_in_planes(format)) {
        uint four = 0u;
        [[unroll]] for (uint i = 0u; i < 4u; i++) {
            four |= uint(ht_plane_value(codes, 4u * quad + i, format) & 0xff) << (8u * i);
        }
        return int(four);
    }
    if (row.bits == 8u) {
        return int(codes[quad]);
    }
    uint word = codes[quad / 2u] >> (quad % 2u * 16u);
    uint bytes = 0u;
    if (row.kind == HT_KIND_MINIFLOAT) {
        [[unroll]] for (uint i = 0u; i < 4u; i++) {
            bytes |= uint(ht_twice_e2m1(word >> (4u * i)) * int(times) & 0xff) << (8u * i);
        }
        return int(bytes);
    }
    bytes = (word & 0xfu) | (word & 0xf0u) << 4 | (word & 0xf00u) << 8 | (word & 0xf000u) << 12;
    if (row.kind == HT_KIND_ZERO_POINT) { // no byte borrows: 0x80 + code is not below zero
        return int(((bytes | 0x80808080u) - uint(zero) * 0x01010101u) ^ 0x80808080u);
    }
    return int(bytes | (bytes & 0x08080808u) * 0x1eu); // bit 3 is the sign: copied to bits 4 to 7
}

#endif

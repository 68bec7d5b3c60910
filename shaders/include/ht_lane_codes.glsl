// Products of rows of integer codes of q and k (ht_attention_layout.h) for the CPU kernels: a lane
// walks its own rows of k and gets q by broadcast from the lanes that loaded it.
// Needs LANES, TILE_M, BITS and HEAD_QUADS.
#ifndef HT_LANE_CODES_GLSL
#define HT_LANE_CODES_GLSL

#include "ht_quad.glsl"

const uint PARTS = (TILE_M + LANES - 1u) / LANES;  // rows of q that each lane loads
const uint PIECE_QUADS = 32u / BITS; // in 16 bytes
const uint LAST_PIECE = (HEAD_QUADS - 1u) / PIECE_QUADS;
const uint WHOLE_PIECES = HEAD_QUADS / PIECE_QUADS;
const uint HALF = 1u << (BITS - 1u);

// Code p of a quad of k, plus HALF: one factor of a product must be known not to be negative for
// the products of eight lanes to be one instruction (ht_integer_steps.glsl).
int code_of_k(uvec4 words, uint quad, uint p) {
    uint n = quad * 4u + p;
    uint per_word = 32u / BITS;
    uint flipped = words[n / per_word] ^ (BITS == 8u ? 0x80808080u : 0x88888888u);
    return int((flipped >> (n % per_word * BITS)) & (2u * HALF - 1u));
}

int code_of_q(uvec4 words, uint quad, uint p) {
    uint n = quad * 4u + p;
    uint per_word = 32u / BITS;
    return int(words[n / per_word] << (32u - BITS - n % per_word * BITS)) >> (32u - BITS);
}

uvec4 load_piece(uint64_t row, uint piece) {
    u64vec2 words = HtU64x2(unpackUint2x32(row)).v[piece];
    return uvec4(unpackUint2x32(words.x), unpackUint2x32(words.y));
}

uint64_t row_at(uvec2 codes, uint row) {
    return packUint2x32(codes) + uint64_t(row) * ((LAST_PIECE + 1u) * 16u);
}

int sum_of_codes(uint64_t row) {
    int sum = 0;
    for (uint piece = 0u; piece <= LAST_PIECE; piece++) { // codes behind the head are 0
        uvec4 words = load_piece(row, piece);
        [[unroll]] for (uint quad = 0u; quad < PIECE_QUADS; quad++) {
            [[unroll]] for (uint p = 0u; p < 4u; p++) {
                sum += code_of_q(words, quad, p);
            }
        }
    }
    return sum;
}

void add_piece(inout ivec4 sums[TILE_M], const uint64_t q_at[PARTS], const uint64_t k_at[4],
               uint piece, uint quads) {
    uvec4 k_words[4];
    uvec4 q_words[PARTS];
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        k_words[j] = load_piece(k_at[j], piece);
    }
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        q_words[part] = load_piece(q_at[part], piece);
    }
    [[unroll]] for (uint quad = 0u; quad < PIECE_QUADS; quad++) {
        if (quad >= quads) {
            continue;
        }
        [[unroll]] for (uint p = 0u; p < 4u; p++) {
            ivec4 k = ivec4(code_of_k(k_words[0], quad, p), code_of_k(k_words[1], quad, p),
                            code_of_k(k_words[2], quad, p), code_of_k(k_words[3], quad, p));
            int q[PARTS];
            [[unroll]] for (uint part = 0u; part < PARTS; part++) {
                q[part] = code_of_q(q_words[part], quad, p);
            }
            [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
                int a = subgroupBroadcast(q[i / LANES], i % LANES);
                sums[i] += ivec4(a * k.x, a * k.y, a * k.z, a * k.w);
            }
        }
    }
}

#endif

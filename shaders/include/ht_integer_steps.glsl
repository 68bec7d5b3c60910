// Steps of the packed gemm on the CPU where both operands' codes are integers. A product of two
// values known to fit 16 bits, one of them not negative, added to an int, is one instruction for
// eight lanes on processors with AVX-512 VNNI and two on others; of floats it is a multiplication
// and an addition, after conversions. So w is shifted up by 128 to be not negative, and 128 times
// the sum of x is taken off in the end; the sums may wrap in between.
// Needs LANES, TILE_M, TILE_N, MAX_PARTS, PARTS, FORMAT_X, FORMAT_W and ht_has_short_groups.
#ifndef HT_INTEGER_STEPS_GLSL
#define HT_INTEGER_STEPS_GLSL

ivec4 int_sums[TILE_M];
int x_sums[MAX_PARTS]; // of the rows that the lane loads

// Short groups stay floats: the work at the end of each would eat up what is saved.
bool ht_are_integers() {
    return ht_format_row(FORMAT_X).kind == HT_KIND_SYMMETRIC &&
           (ht_format_row(FORMAT_W).kind == HT_KIND_SYMMETRIC || ht_in_planes(FORMAT_W)) &&
           !ht_has_short_groups();
}

const uint UP_BITS = 7u; // 128

// Where one operand has four bits, each eight codes are taken in the order 0 2 4 6 1 3 5 7, in
// which two masks take them out of a word.
bool in_nibble_order() {
    return ht_format_row(FORMAT_X).bits == 4u ||
           (ht_format_row(FORMAT_W).bits == 4u && !ht_in_planes(FORMAT_W));
}

// Four bytes plus 128 in a word: the codes of `quad` in that order.
uint shifted_nibbles(uvec4 codes, uint quad) {
    uint nibbles = (codes[quad / 2u] >> (quad % 2u * 4u)) & 0x0f0f0f0fu;
    return (nibbles ^ 0x08080808u) + 0x78787878u;
}

// Value `p` of a quad, plus 128.
uint shifted_value(uvec4 codes, uint quad, uint p, uint format) {
    if (ht_in_planes(format)) {
        uint in_order = quad / 2u * 8u + 2u * p + quad % 2u;
        return uint(ht_plane_value(codes, in_nibble_order() ? in_order : 4u * quad + p, format) +
                    128);
    }
    uint word = codes[quad] ^ 0x80808080u;
    uint at = p;
    if (ht_format_row(format).bits == 4u) {
        word = shifted_nibbles(codes, quad);
    } else if (in_nibble_order()) {
        uint k = quad / 2u * 8u + 2u * p + quad % 2u;
        word = codes[k / 4u] ^ 0x80808080u;
        at = k % 4u;
    }
    return (word >> (8u * at)) & 0xffu;
}

void clear_int_sums() {
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        int_sums[i] = ivec4(0);
    }
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        x_sums[part] = 0;
    }
}

// int_sums += the products of a step.
void add_products(const uvec4 x_codes[MAX_PARTS], const uvec4 w_codes[TILE_N]) {
    [[unroll]] for (uint quad = 0u; quad < HT_STEP / 4u; quad++) {
        ivec4 w[TILE_N];
        ivec4 x[MAX_PARTS];
        [[unroll]] for (uint p = 0u; p < 4u; p++) {
            [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
                w[j][p] = int(shifted_value(w_codes[j], quad, p, FORMAT_W));
            }
            [[unroll]] for (uint part = 0u; part < PARTS; part++) {
                x[part][p] = int(shifted_value(x_codes[part], quad, p, FORMAT_X)) - 128;
                x_sums[part] += x[part][p];
            }
        }
        [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
            uint part = i / LANES;
            uint lane = i % LANES;
            ivec4 a = ivec4(subgroupBroadcast(x[part].x, lane), subgroupBroadcast(x[part].y, lane),
                            subgroupBroadcast(x[part].z, lane), subgroupBroadcast(x[part].w, lane));
            [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
                int s = int_sums[i][j];
                s += a.x * w[j].x;
                s += a.y * w[j].y;
                s += a.z * w[j].z;
                s += a.w * w[j].w;
                int_sums[i][j] = s;
            }
        }
    }
}

// The sums of row i of the tile.
vec4 int_sums_of(uint i) {
    return vec4(int_sums[i] - (subgroupBroadcast(x_sums[i / LANES], i % LANES) << UP_BITS));
}

#endif

// Steps of the packed gemm on the CPU where both operands' codes are integers. A product of two
// values known to fit 16 bits, one of them not negative, added to an int, is one instruction for
// eight lanes on processors with AVX-512 VNNI and two on others; of floats it is a multiplication
// and an addition, after conversions. So w is shifted up by 128 to be not negative, and 128 times the
// sum of x is taken off in the end; the sums may wrap in between.
// Needs LANES, TILE_M, TILE_N, MAX_PARTS, PARTS, FORMAT_X, FORMAT_W and ht_has_short_groups.
#ifndef HT_INTEGER_STEPS_GLSL
#define HT_INTEGER_STEPS_GLSL

ivec4 int_sums[TILE_M];
int x_sums[MAX_PARTS]; // of the rows that the lane loads

// Short groups stay floats: the work at the end of each would eat up what is saved.
bool ht_are_integers() {
    return ht_format_row(FORMAT_X).kind == HT_KIND_SYMMETRIC &&
           ht_format_row(FORMAT_W).kind == HT_KIND_SYMMETRIC && !ht_has_short_groups();
}

const uint UP_BITS = 7u; // 128

// Codes 4 * quad .. 4 * quad + 3 of a step as words of four bytes plus 128; those of four bits are
// code 0 2 4 6 or 1 3 5 7 of eight.
uint shifted_bytes(uvec4 codes, uint quad, uint format) {
    HtFormatRow row = ht_format_row(format);
    if (row.bits == 8u) {
        return codes[quad] ^ 0x80808080u;
    }
    uint nibbles = (codes[quad / 2u] >> (quad % 2u * 4u)) & 0x0f0f0f0fu;
    return (nibbles ^ 0x08080808u) + 0x78787878u;
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
    const bool nibbles =
        ht_format_row(FORMAT_X).bits == 4u || ht_format_row(FORMAT_W).bits == 4u;
    [[unroll]] for (uint quad = 0u; quad < HT_STEP / 4u; quad++) {
        ivec4 w[TILE_N];
        ivec4 x[MAX_PARTS];
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            uint bytes = shifted_bytes(w_codes[j], quad, FORMAT_W);
            [[unroll]] for (uint p = 0u; p < 4u; p++) {
                w[j][p] = int((bytes >> (8u * p)) & 0xffu);
            }
        }
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            uint bytes = 0u;
            bool is_bytes = ht_format_row(FORMAT_X).bits == 8u;
            if (!is_bytes) {
                bytes = shifted_bytes(x_codes[part], quad, FORMAT_X) ^ 0x80808080u;
            }
            [[unroll]] for (uint p = 0u; p < 4u; p++) {
                uint k = nibbles ? quad / 2u * 8u + 2u * p + quad % 2u : quad * 4u + p;
                uint word = is_bytes ? x_codes[part][k / 4u] : bytes;
                uint at = is_bytes ? k % 4u : p;
                x[part][p] = int(word << (24u - 8u * at)) >> 24;
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

// Steps of the packed gemm on the CPU where both operands' codes are integers. A product of two
// values known to fit 16 bits, one of them not negative, added to an int, is one instruction for
// eight lanes on processors with AVX-512 VNNI and two on others; of floats it is a multiplication
// and an addition, after conversions. So w is shifted up by 128 to be not negative, and 128 times
// the sum of x is taken off in the end; the sums may wrap in between.
// Short groups are scaled after every step, those of two steps twice: two steps unrolled are too much
// code, a loop within the loop writes its sums under a mask. Nothing goes on to the next step but
// totals.
// Needs LANES, TILE_M, TILE_N, MAX_PARTS, PARTS, FORMAT_X, FORMAT_W, totals and ht_short_steps.
#ifndef HT_INTEGER_STEPS_GLSL
#define HT_INTEGER_STEPS_GLSL

ivec4 int_sums[TILE_M];
int x_sums[MAX_PARTS]; // of the rows that the lane loads

bool ht_has_integer_codes(uint format) {
    return ht_format_row(format).kind == HT_KIND_SYMMETRIC || ht_is_e2m1(ht_format_row(format));
}

bool ht_are_integers() {
    const bool planes = ht_in_planes(FORMAT_W) && ht_short_steps() == 0u &&
                        ht_format_row(FORMAT_X).kind == HT_KIND_SYMMETRIC;
    return planes || (ht_has_integer_codes(FORMAT_X) && ht_has_integer_codes(FORMAT_W));
}

const uint UP_BITS = 7u; // 128

// Where one operand has four bits, each eight codes are taken in the order 0 2 4 6 1 3 5 7, in
// which two masks take them out of a word.
bool in_nibble_order() {
    return ht_format_row(FORMAT_X).bits == 4u ||
           (ht_format_row(FORMAT_W).bits == 4u && !ht_in_planes(FORMAT_W));
}

// Twice the sizes of eight E2M1 codes, which are 0 1 2 3 4 6 8 12 and fit where the codes were: the code
// itself, from 4 on with its lower two bits added, and 2 more at 7.
uint twice_e2m1_sizes(uint codes) {
    uint high = (codes >> 2) & 0x11111111u;
    return (codes & 0x77777777u) + (codes & (high | high << 1)) +
           ((high & codes & (codes >> 1)) << 1);
}

// Four bytes plus 128 in a word: the codes of `quad` in that order; of E2M1 `times` twice their values.
uint shifted_nibbles(uvec4 codes, uint quad, uint format, uint times) {
    uint word = codes[quad / 2u];
    uint shift = quad % 2u * 4u;
    if (ht_is_e2m1(ht_format_row(format))) { // both quads of a word share the sizes
        uint size = ((twice_e2m1_sizes(word) >> shift) & 0x0f0f0f0fu) * times; // up to 120
        uint sign = (word >> (shift + 3u)) & 0x01010101u;
        return (size ^ (0x80808080u - sign)) + sign;
    }
    uint nibbles = (word >> shift) & 0x0f0f0f0fu;
    return (nibbles ^ 0x08080808u) + 0x78787878u;
}

// Value `p` of a quad, plus 128.
uint shifted_value(uvec4 codes, uint quad, uint p, uint format, uint times) {
    if (ht_in_planes(format)) {
        uint in_order = quad / 2u * 8u + 2u * p + quad % 2u;
        return uint(ht_plane_value(codes, in_nibble_order() ? in_order : 4u * quad + p, format) +
                    128);
    }
    uint word = codes[quad] ^ 0x80808080u;
    uint at = p;
    if (ht_format_row(format).bits == 4u) {
        word = shifted_nibbles(codes, quad, format, times);
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

// int_sums += the products of a step. All codes are decoded before: a sum then stays in a register for
// the whole step, where a visit per quad is a tenth slower. Arrays as arguments of a function would
// hide from LLVM that values are small: the loops are here twice.
void add_products(const uvec4 x_codes[MAX_PARTS], const uvec4 w_codes[TILE_N],
                  const uint w_times[TILE_N]) {
    int w[HT_STEP][TILE_N];
    int x[HT_STEP][MAX_PARTS];
    [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            w[k][j] = int(shifted_value(w_codes[j], k / 4u, k % 4u, FORMAT_W, w_times[j]));
        }
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            x[k][part] = int(shifted_value(x_codes[part], k / 4u, k % 4u, FORMAT_X, 1u)) - 128;
            x_sums[part] += x[k][part];
        }
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        int a[HT_STEP];
        [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
            a[k] = subgroupBroadcast(x[k][i / LANES], i % LANES);
        }
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            int s = int_sums[i][j];
            [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
                s += a[k] * w[k][j];
            }
            int_sums[i][j] = s;
        }
    }
}

// ---- short groups

// totals += the products of a step times the scales.
void add_short_step(const uvec4 x_codes[MAX_PARTS], const uvec4 w_codes[TILE_N],
                    const uint w_times[TILE_N],
                    const float x_scale[MAX_PARTS], const float w_scale[TILE_N]) {
    int w[HT_STEP][TILE_N];
    int x[HT_STEP][MAX_PARTS];
    int off[MAX_PARTS];
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        off[part] = 0;
    }
    [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            w[k][j] = int(shifted_value(w_codes[j], k / 4u, k % 4u, FORMAT_W, w_times[j]));
        }
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            x[k][part] = int(shifted_value(x_codes[part], k / 4u, k % 4u, FORMAT_X, 1u)) - 128;
            off[part] -= x[k][part];
        }
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        int a[HT_STEP];
        [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
            a[k] = subgroupBroadcast(x[k][i / LANES], i % LANES);
        }
        int start = subgroupBroadcast(off[i / LANES] << UP_BITS, i % LANES);
        float scale = subgroupBroadcast(x_scale[i / LANES], i % LANES);
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            int s = start;
            [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
                s += a[k] * w[k][j];
            }
            totals[i][j] = ht_add_group(totals[i][j], scale, w_scale[j], float(s));
        }
    }
}

// ---- sums of a group

// The sums of row i of the tile.
vec4 int_sums_of(uint i) {
    return vec4(int_sums[i] - (subgroupBroadcast(x_sums[i / LANES], i % LANES) << UP_BITS));
}

#endif

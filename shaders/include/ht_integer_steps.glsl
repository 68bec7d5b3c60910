// Steps of the packed gemm on the CPU where both operands' codes are integers. A product of two
// values known to fit 16 bits, one of them not negative, added to an int, is one instruction for
// eight lanes on processors with AVX-512 VNNI and two on others; of floats it is a multiplication
// and an addition, after conversions. So w is shifted up by 128 to be not negative, and 128 times
// the sum of x is taken off in the end; the sums may wrap in between.
// Groups of one step have it the other way round: x is shifted up, w signed, and the sum of w, which
// each lane has of its own columns, is taken off; nothing goes on to the next step but floats.
// Needs LANES, TILE_M, TILE_N, MAX_PARTS, PARTS, FORMAT_X, FORMAT_W, sums and ht_short_steps.
#ifndef HT_INTEGER_STEPS_GLSL
#define HT_INTEGER_STEPS_GLSL

ivec4 int_sums[TILE_M];
int x_sums[MAX_PARTS]; // of the rows that the lane loads
int w_sums[TILE_N];    // of its columns, where groups are short

bool ht_has_integer_codes(uint format) {
    return ht_format_row(format).kind == HT_KIND_SYMMETRIC || ht_is_e2m1(ht_format_row(format));
}

// Groups of two steps stay floats: their code, unrolled, is too long to gain anything.
bool ht_are_integers() {
    const bool planes = ht_in_planes(FORMAT_W) && ht_short_steps() == 0u &&
                        ht_format_row(FORMAT_X).kind == HT_KIND_SYMMETRIC;
    return planes || (ht_has_integer_codes(FORMAT_X) && ht_has_integer_codes(FORMAT_W) &&
                      ht_short_steps() != 2u);
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

// int_sums += the products of a step. All codes are decoded before: a sum then stays in a register for
// the whole step, where a visit per quad is a tenth slower. Arrays as arguments of a function would
// hide from LLVM that values are small: the loops are here twice.
void add_products(const uvec4 x_codes[MAX_PARTS], const uvec4 w_codes[TILE_N]) {
    int w[HT_STEP][TILE_N];
    int x[HT_STEP][MAX_PARTS];
    [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            w[k][j] = int(shifted_value(w_codes[j], k / 4u, k % 4u, FORMAT_W));
        }
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            x[k][part] = int(shifted_value(x_codes[part], k / 4u, k % 4u, FORMAT_X)) - 128;
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

// Four-bit code 4 * quad + p of a step, at the top of a word.
uint top_nibble(uvec4 codes, uint quad, uint p) {
    return codes[quad / 2u] << (28u - quad % 2u * 16u - 4u * p);
}

// Size of twice an E2M1 code at the top of a word, and 31 or 0 for its sign.
uint twice_size(uint code) { return (0xc8643210u >> ((code >> 26) & 28u)) & 15u; }
uint sign_mask(uint code) { return uint(int(code) >> 31) & 31u; }

const uint SHORT_UP_FLOAT = 31u; // at which no bit of a negative number needs a carry

uint short_up() {
    return ht_is_e2m1(ht_format_row(FORMAT_X)) ? SHORT_UP_FLOAT
                                               : 1u << (ht_format_row(FORMAT_X).bits - 1u);
}

// Plus short_up().
uint short_x(uvec4 codes, uint quad, uint p) {
    if (ht_format_row(FORMAT_X).bits == 8u) {
        return ((codes[quad] ^ 0x80808080u) >> (8u * p)) & 0xffu;
    }
    uint code = top_nibble(codes, quad, p);
    if (ht_is_e2m1(ht_format_row(FORMAT_X))) {
        uint mask = sign_mask(code);
        return (twice_size(code) ^ mask) + (mask ^ SHORT_UP_FLOAT);
    }
    return (code >> 28) ^ 8u;
}

int short_w(uvec4 codes, uint quad, uint p) {
    if (ht_format_row(FORMAT_W).bits == 8u) {
        return int(codes[quad] << (24u - 8u * p)) >> 24;
    }
    uint code = top_nibble(codes, quad, p);
    if (ht_is_e2m1(ht_format_row(FORMAT_W))) {
        int mask = int(code) >> 31;
        return (int(twice_size(code)) ^ mask) - mask;
    }
    return int(code) >> 28;
}

void clear_short_sums() {
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        w_sums[j] = 0;
    }
}

// sums = the products of a step.
void add_short_products(const uvec4 x_codes[MAX_PARTS], const uvec4 w_codes[TILE_N]) {
    int w[HT_STEP][TILE_N];
    int x[HT_STEP][MAX_PARTS];
    [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            w[k][j] = short_w(w_codes[j], k / 4u, k % 4u);
            w_sums[j] += w[k][j];
        }
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            x[k][part] = int(short_x(x_codes[part], k / 4u, k % 4u));
        }
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        int a[HT_STEP];
        [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
            a[k] = subgroupBroadcast(x[k][i / LANES], i % LANES);
        }
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            int s = a[0] * w[0][j];
            [[unroll]] for (uint k = 1u; k < HT_STEP; k++) {
                s += a[k] * w[k][j];
            }
            sums[i][j] = float(s);
        }
    }
}

// ---- sums of a group

// The sums of row i of the tile.
vec4 int_sums_of(uint i) {
    if (ht_short_steps() != 0u) {
        vec4 off;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            off[j] = j < TILE_N ? float(w_sums[min(j, TILE_N - 1u)] * int(short_up())) : 0.0;
        }
        return sums[i] - off;
    }
    return vec4(int_sums[i] - (subgroupBroadcast(x_sums[i / LANES], i % LANES) << UP_BITS));
}

#endif

// Steps of the packed gemm on the CPU where both operands' codes are integers. A product of two
// values known to fit 16 bits, one of them not negative, added to an int, is one instruction for
// eight lanes on processors with AVX-512 VNNI (FUSED) and two on others; of floats it is a multiplication
// and an addition, after conversions. So the codes of one operand are shifted up by 128, and 128 times the
// sum of the other is taken off.
// Every step is scaled, also where scales stay: a loop within the loop writes its sums under a mask, and
// two steps unrolled are too much code. But where FUSED is, whole rows of eight bits are summed first.
// Needs LANES, TILE_M, TILE_N, MAX_PARTS, PARTS, FORMAT_X, FORMAT_W, FUSED and totals.
#ifndef HT_INTEGER_STEPS_GLSL
#define HT_INTEGER_STEPS_GLSL

ivec4 int_sums[TILE_M];
int x_sums[MAX_PARTS]; // of the rows that the lane loads

bool ht_has_integer_codes(uint format) {
    return ht_format_row(format).kind == HT_KIND_SYMMETRIC || ht_is_e2m1(ht_format_row(format));
}

bool ht_are_integers() {
    const bool planes = ht_in_planes(FORMAT_W) && ht_format_row(FORMAT_X).kind == HT_KIND_SYMMETRIC;
    return planes || (ht_has_integer_codes(FORMAT_X) && ht_has_integer_codes(FORMAT_W));
}

// Whether scales come after the whole row.
bool ht_are_whole_rows() {
    return FUSED && ht_are_integers() && ht_steps_per_group(0u) == 0u &&
           !ht_is_e2m1(ht_format_row(FORMAT_W));
}

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

// Four signed bytes: the codes of `quad` in that order; of E2M1 `times` twice their values. No byte
// borrows from the next while 128 is added to it.
uint nibble_bytes(uvec4 codes, uint quad, uint format, uint times) {
    uint word = codes[quad / 2u];
    uint shift = quad % 2u * 4u;
    if (ht_is_e2m1(ht_format_row(format))) { // both quads of a word share the sizes
        uint size = ((twice_e2m1_sizes(word) >> shift) & 0x0f0f0f0fu) * times; // up to 120
        uint sign = (word >> (shift + 3u)) & 0x01010101u;
        return ((size ^ (0x80808080u - sign)) + sign) ^ 0x80808080u;
    }
    uint nibbles = (word >> shift) & 0x0f0f0f0fu;
    return ((nibbles ^ 0x08080808u) + 0x78787878u) ^ 0x80808080u;
}

// The codes of a step as signed bytes: those of a quad in a word, or, of eight bits, as they lie.
uint step_bytes(uvec4 codes, uint word, uint format, uint times) {
    return ht_format_row(format).bits == 8u ? codes[word] : nibble_bytes(codes, word, format, times);
}

// Where number k of the nibble order lies among a step's codes in theirs.
uint nibble_order(uint k) { return k / 8u * 8u + k % 4u * 2u + k / 4u % 2u; }

// Which of these bytes is multiplied as number k.
uint step_byte(uint k, uint format) {
    return ht_format_row(format).bits == 8u && in_nibble_order() ? nibble_order(k) : k;
}

int signed_byte(uint bytes, uint at) { return int(bytes << (24u - at % 4u * 8u)) >> 24u; }

// The same plus 128, seen not to be negative.
int shifted_byte(uint shifted, uint at) { return int((shifted >> (at % 4u * 8u)) & 0xffu); }
uint shifted_bytes(uint bytes) { return bytes ^ 0x80808080u; }

int plane_value(uvec4 codes, uint k) {
    return ht_plane_value(codes, in_nibble_order() ? nibble_order(k) : k, FORMAT_W);
}

// ---- by steps

// Codes of a row of the tile plus 128. Four go by one broadcast: that is two instructions, and so is to
// take four bytes apart. Where FUSED is, shifting is what costs, and each goes alone.
void broadcast_row(const uvec4 x_codes[MAX_PARTS], uint i, out int x[HT_STEP]) {
    [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
        uint at = step_byte(k, FORMAT_X);
        uint four = shifted_bytes(step_bytes(x_codes[i / LANES], at / 4u, FORMAT_X, 1u));
        x[k] = FUSED ? subgroupBroadcast(shifted_byte(four, at), i % LANES)
                     : shifted_byte(subgroupBroadcast(four, i % LANES), at);
    }
}

// totals += the products of a step times the scales.
void add_scaled_products(const uvec4 x_codes[MAX_PARTS], const uvec4 w_codes[TILE_N],
                         const uint w_times[TILE_N], const float x_scale[MAX_PARTS],
                         const float w_scale[TILE_N]) {
    int w[HT_STEP][TILE_N];
    int start[TILE_N];
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        int sum = 0;
        [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
            uint at = step_byte(k, FORMAT_W);
            w[k][j] = ht_in_planes(FORMAT_W)
                          ? plane_value(w_codes[j], k)
                          : signed_byte(step_bytes(w_codes[j], at / 4u, FORMAT_W, w_times[j]), at);
            sum += w[k][j];
        }
        start[j] = -(sum << 7u);
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        int x[HT_STEP];
        broadcast_row(x_codes, i, x);
        float scale = subgroupBroadcast(x_scale[i / LANES], i % LANES);
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            int sum = start[j];
            [[unroll]] for (uint k = 0u; k < HT_STEP; k++) {
                sum += x[k] * w[k][j];
            }
            totals[i][j] = ht_add_group(totals[i][j], scale, w_scale[j], float(sum));
        }
    }
}

// ---- whole rows

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
        uint at = step_byte(k, FORMAT_W);
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            uint four = shifted_bytes(step_bytes(w_codes[j], at / 4u, FORMAT_W, 1u));
            w[k][j] = ht_in_planes(FORMAT_W) ? plane_value(w_codes[j], k) + 128
                                             : shifted_byte(four, at);
        }
        at = step_byte(k, FORMAT_X);
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            uint four = shifted_bytes(step_bytes(x_codes[part], at / 4u, FORMAT_X, 1u));
            x[k][part] = shifted_byte(four, at) - 128;
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

// The sums of row i of the tile.
vec4 int_sums_of(uint i) {
    return vec4(int_sums[i] - (subgroupBroadcast(x_sums[i / LANES], i % LANES) << 7u));
}

#endif

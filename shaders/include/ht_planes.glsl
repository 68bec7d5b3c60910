// Products of two operands in bit planes: with both split into bits, sum over k of w x is a sum of
// counts of bits that both have, times powers of two. Pads are 0 in x, and add nothing.
// After arbitrary-bit decomposition (ABQ-LLM) and binary products by AND and bit counts.
// Needs FORMAT_X, FORMAT_W and push.depth.
#ifndef HT_PLANES_GLSL
#define HT_PLANES_GLSL

const uint HT_PLANE_STEP = 32u;  // values that are loaded at once: a word of each plane
const uint HT_MAX_PLANES = 8u;

uint ht_plane_steps() { return (push.depth + HT_PLANE_STEP - 1u) / HT_PLANE_STEP; }

// Planes of w that count in a term: one of a sum of planes, all of an integer.
uint ht_term_planes() {
    HtFormatRow row = ht_format_row(FORMAT_W);
    return row.kind == HT_KIND_PLANES ? row.bits : 1u;
}

uint ht_load_w_plane(uint64_t row, uint step, uint plane) {
    HtFormatRow of = ht_format_row(FORMAT_W);
    uint p = of.kind == HT_KIND_PLANES ? plane : ht_term;
    return HtU32(row).v[step * of.bits + p];
}

// The words of a step of x.
void ht_load_x_planes(uint64_t row, uint step, uint keep, out uint x[HT_MAX_PLANES]) {
    uint planes = ht_format_row(FORMAT_X).bits;
    if (planes == 8u) {
        [[unroll]] for (uint i = 0u; i < 2u; i++) {
            u64vec2 words = HtU64x2(row).v[2u * step + i];
            x[4u * i] = unpackUint2x32(words.x).x & keep;
            x[4u * i + 1u] = unpackUint2x32(words.x).y & keep;
            x[4u * i + 2u] = unpackUint2x32(words.y).x & keep;
            x[4u * i + 3u] = unpackUint2x32(words.y).y & keep;
        }
        return;
    }
    [[unroll]] for (uint p = 0u; p < planes; p++) {
        x[p] = HtU32(row).v[step * planes + p] & keep;
    }
}

// The sum of x where `mask` has ones, over a step: of integers in two's complement the highest plane
// counts negative; of signs each bit counts 2, and each value of the mask -1.
int ht_masked_sum(uint mask, const uint x[HT_MAX_PLANES]) {
    HtFormatRow row = ht_format_row(FORMAT_X);
    if (row.kind == HT_KIND_SIGNS) {
        return 2 * bitCount(mask & x[0]) - bitCount(mask);
    }
    int sum = -bitCount(mask & x[row.bits - 1u]);
    [[unroll]] for (uint i = 1u; i < row.bits; i++) {
        sum = (sum << 1) + bitCount(mask & x[row.bits - 1u - i]);
    }
    return sum;
}

// The same over a term of w: w[plane].
int ht_planes_sum(const uint w[HT_MAX_PLANES], const uint x[HT_MAX_PLANES]) {
    uint planes = ht_term_planes();
    int sum = ht_masked_sum(w[0], x);
    if (planes == 1u) {
        return sum;
    }
    [[unroll]] for (uint p = 1u; p < planes; p++) {
        int part = ht_masked_sum(w[p], x) << p;
        sum += p + 1u == planes ? -part : part;
    }
    return sum;
}

bool ht_needs_x_sums() { return ht_format_row(FORMAT_W).kind == HT_KIND_SIGNS; }

// The sum of x over a step, without what its length adds where x is signs (ht_whole_sum).
int ht_x_sum(const uint x[HT_MAX_PLANES]) {
    return ht_format_row(FORMAT_X).kind == HT_KIND_SIGNS ? 2 * bitCount(x[0])
                                                         : ht_masked_sum(0xffffffffu, x);
}

// The term's sum over a row, from those over where w has ones and over all of x.
int ht_whole_sum(int masked, int x_sum) {
    if (!ht_needs_x_sums()) {
        return masked;
    }
    int length = ht_format_row(FORMAT_X).kind == HT_KIND_SIGNS ? int(push.depth) : 0;
    return 2 * masked - (x_sum - length);
}

#endif

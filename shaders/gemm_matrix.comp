// linear and conv2d by cooperative matrices, for GPUs that have them: TILE x TILE results (64 or
// 128) per workgroup of 2 * TILE invocations. Steps of DEPTH values of k pass through shared memory
// as what is multiplied: f16, integers of a byte, or E4M3; codes are decoded on the way. While a
// step is multiplied the next one is already being fetched, into registers. A subgroup owns FM x FN
// matrices of sums. Where a group ends they are multiplied by both scales: matrices that repeat a
// column of x's scales and a row of w's. Reads x once per TILE columns and w once per TILE rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_matrix.glsl"
#ifdef HT_ELEMENT_S8
#define HT_INTEGER_CODES
#endif
#define HT_OPERANDS
#include "ht_formats.glsl"
#include "ht_integer_codes.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_pixel.glsl"
#include "ht_groups.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 9) const uint TILE = 64;
layout(constant_id = 14) const uint SUBGROUPS_M = 2;
layout(constant_id = 15) const uint SUBGROUPS_N = 2;
layout(constant_id = 16) const uint FETCHES = 1; // of HT_STEP values, by each of a row's two invocations

const uint DEPTH = 2u * FETCHES * HT_STEP;
const uint FM = TILE / (SUBGROUPS_M * TM);
const uint FN = TILE / (SUBGROUPS_N * TN);
const uint MATRICES = FM * FN;

// 16 bytes more than the values: eight rows then meet eight different sets of banks.
#ifdef HT_ELEMENT_F16
const uint PITCH = DEPTH / 4u + 2u;
#else
const uint PITCH = DEPTH / 4u + 4u;
#endif

const uint OF_X = 0u;
const uint OF_W = 1u;
shared HT_ELEMENT4 tiles[2u * TILE * PITCH];         // [x, w][row][k / 4]
shared float scales[2u * FETCHES * 2u * TILE];       // [fetch of the step][x, w][row]
shared float finished[SUBGROUPS_M * SUBGROUPS_N * TM * TN];

// Rows of x and w that an invocation fetches, and where it is in them.
uint64_t x_at, w_at;
uint x_row, w_row;
bool x_valid, w_valid;
uint number, part; // row in the tiles; which half of the fetches
Pixel pixel;
uint column;

struct Fetched { // as it lies in memory
    uvec4 x[2], w[2];
    float x_scale, w_scale, zero;
    uint times;
};
Fetched fetched[FETCHES];

// Values that are summed before scales are applied; 0: whole rows, or there are no scales.
uint group_values() {
    uint x = ht_group_of(FORMAT_X);
    uint w = ht_group_of(FORMAT_W);
    return x == 0u ? w : w == 0u ? x : min(x, w);
}

void fetch_operand(uint64_t at, uint format, uint step, bool valid, out uvec4 raw[2]) {
    raw[0] = uvec4(0u);
    raw[1] = uvec4(0u);
    if (ht_is_packed(format)) {
        if (valid && step * HT_STEP < ht_padded(format, push.depth)) {
            raw[0] = ht_load_codes(at, format, step);
        }
        return;
    }
    [[unroll]] for (uint q = 0u; q < 4u; q++) { // f16
        uint quad = step * (HT_STEP / 4u) + q;
        if (valid && 4u * quad < push.depth) {
            uvec2 two = ht_load_raw(at, HT_FORMAT_F16, PACKED_K, quad, push.depth).xy;
            raw[q / 2u][q % 2u * 2u] = two.x;
            raw[q / 2u][q % 2u * 2u + 1u] = two.y;
        }
    }
}

// Begin to load `chunk` (DEPTH values) of the rows.
void fetch(uint chunk) {
    [[unroll]] for (uint f = 0u; f < FETCHES; f++) {
        uint step = (chunk * FETCHES + f) * 2u + part;
        fetch_operand(x_at, FORMAT_X, step, x_valid, fetched[f].x);
        fetch_operand(w_at, FORMAT_W, step, w_valid, fetched[f].w);
        if (ht_is_packed(FORMAT_W) && step * HT_STEP < ht_padded(FORMAT_W, push.depth)) {
            fetched[f].zero = ht_w_zero(w_row, step);
            fetched[f].times = ht_w_times(w_row, step);
        }
        bool first = group_values() != 0u || (chunk == 0u && f == 0u);
        if (ht_is_packed(FORMAT_W) && first && step * HT_STEP < ht_padded(FORMAT_W, push.depth)) {
            fetched[f].w_scale = ht_w_scale(w_row, step);
        }
        if (ht_is_packed(FORMAT_X) && first && step * HT_STEP < ht_padded(FORMAT_X, push.depth)) {
            fetched[f].x_scale = ht_x_scale(x_row, step);
        }
    }
}

#if defined HT_ELEMENT_S8
HT_ELEMENT4 decode(uvec4 raw[2], uint quad, uint format, float zero, uint times) {
    return unpack8(ht_integer_codes(raw[0], quad, format, int(zero), times));
}
#elif defined HT_ELEMENT_E4M3
// E4M3 has the fields of every smaller minifloat: a matter of moving bits, as with f16.
HT_ELEMENT4 decode(uvec4 raw[2], uint quad, uint format, float zero, uint times) {
    HtFormatRow row = ht_format_row(format);
    uint word = raw[0][quad];
    if (row.bits == 4u) {
        word = raw[0][quad / 2u] >> (quad % 2u * 16u);
        word = (word & 0xfu) | (word & 0xf0u) << 4 | (word & 0xf00u) << 8 | (word & 0xf000u) << 12;
        word = (word & 0x07070707u) << (3u - row.mantissa) | (word & 0x08080808u) << 4;
    }
    return uintBitsToFloate4m3EXT(unpack8(word));
}
#else
HT_ELEMENT4 decode(uvec4 raw[2], uint quad, uint format, float zero, uint times) {
    if (!ht_is_packed(format)) {
        uvec4 words = raw[quad / 2u];
        return HT_ELEMENT4(unpackFloat2x16(words[quad % 2u * 2u]),
                           unpackFloat2x16(words[quad % 2u * 2u + 1u]));
    }
    if (ht_has_times(format)) {
        return HT_ELEMENT4(ht_decode_w(raw[0], quad, times));
    }
    return HT_ELEMENT4(ht_decode_codes(raw[0], quad, format) * ht_code_unit(format) - zero);
}
#endif

// What was fetched, decoded, to where subgroups multiply it.
void share() {
    [[unroll]] for (uint f = 0u; f < FETCHES; f++) {
        uint to = number * PITCH + (2u * f + part) * (HT_STEP / 4u);
        [[unroll]] for (uint q = 0u; q < HT_STEP / 4u; q++) {
            tiles[to + q] = decode(fetched[f].x, q, FORMAT_X, 0.0, 1u);
            tiles[TILE * PITCH + to + q] =
                decode(fetched[f].w, q, FORMAT_W, fetched[f].zero, fetched[f].times);
        }
        if (ht_is_packed(FORMAT_W)) {
            uint slot = (2u * f + part) * 2u * TILE + number;
            scales[slot + OF_W * TILE] = fetched[f].w_scale;
            if (ht_is_packed(FORMAT_X)) {
                scales[slot + OF_X * TILE] = fetched[f].x_scale;
            }
        }
    }
}

HT_MATRIX_SUM sums[MATRICES];
HT_MATRIX_F32 totals[MATRICES]; // with scales: sums of the groups before

// totals += sums times the scales of fetch `which`, in the order of ht_add_group; sums = 0.
void add_group(uint which, uint row0, uint column0) {
    HT_MATRIX_F32 x[FM];
    if (ht_is_packed(FORMAT_X)) {
        [[unroll]] for (uint m = 0u; m < FM; m++) {
            coopMatLoad(x[m], scales, (which * 2u + OF_X) * TILE + row0 + m * TM, 0u,
                        gl_CooperativeMatrixLayoutColumnMajor);
        }
    }
    [[unroll]] for (uint n = 0u; n < FN; n++) {
        HT_MATRIX_F32 w;
        coopMatLoad(w, scales, (which * 2u + OF_W) * TILE + column0 + n * TN, 0u,
                    gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint m = 0u; m < FM; m++) {
            precise HT_MATRIX_F32 scale = w;
            if (ht_is_packed(FORMAT_X)) {
                scale = x[m] * w;
            }
            precise HT_MATRIX_F32 products = scale * HT_MATRIX_F32(sums[m * FN + n]);
            precise HT_MATRIX_F32 total = totals[m * FN + n] + products;
            totals[m * FN + n] = total;
            sums[m * FN + n] = HT_MATRIX_SUM(HT_SUM(0));
        }
    }
}

void multiply(uint chunk, bool last, uint row0, uint column0) {
    for (uint k = 0u; k < DEPTH / TK; k++) {
        HT_MATRIX_A x[FM];
        [[unroll]] for (uint m = 0u; m < FM; m++) {
            coopMatLoad(x[m], tiles, (row0 + m * TM) * PITCH + k * TK / 4u, PITCH,
                        gl_CooperativeMatrixLayoutRowMajor);
        }
        [[unroll]] for (uint n = 0u; n < FN; n++) {
            HT_MATRIX_B w;
            coopMatLoad(w, tiles, (TILE + column0 + n * TN) * PITCH + k * TK / 4u, PITCH,
                        gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint m = 0u; m < FM; m++) {
                sums[m * FN + n] = coopMatMulAdd(x[m], w, sums[m * FN + n]);
            }
        }
        if (ht_is_packed(FORMAT_W)) {
            uint group = group_values();
            bool row_ends = last && k + 1u == DEPTH / TK;
            if (group == 0u ? row_ends : row_ends || (chunk * DEPTH + (k + 1u) * TK) % group == 0u) {
                add_group(group == 0u ? 0u : k * TK / HT_STEP, row0, column0);
            }
        }
    }
}

// Point at the rows of a tap.
void begin_tap(uint tap) {
    uint tap_y = tap / push.kernel_w;
    uint valid;
    x_row = pixel_row(pixel, int(tap_y), int(tap - tap_y * push.kernel_w), valid);
    x_valid = valid != 0u && pixel.image != ~0u;
    x_at = ht_x_row(x_row);
    w_row = column * push.kernel_h * push.kernel_w + tap;
    w_at = ht_w_row(w_row);
}

void finish(uint row0, uint column0) {
    uint mine = gl_SubgroupID * TM * TN;
    [[unroll]] for (uint i = 0u; i < MATRICES; i++) {
        if (ht_is_packed(FORMAT_W)) {
            coopMatStore(totals[i], finished, mine, TN, gl_CooperativeMatrixLayoutRowMajor);
        } else {
            coopMatStore(HT_MATRIX_F32(sums[i]), finished, mine, TN,
                         gl_CooperativeMatrixLayoutRowMajor);
        }
        subgroupBarrier();
        for (uint q = gl_SubgroupInvocationID; q < TM * TN / 4u; q += gl_SubgroupSize) {
            uint row = row0 + i / FN * TM + q / (TN / 4u);
            uint first = column0 + i % FN * TN + q % (TN / 4u) * 4u;
            uint from = mine + 4u * q;
            vec4 sum = vec4(finished[from], finished[from + 1u], finished[from + 2u],
                            finished[from + 3u]);
            ht_finish(row, first, 4u, row / push.rows_per_gate, sum, ht_load_bias(first, 4u));
        }
        subgroupBarrier();
    }
}

void main() {
    uint group = HT_GROUP;
    if (group >= push.tiles_m * push.tiles_n) {
        return;
    }
    // Bands of a few row tiles, column by column: what a band reads stays in the cache.
    uint per_band = push.band * push.tiles_n;
    uint band = group / per_band;
    uint in_band = group - band * per_band;
    uint height = min(push.band, push.tiles_m - band * push.band);
    uint tile_n = in_band / height;
    uint row0 = (band * push.band + in_band - tile_n * height) * TILE;
    uint column0 = tile_n * TILE;

    number = gl_LocalInvocationID.x / 2u;
    part = gl_LocalInvocationID.x % 2u;
    pixel = pixel_of(min(row0 + number, push.rows - 1u));
    if (row0 + number >= push.rows) {
        pixel.image = ~0u;
    }
    column = min(column0 + number, push.columns - 1u);
    w_valid = column0 + number < push.columns;
    [[unroll]] for (uint i = 0u; i < MATRICES; i++) {
        sums[i] = HT_MATRIX_SUM(HT_SUM(0));
        totals[i] = HT_MATRIX_F32(0.0);
    }
    [[unroll]] for (uint f = 0u; f < FETCHES; f++) {
        fetched[f].x_scale = 0.0;
        fetched[f].w_scale = 0.0;
        fetched[f].zero = 0.0;
        fetched[f].times = 1u;
    }

    uint my_row = gl_SubgroupID / SUBGROUPS_N * (FM * TM); // of the tile
    uint my_column = gl_SubgroupID % SUBGROUPS_N * (FN * TN);
    uint chunks = (push.depth + DEPTH - 1u) / DEPTH;
    uint taps = push.kernel_h * push.kernel_w;
    begin_tap(0u);
    fetch(0u);
    for (uint tap = 0u; tap < taps; tap++) {
        for (uint chunk = 0u; chunk < chunks; chunk++) {
            barrier(); // what was shared before has been multiplied
            share();
            barrier();
            bool last = chunk + 1u == chunks;
            if (last && tap + 1u < taps) {
                begin_tap(tap + 1u);
            }
            if (!last || tap + 1u < taps) {
                fetch(last ? 0u : chunk + 1u);
            }
            multiply(chunk, last, my_row, my_column);
        }
    }
    finish(row0 + my_row, column0 + my_column);
}

// What the packed gemm kernels with tiles in shared memory have in common: the lines that an
// invocation fetches, their scales, and the walk over taps and tiles. A kernel brings its tiles and
// multiply_groups.
#ifndef HT_PACKED_TILES_GLSL
#define HT_PACKED_TILES_GLSL

#define HT_OPERANDS
#include "ht_formats.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_pixel.glsl"
#include "ht_groups.glsl"

layout(local_size_x_id = 0) in; // HT_GEMM_TILE_INVOCATIONS

const uint PITCH = HT_GEMM_TILE_M / 4u + 1u; // odd, against bank conflicts of the writes

const uint OF_X = 0u;
const uint OF_W = 1u;
shared vec4 scales[2][HT_GEMM_TILE_M / 4u];

vec4 totals[8];

struct Line { // a row of x and one of w that an invocation fetches
    uint64_t x, w;
    uint x_row, w_row;
    bool x_valid, w_valid;
    uint number; // in the tiles
    uint part;   // of the step: 0 or 1
};

// The kernel's own: totals += the products of whole rows, group by group.
void multiply_groups(Line line, uint my_rows, uint my_columns);

void share_scales(Line line, uint step) {
    if (line.part == 0u) {
        scales[OF_X][line.number / 4u][line.number % 4u] =
            line.x_valid ? ht_x_scale(line.x_row, step) : 0.0;
        scales[OF_W][line.number / 4u][line.number % 4u] = ht_w_scale(line.w_row, step);
    }
}

// totals[i] += a group's sums of row i times the scales.
void add_group(uint i, vec4 sums_of_row, uint my_rows, uint my_columns) {
    vec4 w = scales[OF_W][my_columns / 4u];
    float x = scales[OF_X][my_rows / 4u + i / 4u][i % 4u];
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        totals[i][j] = ht_add_group(totals[i][j], x, w[j], sums_of_row[j]);
    }
}

void main() {
    uint group = HT_GROUP;
    if (group >= push.tiles_m * push.tiles_n) {
        return;
    }
    uint tile_m = group / push.tiles_n;
    uint row0 = tile_m * HT_GEMM_TILE_M;
    uint column0 = (group - tile_m * push.tiles_n) * HT_GEMM_TILE_N;

    Line line;
    line.number = gl_LocalInvocationID.x / 2u;
    line.part = gl_LocalInvocationID.x % 2u;
    line.w_valid = column0 + line.number < push.columns;
    uint column = min(column0 + line.number, push.columns - 1u);
    Pixel pixel = pixel_of(min(row0 + line.number, push.rows - 1u));

    uint my_rows = gl_LocalInvocationID.x / 16u * 8u; // of the tile, when multiplying
    uint my_columns = gl_LocalInvocationID.x % 16u * 4u;
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        totals[i] = vec4(0.0);
    }
    for (uint tap_y = 0u; tap_y < push.kernel_h; tap_y++) {
        for (uint tap_x = 0u; tap_x < push.kernel_w; tap_x++) {
            uint valid;
            line.x_row = pixel_row(pixel, int(tap_y), int(tap_x), valid);
            line.x = ht_x_row(line.x_row);
            line.x_valid = valid != 0u && row0 + line.number < push.rows;
            line.w_row = (column * push.kernel_h + tap_y) * push.kernel_w + tap_x;
            line.w = ht_w_row(line.w_row);
            for (uint term = 0u; term < ht_terms(FORMAT_W); term++) {
                ht_term = term;
                multiply_groups(line, my_rows, my_columns);
            }
        }
    }

    vec4 bias = ht_load_bias(column0 + my_columns, 4u);
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        uint row = row0 + my_rows + i;
        ht_finish(row, column0 + my_columns, 4u, row / push.rows_per_gate, totals[i], bias);
    }
}

#endif

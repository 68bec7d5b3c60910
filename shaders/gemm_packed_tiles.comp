// linear and conv2d with packed weights, and floats or packed x, for GPUs: as gemm_tiles.comp, the
// codes being decoded on their way into shared memory. The sums of a group are multiplied by both
// scales, which pass through shared memory too.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_formats.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_pixel.glsl"
#include "ht_groups.glsl"

layout(local_size_x_id = 0) in; // HT_GEMM_TILE_INVOCATIONS

const uint PITCH = HT_GEMM_TILE_M / 4u + 1u; // odd, against bank conflicts of the writes

const uint OF_X = 0u;
const uint OF_W = 1u;
shared vec4 tiles[2][HT_STEP][PITCH]; // [k][row / 4][row % 4]
shared vec4 scales[2][HT_GEMM_TILE_M / 4u];

vec4 totals[8];
vec4 sums[8];
ivec4 counts[8]; // LONG_SUMS: of the products in the whole row

struct Line { // a row of x and one of w that an invocation fetches
    uint64_t x, w;
    uint x_row, w_row;
    bool x_valid, w_valid;
    uint number; // in the tiles
    uint part;   // of the step: 0 or 1
};

void put(uint which, Line line, uint quad, vec4 v) {
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        tiles[which][4u * quad + i][line.number / 4u][line.number % 4u] = v[i];
    }
}

void fetch(Line line, uint step, float zero) {
    uvec4 w_codes = ht_load_codes(line.w, FORMAT_W, step);
    uvec4 x_codes = uvec4(0u);
    if (ht_is_packed(FORMAT_X) && line.x_valid) {
        x_codes = ht_load_codes(line.x, FORMAT_X, step);
    }
    [[unroll]] for (uint q = 0u; q < 2u; q++) {
        uint quad = line.part * 2u + q;
        uint k = step * (HT_STEP / 4u) + quad;
        put(OF_W, line, quad,
            line.w_valid ? ht_decode_codes(w_codes, quad, FORMAT_W) - zero : vec4(0.0));
        vec4 x = vec4(0.0);
        if (ht_is_packed(FORMAT_X)) {
            x = ht_decode_codes(x_codes, quad, FORMAT_X);
        } else if (line.x_valid && 4u * k < push.depth) {
            x = ht_decode(ht_load_raw(line.x, FORMAT_X, PACKED_K, k, push.depth), FORMAT_X);
        }
        put(OF_X, line, quad, x);
    }
}

void start_group(Line line, uint step) {
    if (line.part == 0u) {
        scales[OF_X][line.number / 4u][line.number % 4u] = ht_x_scale(line.x_row, step);
        scales[OF_W][line.number / 4u][line.number % 4u] = ht_w_scale(line.w_row, step);
    }
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        sums[i] = vec4(0.0);
    }
}

void multiply_step(uint my_rows, uint my_columns) {
    for (uint s = 0u; s < HT_STEP; s++) {
        vec4 w = tiles[OF_W][s][my_columns / 4u];
        vec4 low = tiles[OF_X][s][my_rows / 4u];
        vec4 high = tiles[OF_X][s][my_rows / 4u + 1u];
        [[unroll]] for (uint i = 0u; i < 4u; i++) {
            sums[i] += low[i] * w;
            sums[4u + i] += high[i] * w;
        }
    }
}

// totals += sums times the scales.
void finish_group(uint my_rows, uint my_columns) {
    vec4 w = scales[OF_W][my_columns / 4u];
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        float x = scales[OF_X][my_rows / 4u + i / 4u][i % 4u];
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            totals[i][j] = ht_add_group(totals[i][j], x, w[j], sums[i][j]);
        }
    }
}

void multiply_groups(Line line, uint my_rows, uint my_columns) {
    uint steps = (push.depth + HT_STEP - 1u) / HT_STEP;
    uint per_group = ht_steps_per_group(steps);
    float zero = 0.0;
    for (uint step = 0u; step < steps; step++) {
        if (step % per_group == 0u) {
            zero = ht_w_zero(line.w_row, step);
            start_group(line, step);
        }
        fetch(line, step, zero);
        barrier();
        multiply_step(my_rows, my_columns);
        bool last = step + 1u == steps;
        bool ends = last || (step + 1u) % per_group == 0u;
        if (LONG_SUMS && ends) {
            [[unroll]] for (uint i = 0u; i < 8u; i++) {
                counts[i] = (step < per_group ? ivec4(0) : counts[i]) + ivec4(sums[i]);
                sums[i] = vec4(counts[i]);
            }
        }
        if (LONG_SUMS ? last : ends) {
            finish_group(my_rows, my_columns);
        }
        barrier();
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
            multiply_groups(line, my_rows, my_columns);
        }
    }

    vec4 bias = ht_load_bias(column0 + my_columns, 4u);
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        uint row = row0 + my_rows + i;
        ht_finish(row, column0 + my_columns, 4u, row / push.rows_per_gate, totals[i], bias);
    }
}

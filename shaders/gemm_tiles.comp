// linear and conv2d for GPUs: 64 x 64 results per workgroup of 128, 8 x 4 per invocation; steps of
// 16 values of k pass through shared memory as f32 (9 KiB). Reads x once per 64 columns and w once
// per 64 rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_packed.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_pixel.glsl"

layout(local_size_x_id = 0) in; // HT_GEMM_TILE_INVOCATIONS

const uint STEP = 16u;
const uint PITCH = HT_GEMM_TILE_M / 4u + 1u; // odd, against bank conflicts of the writes

const uint OF_X = 0u;
const uint OF_W = 1u;
shared vec4 tiles[2][STEP][PITCH]; // [k][row / 4][row % 4]

// Each invocation fetches eight values of k of one row of x and of one row of w.
void fetch(uint which, uint row, uint first_k, uint64_t address, uint format, bool valid) {
    [[unroll]] for (uint q = 0u; q < 2u; q++) {
        uint quad = first_k / 4u + q;
        vec4 v = vec4(0.0);
        if (valid && 4u * quad < push.depth) {
            v = ht_decode(ht_load_raw(address, format, PACKED_K, quad, push.depth), format);
        }
        [[unroll]] for (uint i = 0u; i < 4u; i++) {
            tiles[which][(first_k + 4u * q + i) % STEP][row / 4u][row % 4u] = v[i];
        }
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

    uint line = gl_LocalInvocationID.x / 2u; // of the tiles, when fetching
    uint part = gl_LocalInvocationID.x % 2u * 8u;
    Pixel pixel = pixel_of(min(row0 + line, push.rows - 1u));
    bool row_inside = row0 + line < push.rows;
    bool column_inside = column0 + line < push.columns;
    uint w_bytes = push.depth * ht_value_bytes(FORMAT_W);
    uint64_t w_at = packUint2x32(push.w) + uint64_t(min(column0 + line, push.columns - 1u)) *
                                               (push.kernel_h * push.kernel_w * w_bytes);

    uint my_rows = gl_LocalInvocationID.x / 16u * 8u; // of the tile, when multiplying
    uint my_columns = gl_LocalInvocationID.x % 16u * 4u;
    vec4 sums[8];
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        sums[i] = vec4(0.0);
    }

    for (uint tap_y = 0u; tap_y < push.kernel_h; tap_y++) {
        for (uint tap_x = 0u; tap_x < push.kernel_w; tap_x++) {
            uint valid;
            uint64_t x_at = pixel_address(pixel, int(tap_y), int(tap_x), valid);
            for (uint k = 0u; k < push.depth; k += STEP) {
                fetch(OF_X, line, k + part, x_at, FORMAT_X, row_inside && valid != 0u);
                fetch(OF_W, line, k + part, w_at, FORMAT_W, column_inside);
                barrier();
                for (uint s = 0u; s < STEP; s++) {
                    vec4 w = tiles[OF_W][s][my_columns / 4u];
                    vec4 low = tiles[OF_X][s][my_rows / 4u];
                    vec4 high = tiles[OF_X][s][my_rows / 4u + 1u];
                    [[unroll]] for (uint i = 0u; i < 4u; i++) {
                        sums[i] += low[i] * w;
                        sums[4u + i] += high[i] * w;
                    }
                }
                barrier();
            }
            w_at += w_bytes;
        }
    }

    vec4 bias = ht_load_bias(column0 + my_columns, 4u);
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        uint row = row0 + my_rows + i;
        ht_finish(row, column0 + my_columns, 4u, row / push.rows_per_gate, sums[i], bias);
    }
}

// linear and conv2d for drivers that run a subgroup as one CPU vector: loads are the cost, so a
// lane owns TILE_N neighbouring columns, walks their rows of w along k in packed words, and gets
// x by broadcast from the lanes that loaded it. One subgroup per workgroup, no shared memory.
// A workgroup computes TILE_M rows x (LANES * TILE_N) columns.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_ballot : require
#include "ht_packed.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_pixel.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 9) const uint TILE_M = 16; // a multiple of LANES
layout(constant_id = 10) const uint TILE_N = 4; // 4, or 1 for few columns

// 16 values of f16 are half a cache line. With fewer, the lines of rows whose stride is a power of
// two are evicted before their next use; with more, registers spill.
const uint QUADS = !PACKED_K ? 1u : FORMAT_X == HT_FORMAT_F32 ? 2u : 4u;
#include "ht_lane_rows.glsl"

void main() {
    uint lane = gl_SubgroupInvocationID;
    uint group = HT_GROUP;
    if (group >= push.tiles_m * push.tiles_n) {
        return;
    }
    uint per_band = push.band * push.tiles_n;
    uint band = group / per_band;
    uint in_band = group - band * per_band;
    uint height = min(push.band, push.tiles_m - band * push.band);
    uint tile_n = in_band / height;
    uint row0 = (band * push.band + in_band - tile_n * height) * TILE_M;
    uint column0 = (tile_n * LANES + lane) * TILE_N;

    Pixel pixel[MAX_PARTS];
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        pixel[part] = pixel_of(min(row0 + part * LANES + lane, push.rows - 1u));
    }
    uint64_t w_at[TILE_N];
    uint w_bytes = push.depth * ht_value_bytes(FORMAT_W);
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        w_at[j] = packUint2x32(push.w) + uint64_t(min(column0 + j, push.columns - 1u)) *
                                             (push.kernel_h * push.kernel_w * w_bytes);
    }
    clear_sums();
    for (uint tap_y = 0u; tap_y < push.kernel_h; tap_y++) {
        for (uint tap_x = 0u; tap_x < push.kernel_w; tap_x++) {
            uint64_t x_at[MAX_PARTS];
            uint valid[MAX_PARTS];
            [[unroll]] for (uint part = 0u; part < PARTS; part++) {
                x_at[part] = pixel_address(pixel[part], int(tap_y), int(tap_x), valid[part]);
            }
            multiply(x_at, valid, w_at, push.depth);
            [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
                w_at[j] += w_bytes;
            }
        }
    }

    vec4 bias = ht_load_bias(column0, TILE_N);
    uint gate_row = row0 / push.rows_per_gate;
    uint in_gate = row0 - gate_row * push.rows_per_gate;
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        ht_finish(row0 + i, column0, TILE_N, gate_row, sums[i], bias);
        in_gate++;
        if (in_gate == push.rows_per_gate) {
            in_gate = 0u;
            gate_row++;
        }
    }
}

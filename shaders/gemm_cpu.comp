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

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 9) const uint TILE_M = 16; // a multiple of LANES
layout(constant_id = 10) const uint TILE_N = 4; // 4, or 1 for few columns

// Quads of k per step: 16 values are half a cache line of f16. Fewer waste the lines that rows with
// power-of-two strides evict before their next use; more spill.
const uint QUADS = 4u;
const uint MAX_PARTS = 8u;
const uint PARTS = TILE_M / LANES; // rows that each lane loads x for

struct Pixel { // where a row of the result reads x
    uint image;
    int y, x; // of tap (0, 0), upsampled and padded
};

Pixel pixel_of(uint row) {
    uint line = row / push.out_w;
    uint image = line / push.out_h;
    return Pixel(image, int((line - image * push.out_h) * push.stride) - push.pad_top,
                 int((row - line * push.out_w) * push.stride) - push.pad_left);
}

// Address of the first channel that `p` reads at a tap; valid = 0 in the padding.
uint64_t pixel_address(Pixel p, int tap_y, int tap_x, out uint valid) {
    int y = p.y + tap_y;
    int x = p.x + tap_x;
    bool inside = y >= 0 && x >= 0 && y < int(push.in_h * push.upsample) &&
                  x < int(push.in_w * push.upsample);
    valid = inside ? 0xffffffffu : 0u;
    if (push.upsample == 2u) { // the only other size; a shift instead of a division per lane
        y >>= 1;
        x >>= 1;
    }
    uint at = inside ? (p.image * push.in_h + uint(y)) * push.in_w + uint(x) : 0u;
    return packUint2x32(push.x) + uint64_t(at) * (push.depth * ht_value_bytes(FORMAT_X));
}

vec4 sums[TILE_M];

void multiply(const uvec4 x_raw[MAX_PARTS], const uvec4 w_raw[TILE_N]) {
    vec4 w[TILE_N];
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        w[j] = ht_decode(w_raw[j], FORMAT_W);
    }
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        vec4 x = ht_decode(x_raw[part], FORMAT_X);
        [[unroll]] for (uint lane = 0u; lane < LANES; lane++) {
            vec4 a = vec4(subgroupBroadcast(x.x, lane), subgroupBroadcast(x.y, lane),
                          subgroupBroadcast(x.z, lane), subgroupBroadcast(x.w, lane));
            [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
                float s = sums[part * LANES + lane][j];
                s += a.x * w[j].x;
                s += a.y * w[j].y;
                s += a.z * w[j].z;
                s += a.w * w[j].w;
                sums[part * LANES + lane][j] = s;
            }
        }
    }
}

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
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        sums[i] = vec4(0.0);
    }

    uint quads = (push.depth + 3u) / 4u;
    for (uint tap_y = 0u; tap_y < push.kernel_h; tap_y++) {
        for (uint tap_x = 0u; tap_x < push.kernel_w; tap_x++) {
            uint64_t x_at[MAX_PARTS];
            uint valid[MAX_PARTS];
            [[unroll]] for (uint part = 0u; part < PARTS; part++) {
                x_at[part] = pixel_address(pixel[part], int(tap_y), int(tap_x), valid[part]);
            }
            for (uint k = 0u; k < quads; k += QUADS) {
                uvec4 x[QUADS][MAX_PARTS];
                uvec4 w[QUADS][TILE_N];
                [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
                    [[unroll]] for (uint u = 0u; u < QUADS; u++) {
                        w[u][j] = ht_load_raw(w_at[j], FORMAT_W, PACKED_K, min(k + u, quads - 1u),
                                              push.depth);
                    }
                }
                [[unroll]] for (uint part = 0u; part < PARTS; part++) {
                    [[unroll]] for (uint u = 0u; u < QUADS; u++) {
                        uint keep = k + u < quads ? valid[part] : 0u;
                        x[u][part] = ht_load_raw(x_at[part], FORMAT_X, PACKED_K,
                                                 min(k + u, quads - 1u), push.depth) & keep;
                    }
                }
                [[unroll]] for (uint u = 0u; u < QUADS; u++) {
                    multiply(x[u], w[u]);
                }
            }
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

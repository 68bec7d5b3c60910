// linear and conv2d of operands in bit planes, for drivers that run a subgroup as one CPU vector. As
// gemm_packed_cpu.comp: a lane owns TILE_N neighbouring columns and gets x by broadcast, here a word
// of each plane, which is 32 values.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_ballot : require
#define HT_OPERANDS
#include "ht_formats.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_pixel.glsl"
#include "ht_groups.glsl"
#include "ht_planes.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 9) const uint TILE_M = 8;
layout(constant_id = 10) const uint TILE_N = 4; // 4, or 1 for few columns

const uint MAX_PARTS = 4u;
const uint PARTS = (TILE_M + LANES - 1u) / LANES; // rows of x that each lane loads

vec4 totals[TILE_M];
ivec4 counts[TILE_M];
int x_sums[MAX_PARTS];

struct Place { // of what a lane reads at a tap
    uint64_t x[MAX_PARTS];
    uint keep[MAX_PARTS]; // 0: padding
    float x_scale[MAX_PARTS];
    uint64_t w[TILE_N];
    uint w_row[TILE_N];
};

// counts += the products of a step.
void multiply_step(Place at, uint step) {
    uint planes = ht_format_row(FORMAT_X).bits;
    uint w[TILE_N][HT_MAX_PLANES];
    uint x[MAX_PARTS][HT_MAX_PLANES];
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        [[unroll]] for (uint p = 0u; p < ht_term_planes(); p++) {
            w[j][p] = ht_load_w_plane(at.w[j], step, p);
        }
    }
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        ht_load_x_planes(at.x[part], step, at.keep[part], x[part]);
        if (ht_needs_x_sums()) {
            x_sums[part] += ht_x_sum(x[part]);
        }
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        uint a[HT_MAX_PLANES];
        [[unroll]] for (uint p = 0u; p < planes; p++) {
            a[p] = subgroupBroadcast(x[i / LANES][p], i % LANES);
        }
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            counts[i][j] += ht_planes_sum(w[j], a);
        }
    }
}

// totals += the sums of a term times the scales.
void multiply_term(Place at) {
    float w_scale[TILE_N];
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        w_scale[j] = ht_w_scale(at.w_row[j], 0u);
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        counts[i] = ivec4(0);
    }
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        x_sums[part] = 0;
    }
    for (uint step = 0u; step < ht_plane_steps(); step++) {
        multiply_step(at, step);
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        float a = subgroupBroadcast(at.x_scale[i / LANES], i % LANES);
        int x_sum = subgroupBroadcast(x_sums[i / LANES], i % LANES);
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            float sum = float(ht_whole_sum(counts[i][j], x_sum));
            totals[i][j] = ht_add_group(totals[i][j], a, w_scale[j], sum);
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
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        totals[i] = vec4(0.0);
    }
    for (uint tap_y = 0u; tap_y < push.kernel_h; tap_y++) {
        for (uint tap_x = 0u; tap_x < push.kernel_w; tap_x++) {
            Place at;
            [[unroll]] for (uint part = 0u; part < PARTS; part++) {
                uint row = pixel_row(pixel[part], int(tap_y), int(tap_x), at.keep[part]);
                at.x[part] = ht_x_row(row);
                at.x_scale[part] = at.keep[part] != 0u ? ht_x_scale(row, 0u) : 0.0;
            }
            [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
                uint column = min(column0 + j, push.columns - 1u);
                at.w_row[j] = (column * push.kernel_h + tap_y) * push.kernel_w + tap_x;
                at.w[j] = ht_w_row(at.w_row[j]);
            }
            for (uint term = 0u; term < ht_terms(FORMAT_W); term++) {
                ht_term = term;
                multiply_term(at);
            }
        }
    }

    vec4 bias = ht_load_bias(column0, TILE_N);
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        ht_finish(row0 + i, column0, TILE_N, (row0 + i) / push.rows_per_gate, totals[i], bias);
    }
}

// linear and conv2d with packed weights, and floats or packed x, for drivers that run a subgroup as
// one CPU vector. As gemm_cpu.comp: a lane owns TILE_N neighbouring columns and gets x by
// broadcast. The codes of a group are multiplied as they are, and their sum then by both scales;
// where they are integers, mostly that of each step. Results are floats, INT8_G32 or both.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_ballot : require
#define HT_OPERANDS
#include "ht_formats.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_pixel.glsl"
#define HT_INTEGERS_WHERE_POSSIBLE
#include "ht_groups.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 9) const uint TILE_M = 16; // a multiple of LANES
layout(constant_id = 10) const uint TILE_N = 4; // 4, or 1 for few columns
layout(constant_id = 12) const uint FORMAT_COPY = 0; // INT8_G32 behind the floats; 0: none
layout(constant_id = 13) const bool FUSED = false;   // ht_vk_limits.fused_integers

const uint QUADS = 1u;
#include "ht_lane_rows.glsl"

// Steps of the shorter group, when it is short.
const uint SHORT_STEPS = 2u;
uint ht_short_steps() {
    uint steps = ht_steps_per_group(0u);
    return steps <= SHORT_STEPS ? steps : 0u;
}

vec4 totals[TILE_M];

#include "ht_integer_steps.glsl"
#include "ht_pack_tile.glsl"

struct Place { // of what a lane reads at a tap
    uint64_t x[MAX_PARTS];
    uint keep[MAX_PARTS];  // 0: padding
    uint x_row[MAX_PARTS]; // for scales
    uint64_t w[TILE_N];
    uint w_row[TILE_N];
};

vec4 x_quad(uvec4 codes, uint quad, Place at, uint part, uint step) {
    if (ht_is_packed(FORMAT_X)) {
        return ht_decode_codes(codes, quad, FORMAT_X);
    }
    uint quads = (push.depth + 3u) / 4u;
    uint k = step * (HT_STEP / 4u) + quad;
    uvec4 raw = ht_load_raw(at.x[part], FORMAT_X, PACKED_K, min(k, quads - 1u), push.depth);
    return ht_decode(raw & (k < quads ? at.keep[part] : 0u), FORMAT_X);
}

void load_step(Place at, uint step, out uvec4 x_codes[MAX_PARTS], out uvec4 w_codes[TILE_N],
               out uint w_times[TILE_N]) {
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        w_codes[j] = ht_load_codes(at.w[j], FORMAT_W, step);
        w_times[j] = ht_w_times(at.w_row[j], step);
    }
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        if (ht_is_packed(FORMAT_X)) {
            x_codes[part] = ht_load_codes(at.x[part], FORMAT_X, step) & at.keep[part];
        }
    }
}

// sums += the products of a step.
void multiply_step(Place at, uint step, const float zeros[TILE_N]) {
    uvec4 w_codes[TILE_N];
    uvec4 x_codes[MAX_PARTS];
    uint w_times[TILE_N];
    load_step(at, step, x_codes, w_codes, w_times);
    if (ht_are_integers()) {
        add_products(x_codes, w_codes);
        return;
    }
    [[unroll]] for (uint quad = 0u; quad < HT_STEP / 4u; quad++) {
        vec4 w[TILE_N];
        vec4 x[MAX_PARTS];
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            w[j] = ht_decode_w(w_codes[j], quad, w_times[j]);
            if (ht_has_zeros(FORMAT_W)) {
                w[j] -= zeros[j];
            }
        }
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            x[part] = x_quad(x_codes[part], quad, at, part, step);
        }
        multiply_values(x, w);
    }
}

// totals += sums times the scales.
void finish_group(const float x_scale[MAX_PARTS], const float w_scale[TILE_N]) {
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        float a = subgroupBroadcast(x_scale[i / LANES], i % LANES);
        vec4 sum = ht_are_integers() ? int_sums_of(i) : sums[i];
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            totals[i][j] = ht_add_group(totals[i][j], a, w_scale[j], sum[j]);
        }
    }
}

// sums = the products of steps first .. last - 1, which are of one group. Short groups without a
// loop: the driver writes what a loop carries anew, under a mask, each time around.
void multiply_steps(Place at, uint first, uint last, const float zeros[TILE_N]) {
    if (ht_are_integers()) {
        clear_int_sums();
    } else {
        clear_sums();
    }
    if (ht_short_steps() != 0u) { // the rest of a row's last group is pad, which is 0
        [[unroll]] for (uint i = 0u; i < ht_short_steps(); i++) {
            multiply_step(at, first + i, zeros);
        }
        return;
    }
    for (uint step = first; step < last; step++) {
        multiply_step(at, step, zeros);
    }
}

void multiply_groups(Place at) {
    uint steps = (push.depth + HT_STEP - 1u) / HT_STEP;
    const bool by_steps = ht_are_integers() && !ht_are_whole_rows();
    uint per_group = by_steps ? 1u : ht_steps_per_group(steps);
    float x_scale[MAX_PARTS];
    float w_scale[TILE_N];
    float zeros[TILE_N];
    for (uint first = 0u; first < steps; first += per_group) {
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            if (first == 0u || ht_group_of(FORMAT_X) != 0u) {
                x_scale[part] = ht_x_scale(at.x_row[part], first);
            }
        }
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            if (first == 0u || ht_group_of(FORMAT_W) != 0u) {
                w_scale[j] = ht_w_scale(at.w_row[j], first);
                zeros[j] = ht_w_zero(at.w_row[j], first);
            }
        }
        if (by_steps) {
            uvec4 w_codes[TILE_N];
            uvec4 x_codes[MAX_PARTS];
            uint w_times[TILE_N];
            load_step(at, first, x_codes, w_codes, w_times);
            add_scaled_products(x_codes, w_codes, w_times, x_scale, w_scale);
        } else {
            multiply_steps(at, first, min(first + per_group, steps), zeros);
            finish_group(x_scale, w_scale);
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
                at.x_row[part] = pixel_row(pixel[part], int(tap_y), int(tap_x), at.keep[part]);
                at.x[part] = ht_x_row(at.x_row[part]);
            }
            [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
                uint column = min(column0 + j, push.columns - 1u);
                at.w_row[j] = (column * push.kernel_h + tap_y) * push.kernel_w + tap_x;
                at.w[j] = ht_w_row(at.w_row[j]);
            }
            for (uint term = 0u; term < ht_terms(FORMAT_W); term++) {
                ht_term = term;
                multiply_groups(at);
            }
        }
    }

    vec4 bias = ht_load_bias(column0, TILE_N);
    if (FORMAT_RESULT == HT_FORMAT_INT8_G32) {
        pack_tile(row0, column0, bias);
        return;
    }
    uint gate_row = row0 / push.rows_per_gate;
    uint in_gate = row0 - gate_row * push.rows_per_gate;
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        ht_finish(row0 + i, column0, TILE_N, gate_row, totals[i], bias);
        if (FORMAT_COPY != 0u) {
            pack_copy(row0 + i, column0);
        }
        in_gate++;
        if (in_gate == push.rows_per_gate) {
            in_gate = 0u;
            gate_row++;
        }
    }
}

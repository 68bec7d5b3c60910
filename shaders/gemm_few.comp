// linear on up to ROWS (1, 2, 4 or 8) rows of x, for GPUs: timesteps, pooled text. A workgroup makes
// four columns of the result; its invocations share the values along k. Codes are summed as in the
// other kernels: the groups' sums are exact, and added up in the order of the groups, from shared
// memory; of whole rows the order is free, where sums are integers they are counted as int.
// Reads w once and x once per four columns.
#version 460
#extension GL_GOOGLE_include_directive : require
#define HT_OPERANDS
#include "ht_formats.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_groups.glsl"

layout(local_size_x_id = 0) in; // HT_GEMM_FEW_INVOCATIONS
layout(constant_id = 9) const uint ROWS = 8;

#include "ht_reduce.glsl"

shared vec4 parts[HT_GEMM_FEW_INVOCATIONS][ROWS]; // of groups, for four columns
shared vec4 totals[ROWS];

vec4 sums[ROWS];

uint column_of(uint j, uint column0) { return min(column0 + j, push.columns - 1u); }

uvec4 load_step(uint64_t row, uint format, uint step) {
    return ht_is_packed(format) ? ht_load_codes(row, format, step) : uvec4(0u);
}

vec4 values_of(uint64_t row, uvec4 codes, uint format, uint step, uint quad, uint times) {
    if (ht_is_packed(format)) {
        return ht_has_times(format) ? ht_decode_w(codes, quad, times)
                                    : ht_decode_codes(codes, quad, format);
    }
    uint k = step * (HT_STEP / 4u) + quad;
    return 4u * k < push.depth
               ? ht_decode(ht_load_raw(row, format, PACKED_K, k, push.depth), format)
               : vec4(0.0);
}

// sums += the products of a step.
void multiply_step(uint column0, uint step) {
    uint64_t w_at[4];
    uvec4 w_codes[4];
    uvec4 x_codes[ROWS];
    float zero[4];
    uint times[4];
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        uint column = column_of(j, column0);
        w_at[j] = ht_w_row(column);
        w_codes[j] = load_step(w_at[j], FORMAT_W, step);
        zero[j] = ht_w_zero(column, step);
        times[j] = ht_w_times(column, step);
    }
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        x_codes[i] = load_step(ht_x_row(min(i, push.rows - 1u)), FORMAT_X, step);
    }
    [[unroll]] for (uint q = 0u; q < HT_STEP / 4u; q++) {
        vec4 w[4];
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            w[j] = values_of(w_at[j], w_codes[j], FORMAT_W, step, q, times[j]) - zero[j];
        }
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {
            vec4 x = values_of(ht_x_row(min(i, push.rows - 1u)), x_codes[i], FORMAT_X, step, q, 1u);
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                sums[i][j] += dot(x, w[j]);
            }
        }
    }
}

void clear_sums() {
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        sums[i] = vec4(0.0);
    }
}

vec4 scaled(uint row, uint column0, uint step, vec4 sum) {
    if (!ht_is_packed(FORMAT_W)) {
        return sum;
    }
    vec4 result;
    float x = ht_x_scale(row, step);
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        result[j] = ht_add_group(0.0, x, ht_w_scale(column_of(j, column0), step), sum[j]);
    }
    return result;
}

// An invocation takes whole groups; the first ROWS of them then add up what the others made.
void multiply_groups(uint column0, uint per_group) {
    uint lane = gl_LocalInvocationID.x;
    uint steps = (push.depth + HT_STEP - 1u) / HT_STEP;
    uint groups = (steps + per_group - 1u) / per_group;
    vec4 total = ht_term != 0u && lane < ROWS ? totals[lane] : vec4(0.0);
    for (uint first = 0u; first < groups; first += gl_WorkGroupSize.x) {
        uint group = first + lane;
        clear_sums();
        for (uint s = group * per_group; s < min((group + 1u) * per_group, steps); s++) {
            multiply_step(column0, s);
        }
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {
            if (group < groups) {
                parts[lane][i] =
                    scaled(min(i, push.rows - 1u), column0, group * per_group, sums[i]);
            }
        }
        barrier();
        uint count = min(gl_WorkGroupSize.x, groups - first);
        for (uint g = 0u; lane < ROWS && g < count; g++) {
            precise vec4 more = total + parts[g][lane];
            total = more;
        }
        barrier();
    }
    if (lane < ROWS) {
        totals[lane] = total;
    }
}

void multiply_rows(uint column0) {
    uint steps = (push.depth + HT_STEP - 1u) / HT_STEP;
    ivec4 counts[ROWS];
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        counts[i] = ivec4(0);
    }
    clear_sums();
    for (uint s = gl_LocalInvocationID.x; s < steps; s += gl_WorkGroupSize.x) {
        multiply_step(column0, s);
        [[unroll]] for (uint i = 0u; LONG_SUMS && i < ROWS; i++) { // 16 products are exact
            counts[i] += ivec4(sums[i]);
            sums[i] = vec4(0.0);
        }
    }
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        vec4 sum;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            sum[j] = LONG_SUMS ? float(ht_group_count(counts[i][j])) : ht_group_sum(sums[i][j]);
        }
        if (gl_LocalInvocationID.x == 0u) {
            precise vec4 more =
                totals[i] + scaled(min(i, push.rows - 1u), column0, 0u, sum);
            totals[i] = ht_term == 0u ? scaled(min(i, push.rows - 1u), column0, 0u, sum) : more;
        }
    }
}

void main() {
    uint group = HT_GROUP;
    if (group >= push.tiles_n) {
        return;
    }
    uint column0 = 4u * group;
    uint per_group = LONG_SUMS ? 0u : ht_steps_per_group(0u);
    uint terms = ht_is_packed(FORMAT_W) ? ht_terms(FORMAT_W) : 1u;
    for (uint term = 0u; term < terms; term++) {
        ht_term = term;
        if (per_group != 0u) {
            multiply_groups(column0, per_group);
        } else {
            multiply_rows(column0);
        }
    }
    barrier();
    uint row = gl_LocalInvocationID.x;
    if (row < ROWS) {
        ht_finish(row, column0, 4u, row / push.rows_per_gate, totals[row],
                  ht_load_bias(column0, 4u));
    }
}

// linear and conv2d with packed weights, and floats or packed x, for GPUs: as gemm_tiles.comp, the
// codes being decoded on their way into shared memory. The sums of a group are multiplied by both
// scales, which pass through shared memory too.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_packed_tiles.glsl"

shared vec4 tiles[2][HT_STEP][PITCH]; // [k][row / 4][row % 4]

vec4 sums[8];
ivec4 counts[8]; // LONG_SUMS: of the products in the whole row

void put(uint which, Line line, uint quad, vec4 v) {
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        tiles[which][4u * quad + i][line.number / 4u][line.number % 4u] = v[i];
    }
}

void fetch(Line line, uint step, float zero) {
    uint times = ht_w_times(line.w_row, step);
    uvec4 w_codes = ht_load_codes(line.w, FORMAT_W, step);
    uvec4 x_codes = uvec4(0u);
    if (ht_is_packed(FORMAT_X) && line.x_valid) {
        x_codes = ht_load_codes(line.x, FORMAT_X, step);
    }
    [[unroll]] for (uint q = 0u; q < 2u; q++) {
        uint quad = line.part * 2u + q;
        uint k = step * (HT_STEP / 4u) + quad;
        put(OF_W, line, quad,
            line.w_valid ? ht_decode_w(w_codes, quad, times) - zero : vec4(0.0));
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
    share_scales(line, step);
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
            [[unroll]] for (uint i = 0u; i < 8u; i++) {
                add_group(i, sums[i], my_rows, my_columns);
            }
        }
        barrier();
    }
}

// linear and conv2d where both operands' codes are integers, or twice of them are (E2M1): four
// products at a time by the device's integer dot product. For GPUs; as gemm_packed_tiles.comp,
// with four codes of k in each word of shared memory, and sums that are int.
#version 460
#extension GL_GOOGLE_include_directive : require
#define HT_INTEGER_CODES
#include "ht_packed_tiles.glsl"
#include "ht_dot.glsl"
#include "ht_integer_codes.glsl"

const uint WORDS = HT_STEP / 4u;

shared ivec4 tiles[2][WORDS][PITCH]; // [k / 4][row / 4][row % 4]

ivec4 sums[8];

void fetch(Line line, uint step, int zero) {
    uint times = ht_w_times(line.w_row, step);
    uvec4 w_codes = ht_load_codes(line.w, FORMAT_W, step);
    uvec4 x_codes = ht_load_codes(line.x, FORMAT_X, step);
    [[unroll]] for (uint q = 0u; q < WORDS / 2u; q++) {
        uint quad = line.part * (WORDS / 2u) + q;
        tiles[OF_W][quad][line.number / 4u][line.number % 4u] =
            line.w_valid ? ht_integer_codes(w_codes, quad, FORMAT_W, zero, times) : 0;
        tiles[OF_X][quad][line.number / 4u][line.number % 4u] =
            line.x_valid ? ht_integer_codes(x_codes, quad, FORMAT_X, 0, 1u) : 0;
    }
}

void start_group(Line line, uint step) {
    share_scales(line, step);
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        sums[i] = ivec4(0);
    }
}

void multiply_step(uint my_rows, uint my_columns) {
    [[unroll]] for (uint s = 0u; s < WORDS; s++) {
        ivec4 w = tiles[OF_W][s][my_columns / 4u];
        ivec4 x[2] = {tiles[OF_X][s][my_rows / 4u], tiles[OF_X][s][my_rows / 4u + 1u]};
        [[unroll]] for (uint i = 0u; i < 8u; i++) {
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                sums[i][j] += ht_dot(x[i / 4u][i % 4u], w[j], 0);
            }
        }
    }
}

void multiply_groups(Line line, uint my_rows, uint my_columns) {
    uint steps = (push.depth + HT_STEP - 1u) / HT_STEP;
    uint per_group = LONG_SUMS ? steps : ht_steps_per_group(steps); // sums are int anyway
    int zero = 0;
    for (uint step = 0u; step < steps; step++) {
        if (step % per_group == 0u) {
            zero = int(ht_w_zero(line.w_row, step));
            start_group(line, step);
        }
        fetch(line, step, zero);
        barrier();
        multiply_step(my_rows, my_columns);
        if (step + 1u == steps || (step + 1u) % per_group == 0u) {
            [[unroll]] for (uint i = 0u; i < 8u; i++) {
                add_group(i, vec4(sums[i]), my_rows, my_columns);
            }
        }
        barrier();
    }
}

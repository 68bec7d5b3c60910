// linear and conv2d where both operands' codes are integers, or twice of them are (E2M1): four
// products at a time by the device's integer dot product. For GPUs; as gemm_packed_tiles.comp,
// with four codes of k in each word of shared memory, and sums that are int.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
#define HT_INTEGER_CODES
#include "ht_formats.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"
#include "ht_pixel.glsl"
#include "ht_groups.glsl"

layout(local_size_x_id = 0) in; // HT_GEMM_TILE_INVOCATIONS

// OpSDot with PackedVectorFormat4x8Bit.
spirv_instruction(capabilities = [6019, 6018], id = 4450)
int ht_dot(int a, int b, spirv_literal int packed_format);

const uint WORDS = HT_STEP / 4u;
const uint PITCH = HT_GEMM_TILE_M / 4u + 1u;

const uint OF_X = 0u;
const uint OF_W = 1u;
shared ivec4 tiles[2][WORDS][PITCH]; // [k / 4][row / 4][row % 4]
shared vec4 scales[2][HT_GEMM_TILE_M / 4u];

vec4 totals[8];
ivec4 sums[8];

struct Line { // a row of x and one of w that an invocation fetches
    uint64_t x, w;
    uint x_row, w_row;
    bool x_valid, w_valid;
    uint number; // in the tiles
    uint part;   // of the step: 0 or 1
};

// Code `i` of the four lowest of a word, as an integer.
int integer_code(uint word, uint i, HtFormatRow row) {
    uint code = bitfieldExtract(word, int(i * row.bits), int(row.bits));
    if (row.kind == HT_KIND_MINIFLOAT) { // E2M1: 0 1 2 3 4 6 8 12 halves
        int size = int(0xc8643210u >> (code & 7u) * 4u & 15u);
        return (code & 8u) == 0u ? size : -size;
    }
    return row.kind == HT_KIND_ZERO_POINT
               ? int(code)
               : bitfieldExtract(int(word), int(i * row.bits), int(row.bits));
}

// Four codes of a step as signed bytes of a word.
int integer_codes(uvec4 codes, uint quad, uint format, int zero) {
    HtFormatRow row = ht_format_row(format);
    if (row.bits == 8u) {
        return int(codes[quad]);
    }
    uint word = codes[quad / 2u] >> (quad % 2u * 16u);
    uint bytes = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        bytes |= uint((integer_code(word, i, row) - zero) & 0xff) << (8u * i);
    }
    return int(bytes);
}

void fetch(Line line, uint step, int zero) {
    uvec4 w_codes = ht_load_codes(line.w, FORMAT_W, step);
    uvec4 x_codes = ht_load_codes(line.x, FORMAT_X, step);
    [[unroll]] for (uint q = 0u; q < WORDS / 2u; q++) {
        uint quad = line.part * (WORDS / 2u) + q;
        tiles[OF_W][quad][line.number / 4u][line.number % 4u] =
            line.w_valid ? integer_codes(w_codes, quad, FORMAT_W, zero) : 0;
        tiles[OF_X][quad][line.number / 4u][line.number % 4u] =
            line.x_valid ? integer_codes(x_codes, quad, FORMAT_X, 0) : 0;
    }
}

void start_group(Line line, uint step) {
    if (line.part == 0u) {
        scales[OF_X][line.number / 4u][line.number % 4u] = ht_x_scale(line.x_row, step);
        scales[OF_W][line.number / 4u][line.number % 4u] = ht_w_scale(line.w_row, step);
    }
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

// totals += sums times the scales.
void finish_group(uint my_rows, uint my_columns) {
    vec4 w = scales[OF_W][my_columns / 4u];
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        float x = scales[OF_X][my_rows / 4u + i / 4u][i % 4u];
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            totals[i][j] = ht_add_group(totals[i][j], x, w[j], float(sums[i][j]));
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

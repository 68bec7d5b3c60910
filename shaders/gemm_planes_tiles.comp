// linear and conv2d of operands in bit planes, for GPUs: as gemm_packed_tiles.comp, a step being a
// word of each plane, 32 values.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_packed_tiles.glsl"
#include "ht_planes.glsl"

shared uint w_tile[HT_MAX_PLANES][HT_GEMM_TILE_N];
shared uint x_tile[HT_MAX_PLANES][HT_GEMM_TILE_M];
shared int x_sums[HT_GEMM_TILE_M];

ivec4 counts[8];

// Returns the sum of the step's x, of the lines that an invocation fetches whole.
int fetch(Line line, uint step) {
    int sum = 0;
    if (line.part == 0u) {
        uint x[HT_MAX_PLANES];
        ht_load_x_planes(line.x, step, line.x_valid ? 0xffffffffu : 0u, x);
        [[unroll]] for (uint p = 0u; p < ht_format_row(FORMAT_X).bits; p++) {
            x_tile[p][line.number] = x[p];
        }
        sum = ht_needs_x_sums() ? ht_x_sum(x) : 0;
    } else {
        [[unroll]] for (uint p = 0u; p < ht_term_planes(); p++) {
            w_tile[p][line.number] = line.w_valid ? ht_load_w_plane(line.w, step, p) : 0u;
        }
    }
    return sum;
}

void multiply_step(uint my_rows, uint my_columns) {
    uint w[4][HT_MAX_PLANES];
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        [[unroll]] for (uint p = 0u; p < ht_term_planes(); p++) {
            w[j][p] = w_tile[p][my_columns + j];
        }
    }
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        uint x[HT_MAX_PLANES];
        [[unroll]] for (uint p = 0u; p < ht_format_row(FORMAT_X).bits; p++) {
            x[p] = x_tile[p][my_rows + i];
        }
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            counts[i][j] += ht_planes_sum(w[j], x);
        }
    }
}

void multiply_groups(Line line, uint my_rows, uint my_columns) {
    int sum = 0;
    share_scales(line, 0u);
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        counts[i] = ivec4(0);
    }
    for (uint step = 0u; step < ht_plane_steps(); step++) {
        sum += fetch(line, step);
        barrier();
        multiply_step(my_rows, my_columns);
        barrier();
    }
    if (line.part == 0u) {
        x_sums[line.number] = sum;
    }
    barrier();
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        vec4 whole;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            whole[j] = float(ht_whole_sum(counts[i][j], x_sums[my_rows + i]));
        }
        add_group(i, whole, my_rows, my_columns);
    }
    barrier();
}

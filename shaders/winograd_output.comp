// result = epilogue(A^T m A) for each tile and column, four columns an invocation.
//   x: the products m f32 [36, tiles_m, columns]
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_winograd.glsl"

void transform(vec4 m[6], out vec4 y[4]) {
    vec4 a_even = m[1] + m[2];
    vec4 a_odd = A * (m[1] - m[2]);
    vec4 b_even = m[3] + m[4];
    vec4 b_odd = B * (m[3] - m[4]);
    y[0] = m[0] + a_even + b_even;
    y[1] = a_odd + b_odd;
    y[2] = 0.5 * a_even + 2.0 * b_even;
    y[3] = 0.5 * a_odd + 2.0 * b_odd + m[5];
}

void main() {
    uint quads = push.columns / 4u;
    uint number = invocation() / quads;
    uint quad = invocation() - number * quads;
    if (number >= push.tiles_m) {
        return;
    }
    Tile tile = tile_of(push.band + number);
    vec4 rows[6][4]; // [x][y]
    [[unroll]] for (uint x = 0u; x < 6u; x++) {
        vec4 m[6];
        [[unroll]] for (uint y = 0u; y < 6u; y++) {
            m[y] = ht_load4(push.x, HT_FORMAT_F32,
                            ((y * 6u + x) * push.tiles_m + number) * quads + quad);
        }
        transform(m, rows[x]);
    }
    vec4 bias = ht_load_bias(4u * quad, 4u);
    [[unroll]] for (uint y = 0u; y < 4u; y++) {
        vec4 m[6] = {rows[0][y], rows[1][y], rows[2][y], rows[3][y], rows[4][y], rows[5][y]};
        vec4 sums[4];
        transform(m, sums);
        [[unroll]] for (uint x = 0u; x < 4u; x++) {
            if (tile.y + y < push.out_h && tile.x + x < push.out_w) {
                uint row = (tile.image * push.out_h + tile.y + y) * push.out_w + tile.x + x;
                ht_finish(row, 4u * quad, 4u, row / push.rows_per_gate, sums[x], bias);
            }
        }
    }
}

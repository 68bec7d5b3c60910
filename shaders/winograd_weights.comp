// result[36, columns, depth] = G g G^T for each filter of w, four channels an invocation.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_winograd.glsl"

void transform(vec4 g[3], out vec4 u[6]) {
    const float a = -2.0 / 3.0; // 1 / (2 A^2 (A^2 - B^2))
    const float b = 1.0 / 6.0;  // 1 / (2 B^2 (B^2 - A^2))
    vec4 a_even = a * g[0] + (0.5 * a) * g[2];
    vec4 a_odd = (a * A) * g[1];
    vec4 b_even = b * g[0] + (2.0 * b) * g[2];
    vec4 b_odd = (b * B) * g[1];
    u[0] = g[0];
    u[1] = a_even + a_odd;
    u[2] = a_even - a_odd;
    u[3] = b_even + b_odd;
    u[4] = b_even - b_odd;
    u[5] = g[2];
}

void main() {
    uint quads = push.depth / 4u;
    uint column = invocation() / quads;
    uint quad = invocation() - column * quads;
    if (column >= push.columns) {
        return;
    }
    vec4 rows[3][6]; // [x][y]
    [[unroll]] for (uint x = 0u; x < 3u; x++) {
        vec4 g[3];
        [[unroll]] for (uint y = 0u; y < 3u; y++) {
            g[y] = ht_load4(push.w, FORMAT_W, (column * 9u + y * 3u + x) * quads + quad);
        }
        transform(g, rows[x]);
    }
    [[unroll]] for (uint y = 0u; y < 6u; y++) {
        vec4 g[3] = {rows[0][y], rows[1][y], rows[2][y]};
        vec4 u[6];
        transform(g, u);
        [[unroll]] for (uint x = 0u; x < 6u; x++) {
            ht_store4(push.result, HT_FORMAT_F32,
                      ((y * 6u + x) * push.columns + column) * quads + quad, u[x]);
        }
    }
}

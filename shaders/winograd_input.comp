// result[36, tiles_m, depth] = B^T d B for each tile and channel of x, four channels an invocation.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_winograd.glsl"
#include "ht_pixel.glsl"

void transform(vec4 d[6], out vec4 v[6]) {
    vec4 a_even = d[4] - 2.0 * d[2];
    vec4 a_odd = A * d[3] - B * d[1];
    vec4 b_even = d[4] - 0.5 * d[2];
    vec4 b_odd = B * d[3] - A * d[1];
    v[0] = d[0] - 2.5 * d[2] + d[4];
    v[1] = a_even + a_odd;
    v[2] = a_even - a_odd;
    v[3] = b_even + b_odd;
    v[4] = b_even - b_odd;
    v[5] = d[1] - 2.5 * d[3] + d[5];
}

void main() {
    uint quads = push.depth / 4u;
    uint number = invocation() / quads;
    uint quad = invocation() - number * quads;
    if (number >= push.tiles_m) {
        return;
    }
    Tile tile = tile_of(push.band + number);
    Pixel first = Pixel(tile.image, int(tile.y) - push.pad_top, int(tile.x) - push.pad_left);
    vec4 rows[6][6]; // [x][y]: columns transformed
    [[unroll]] for (int x = 0; x < 6; x++) {
        vec4 d[6];
        [[unroll]] for (int y = 0; y < 6; y++) {
            uint valid;
            uint64_t at = pixel_address(first, y, x, valid);
            d[y] = ht_decode(ht_load_raw(at, FORMAT_X, true, quad, push.depth) & valid, FORMAT_X);
        }
        transform(d, rows[x]);
    }
    [[unroll]] for (uint y = 0u; y < 6u; y++) {
        vec4 d[6] = {rows[0][y], rows[1][y], rows[2][y], rows[3][y], rows[4][y], rows[5][y]};
        vec4 v[6];
        transform(d, v);
        [[unroll]] for (uint x = 0u; x < 6u; x++) {
            ht_store4(push.result, HT_FORMAT_F32,
                      ((y * 6u + x) * push.tiles_m + number) * quads + quad, v[x]);
        }
    }
}

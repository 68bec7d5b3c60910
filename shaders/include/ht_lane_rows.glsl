// The product at the heart of the CPU kernels: sums[m][n] += x[m] . w[n] for TILE_M rows of x and
// TILE_N rows of w per lane, all contiguous along k. A lane walks its own rows of w and gets x by
// broadcast from the lanes that loaded it.
// Needs LANES, TILE_M, TILE_N (1 or 4), QUADS (of k per step), FORMAT_X, FORMAT_W and PACKED_K.
#ifndef HT_LANE_ROWS_GLSL
#define HT_LANE_ROWS_GLSL

#include "ht_packed.glsl"

const uint MAX_PARTS = 8u;
const uint PARTS = (TILE_M + LANES - 1u) / LANES; // rows of x that each lane loads

// The largest of all lanes, in each. By broadcasts, which are one instruction each on the CPU; a
// reduction goes from lane to lane.
uint largest_of_lanes(uint value) {
    uint top = value;
    [[unroll]] for (uint lane = 0u; lane < LANES; lane++) {
        top = max(top, subgroupBroadcast(value, lane));
    }
    return top;
}

vec4 sums[TILE_M];

void clear_sums() {
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        sums[i] = vec4(0.0);
    }
}

// Four values of k.
void multiply_values(const vec4 x[MAX_PARTS], const vec4 w[TILE_N]) {
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        uint part = i / LANES;
        uint lane = i % LANES;
        vec4 a = vec4(subgroupBroadcast(x[part].x, lane), subgroupBroadcast(x[part].y, lane),
                      subgroupBroadcast(x[part].z, lane), subgroupBroadcast(x[part].w, lane));
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            float s = sums[i][j];
            s += a.x * w[j].x;
            s += a.y * w[j].y;
            s += a.z * w[j].z;
            s += a.w * w[j].w;
            sums[i][j] = s;
        }
    }
}

void multiply_quad(const uvec4 x_raw[MAX_PARTS], const uvec4 w_raw[TILE_N]) {
    vec4 w[TILE_N];
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        w[j] = ht_decode(w_raw[j], FORMAT_W);
    }
    vec4 x[MAX_PARTS];
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        x[part] = ht_decode(x_raw[part], FORMAT_X);
    }
    multiply_values(x, w);
}

// Over `depth` values of k. x is taken as 0 where keep is 0 (and as it is where it is ~0).
void multiply(const uint64_t x_at[MAX_PARTS], const uint keep[MAX_PARTS],
              const uint64_t w_at[TILE_N], uint depth) {
    uint quads = (depth + 3u) / 4u;
    for (uint k = 0u; k < quads; k += QUADS) {
        uvec4 w[QUADS][TILE_N];
        uvec4 x[QUADS][MAX_PARTS];
        // All loads of a row follow each other, before any arithmetic.
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            [[unroll]] for (uint u = 0u; u < QUADS; u++) {
                w[u][j] =
                    ht_load_raw(w_at[j], FORMAT_W, PACKED_K, min(k + u, quads - 1u), depth);
            }
        }
        [[unroll]] for (uint part = 0u; part < PARTS; part++) {
            [[unroll]] for (uint u = 0u; u < QUADS; u++) {
                x[u][part] =
                    ht_load_raw(x_at[part], FORMAT_X, PACKED_K, min(k + u, quads - 1u), depth) &
                    (k + u < quads ? keep[part] : 0u);
            }
        }
        [[unroll]] for (uint u = 0u; u < QUADS; u++) {
            multiply_quad(x[u], w[u]);
        }
    }
}

#endif

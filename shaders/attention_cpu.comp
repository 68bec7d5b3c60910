// Attention for drivers that run a subgroup as one CPU vector. A workgroup, one subgroup, computes
// TILE_M queries of one head: per step of 4 * LANES keys their scores as in gemm_cpu (a lane owns
// four keys), the running softmax, and the weighted sum of v (a lane owns four neighbouring
// channels in each of CHUNKS parts of the head). Reads k and v once per TILE_M queries.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "ht_packed.glsl"
#include "attention.shared.h"
#include "ht_attention.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 7) const uint TILE_M = 16;
layout(constant_id = 8) const uint CHUNKS = 2;
const uint TILE_N = 4u;
const uint QUADS = PACKED_K ? 2u : 1u; // heads are short: more only costs the driver's compiler
#include "ht_lane_rows.glsl"

vec4 results[TILE_M * CHUNKS];
float highest[TILE_M]; // score so far, the same in every lane
float total[TILE_M];   // of the weights of this lane's keys

// sums becomes the weights of this lane's keys.
void softmax_step(uint image, uint head, uint query0, uint first_key) {
    vec4 mask;
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        mask[j] = first_key + j < push.keys ? mask_of(image, min(first_key + j, push.keys - 1u))
                                            : LOWEST;
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        vec4 s = sums[i] * push.scale + mask;
        if (REL_BIAS) {
            uint query = min(query0 + i, push.queries - 1u);
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                s[j] += rel_bias_of(query, min(first_key + j, push.keys - 1u), head);
            }
        }
        float top = max(highest[i], subgroupMax(max(max(s.x, s.y), max(s.z, s.w))));
        float shrink = exp2(highest[i] - top);
        highest[i] = top;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            s[j] = first_key + j < push.keys ? exp2(s[j] - top) : 0.0;
        }
        total[i] = total[i] * shrink + ((s.x + s.y) + (s.z + s.w));
        sums[i] = s;
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            results[i * CHUNKS + c] *= shrink;
        }
    }
}

// results += weights of the four keys of lane `owner` times their rows of v.
void add_values(uint image, uint head, uint first_key, uint owner, uint quads) {
    vec4 v[4][CHUNKS];
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        uint key = min(first_key + j, push.keys - 1u);
        uint64_t v_at = head_at(push.v, FORMAT_V, image * push.keys + key, head);
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            uint quad = min(c * LANES + gl_SubgroupInvocationID, quads - 1u);
            v[j][c] = ht_decode(ht_load_raw(v_at, FORMAT_V, PACKED_K, quad, push.head_dim),
                                FORMAT_V);
        }
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        // Not a shuffle, on which the compile of Mesa 22.3 takes minutes.
        vec4 p = vec4(subgroupBroadcast(sums[i].x, owner), subgroupBroadcast(sums[i].y, owner),
                      subgroupBroadcast(sums[i].z, owner), subgroupBroadcast(sums[i].w, owner));
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            vec4 r = results[i * CHUNKS + c];
            r += p.x * v[0][c];
            r += p.y * v[1][c];
            r += p.z * v[2][c];
            r += p.w * v[3][c];
            results[i * CHUNKS + c] = r;
        }
    }
}

// Largest size in the group that a lane's quad of chunk `c` is in: part of a chunk, or several.
float group_size(const float sizes[CHUNKS], uint c) {
    uint quads = ht_pack_group_quads(FORMAT_RESULT); // 4, 8 or 16; as many lanes
    float size = 0.0;
    if (quads > LANES) {
        uint parts = quads / LANES;
        [[unroll]] for (uint p = 0u; p < 4u; p++) {
            uint at = min(c / parts * parts + p, CHUNKS - 1u);
            size = p < parts ? max(size, sizes[at]) : size;
        }
        return subgroupMax(size);
    }
    uint mine = gl_SubgroupInvocationID / quads;
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        if (j * quads < LANES) {
            float top = subgroupMax(mine == j ? sizes[c] : 0.0);
            size = mine == j ? top : size;
        }
    }
    return size;
}

void store_packed(uint row, uint head, uint i, uint quads, float share) {
    float sizes[CHUNKS];
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        vec4 y = ht_limited4(results[i * CHUNKS + c] * share);
        results[i * CHUNKS + c] = y;
        sizes[c] = c * LANES + gl_SubgroupInvocationID < quads ? ht_size4(y) : 0.0;
    }
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        uint quad = c * LANES + gl_SubgroupInvocationID;
        float size = group_size(sizes, c);
        if (quad < quads) {
            store_head_packed(row, head, quad, results[i * CHUNKS + c], size);
        }
    }
}

void main() {
    uint lane = gl_SubgroupInvocationID;
    uint group = HT_GROUP;
    if (group >= push.tiles * push.heads * push.batch) {
        return;
    }
    uint image_head = group / push.tiles;
    uint image = image_head / push.heads;
    uint head = image_head - image * push.heads;
    uint query0 = (group - image_head * push.tiles) * TILE_M;
    uint quads = (push.head_dim + 3u) / 4u;

    uint64_t q_at[MAX_PARTS];
    uint keep[MAX_PARTS];
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        uint query = min(query0 + part * LANES + lane, push.queries - 1u);
        q_at[part] = head_at(push.q, FORMAT_X, image * push.queries + query, head);
        keep[part] = 0xffffffffu;
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        highest[i] = LOWEST;
        total[i] = 0.0;
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            results[i * CHUNKS + c] = vec4(0.0);
        }
    }

    for (uint key0 = 0u; key0 < push.keys; key0 += 4u * LANES) {
        uint first_key = key0 + 4u * lane;
        uint64_t k_at[TILE_N];
        [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
            uint key = min(first_key + j, push.keys - 1u);
            k_at[j] = head_at(push.k, FORMAT_W, image * push.keys + key, head);
        }
        clear_sums();
        multiply(q_at, keep, k_at, push.head_dim);
        softmax_step(image, head, query0, first_key);
        uint owners = min(LANES, (push.keys - key0 + 3u) / 4u);
        for (uint owner = 0u; owner < owners; owner++) {
            add_values(image, head, key0 + 4u * owner, owner, quads);
        }
    }

    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        float share = 1.0 / subgroupAdd(total[i]);
        uint row = image * push.queries + query0 + i;
        if (query0 + i < push.queries && ht_is_packed(FORMAT_RESULT)) {
            store_packed(row, head, i, quads, share);
        } else if (query0 + i < push.queries) {
            [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
                uint quad = c * LANES + lane;
                if (quad < quads) {
                    store_head(row, head, quad, results[i * CHUNKS + c] * share);
                }
            }
        }
    }
}

// Attention for drivers that run a subgroup as one CPU vector. A workgroup, one subgroup, computes
// TILE_M queries of one head: per step of 4 * LANES keys their scores as in gemm_cpu (a lane owns
// four keys), the running softmax, and the weighted sum of v (ht_lane_channels.glsl says which
// channels a lane owns). Reads k and v once per TILE_M queries; of skipped blocks nothing.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "ht_packed.glsl"
#include "attention.shared.h"
#include "ht_attention_floats.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 7) const uint TILE_M = 16;
layout(constant_id = 8) const uint CHUNKS = 2;
layout(constant_id = 11) const uint TAIL = 0;
const uint TILE_N = 4u;
const uint QUADS = PACKED_K ? 2u : 1u; // heads are short: more only costs the driver's compiler
#include "ht_lane_rows.glsl"
#include "ht_lane_channels.glsl"

// The lane's channels of a row of v.
void load_channels(uint64_t at, out float v[WIDTH]) {
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        uint quad = min(c * LANES + gl_SubgroupInvocationID, head_quads() - 1u);
        vec4 four =
            ht_decode(ht_load_raw(at, FORMAT_V, PACKED_K, quad, push.head_dim), FORMAT_V);
        [[unroll]] for (uint e = 0u; e < 4u; e++) {
            v[4u * c + e] = four[e];
        }
    }
    [[unroll]] for (uint e = 0u; e < TAIL; e++) {
        v[4u * CHUNKS + e] = ht_load(unpackUint2x32(at), FORMAT_V,
                                     min(tail_channel() + e, push.head_dim - 1u));
    }
}

float highest[TILE_M]; // score so far, the same in every lane
float total[TILE_M];   // of the weights of this lane's keys

// sums becomes the weights of this lane's keys, of which those before `end` count.
void softmax_step(uint image, uint head, uint query0, uint first_key, uvec4 tokens, uint end) {
    vec4 mask;
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        mask[j] = first_key + j < end ? mask_of(image, tokens[j]) : LOWEST;
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
            s[j] = first_key + j < end ? exp2(s[j] - top) : 0.0;
        }
        total[i] = total[i] * shrink + ((s.x + s.y) + (s.z + s.w));
        sums[i] = s;
        shrink_results(i, shrink);
    }
}

// results += weights of the four keys of lane `owner` times their rows of v.
void add_values(uint image, uint head, uvec4 tokens, uint owner) {
    float v[4][WIDTH];
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        uint key = subgroupBroadcast(tokens[j], owner);
        load_channels(head_at(push.v, FORMAT_V, image * push.keys + key, head), v[j]);
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        // Not a shuffle, on which the compile of Mesa 22.3 takes minutes.
        vec4 p = vec4(subgroupBroadcast(sums[i].x, owner), subgroupBroadcast(sums[i].y, owner),
                      subgroupBroadcast(sums[i].z, owner), subgroupBroadcast(sums[i].w, owner));
        [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
            float r = results[i * WIDTH + w];
            r += p.x * v[0][w];
            r += p.y * v[1][w];
            r += p.z * v[2][w];
            r += p.w * v[3][w];
            results[i * WIDTH + w] = r;
        }
    }
}

void add_step(uint image, uint head, uint query0, uvec2 range, const uint64_t q_at[MAX_PARTS],
              const uint keep[MAX_PARTS]) {
    uint first_key = range.x + 4u * gl_SubgroupInvocationID;
    uvec4 tokens;
    uint64_t k_at[TILE_N];
    [[unroll]] for (uint j = 0u; j < TILE_N; j++) {
        tokens[j] = token_at(head, min(first_key + j, push.keys - 1u));
        k_at[j] = head_at(push.k, FORMAT_W, image * push.keys + tokens[j], head);
    }
    clear_sums();
    multiply(q_at, keep, k_at, push.head_dim);
    softmax_step(image, head, query0, first_key, tokens, range.y);
    uint owners = min(LANES, (range.y - range.x + 3u) / 4u);
    for (uint owner = 0u; owner < owners; owner++) {
        add_values(image, head, tokens, owner);
    }
}

float largest_size(float size) { return uintBitsToFloat(largest_of_lanes(floatBitsToUint(size))); }

// Largest size in the group that a lane's quad of chunk `c` is in: part of a chunk, or several.
float group_size(const float sizes[CHUNKS], uint c) {
    uint quads = ht_pack_group_quads(FORMAT_RESULT); // 4, 8 or 16; as many lanes
    float size = 0.0;
    if (quads > LANES) {
        uint parts = quads / LANES;
        [[unroll]] for (uint p = 0u; p < 4u; p++) {
            uint at = min(c / parts * parts + p, CHUNKS - 1u);
            size = p < parts ? ht_larger(size, sizes[at]) : size;
        }
        return largest_size(size);
    }
    uint mine = gl_SubgroupInvocationID / quads;
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        if (j * quads < LANES) {
            float top = largest_size(mine == j ? sizes[c] : 0.0);
            size = mine == j ? top : size;
        }
    }
    return size;
}

void store_packed(uint row, uint head, uint i) {
    float sizes[CHUNKS];
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        bool own = c * LANES + gl_SubgroupInvocationID < head_quads();
        sizes[c] = own ? ht_size4(ht_limited4(quad_of(i, c))) : 0.0;
    }
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        uint quad = c * LANES + gl_SubgroupInvocationID;
        float size = group_size(sizes, c);
        if (quad < head_quads()) {
            store_head_packed(row, head, quad, ht_limited4(quad_of(i, c)), size);
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

    uint64_t q_at[MAX_PARTS];
    uint keep[MAX_PARTS];
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        uint query = token_at(head, min(query0 + part * LANES + lane, push.queries - 1u));
        q_at[part] = head_at(push.q, FORMAT_X, image * push.queries + query, head);
        keep[part] = 0xffffffffu;
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        highest[i] = LOWEST;
        total[i] = 0.0;
    }
    clear_results();

    uvec2 kept = SPARSE ? kept_blocks(image, head, query0) : uvec2(0u);
    uint steps = step_count(kept, 4u * LANES);
    for (uint step = 0u; step < steps; step++) {
        uvec2 range = keys_of_step(kept, step, 4u * LANES);
        if (range.x < range.y) { // else behind the last key, in its block
            add_step(image, head, query0, range, q_at, keep);
        }
    }

    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        float sum = subgroupAdd(total[i]);
        shrink_results(i, sum == 0.0 ? 0.0 : 1.0 / sum); // no key at all: nothing, not NaN
        if (query0 + i < push.queries) {
            uint row = image * push.queries + token_at(head, query0 + i);
            if (ht_is_packed(FORMAT_RESULT)) {
                store_packed(row, head, i);
            } else {
                store_channels(row, head, i);
            }
        }
    }
}

// Which blocks of an attention matter, predicted from means of blocks of q and k (Zhang et al. 2025,
// SpargeAttn), in steps. A mean stands for a block where its rows are alike: their similarity is the
// square of the mean of rows of length 1. SELECT writes the lists that attention walks. Reads q and k
// three times, and for each block of queries the means of k.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in; // before what asks for it
#include "ht_quantize.glsl"
#include "ht_reduce.glsl"
#include "ht_order.glsl"
#include "attention_predict.shared.h"

layout(constant_id = 1) const uint FORMAT_X = 2;
layout(constant_id = 2) const uint STEP = 0;
layout(constant_id = 3) const bool ORDERED = false;

const float LOWEST = -3.0e38;

shared uint kept_of[gl_WorkGroupSize.x];

uint quads() { return push.head_dim / 4u; }
uint blocks() { return (push.tokens + HT_ATTENTION_BLOCK - 1u) / HT_ATTENTION_BLOCK; }
uvec2 positions(uint block) {
    uint begin = block * HT_ATTENTION_BLOCK;
    return uvec2(begin, min(begin + HT_ATTENTION_BLOCK, push.tokens));
}

vec4 value_of(uint image_head, uint position, uint quad) {
    uint head = image_head % push.heads;
    uint token = ORDERED ? ht_token(push.orders, push.head_orders, head, position, push.tokens)
                         : position;
    uint row = (image_head / push.heads * push.tokens + token) * push.heads + head;
    return ht_limited4(ht_load4(push.x, FORMAT_X, row * quads() + quad));
}

vec4 centred(uint image_head, uint position, uint quad) {
    vec4 v = value_of(image_head, position, quad);
    return ht_present(push.mean)
               ? v - ht_load4(push.mean, HT_FORMAT_F32, image_head * quads() + quad)
               : v;
}

void pool(uint image_head, uint block, uint quad) {
    uvec2 range = positions(block);
    vec4 sum = vec4(0.0);
    for (uint position = range.x; position < range.y; position++) {
        sum += value_of(image_head, position, quad);
    }
    ht_store4(push.pools, HT_FORMAT_F32, (image_head * blocks() + block) * quads() + quad,
              sum / float(range.y - range.x));
}

void mean_of_pools(uint image_head, uint quad) {
    vec4 sum = vec4(0.0);
    for (uint block = 0u; block < blocks(); block++) {
        uvec2 range = positions(block);
        uint at = (image_head * blocks() + block) * quads() + quad;
        sum += ht_load4(push.pools, HT_FORMAT_F32, at) * float(range.y - range.x);
    }
    ht_store4(push.mean, HT_FORMAT_F32, image_head * quads() + quad, sum / float(push.tokens));
}

void measure(uint image_head, uint position) {
    float sum = 0.0;
    for (uint quad = 0u; quad < quads(); quad++) {
        vec4 v = centred(image_head, position, quad);
        sum += dot(v, v);
    }
    HtF32(push.inverse_lengths).v[image_head * push.tokens + position] =
        sum > 0.0 ? inversesqrt(sum) : 0.0;
}

void compare_rows(uint image_head, uint block) {
    uvec2 range = positions(block);
    float similarity = 0.0;
    for (uint quad = 0u; quad < quads(); quad++) {
        vec4 sum = vec4(0.0);
        for (uint position = range.x; position < range.y; position++) {
            sum += centred(image_head, position, quad) *
                   HtF32(push.inverse_lengths).v[image_head * push.tokens + position];
        }
        sum /= float(range.y - range.x);
        similarity += dot(sum, sum);
    }
    HtF32(push.similarities).v[image_head * blocks() + block] = similarity;
}

// ---- SELECT: weights of a row are at `list`; an invocation has every gl_WorkGroupSize.x-th of them

bool stands_for_block(uvec2 similarities, uint at) {
    return HtF32(similarities).v[at] > push.similarity;
}

float weight_at(uint list, uint column) {
    return HtF32(push.weights).v[list + column];
}

// Weights of the softmax over the blocks of keys that have one, not divided by their sum, which is
// returned; of the others -1.
float weigh_blocks(uint image_head, uint block, uint list) {
    float top = LOWEST;
    for (uint n = gl_LocalInvocationID.x; n < push.k_blocks; n += gl_WorkGroupSize.x) {
        float score = LOWEST;
        if (stands_for_block(push.k_similarities, image_head * push.k_blocks + n)) {
            uint q = (image_head * blocks() + block) * quads();
            uint k = (image_head * push.k_blocks + n) * quads();
            float sum = 0.0;
            for (uint quad = 0u; quad < quads(); quad++) {
                sum += dot(ht_load4(push.pools, HT_FORMAT_F32, q + quad),
                           ht_load4(push.k_pools, HT_FORMAT_F32, k + quad));
            }
            score = clamp(sum * push.scale, -1.0e30, 1.0e30);
        }
        HtF32(push.weights).v[list + n] = score;
        top = max(top, score);
    }
    top = ht_group_max(top);
    float total = 0.0;
    for (uint n = gl_LocalInvocationID.x; n < push.k_blocks; n += gl_WorkGroupSize.x) {
        float score = weight_at(list, n);
        float weight = score == LOWEST ? -1.0 : exp2(score - top);
        HtF32(push.weights).v[list + n] = weight;
        total += max(weight, 0.0);
    }
    return ht_group_sum(total);
}

// The largest weight such that all from it up are the share of the total. By bits: those of floats
// that are not negative ascend with them.
float find_cut(uint list, float total) {
    uint low = 0u;
    uint high = 0x3f800001u; // above 1
    while (high - low > 1u) {
        uint middle = (low + high) / 2u;
        float sum = 0.0;
        for (uint n = gl_LocalInvocationID.x; n < push.k_blocks; n += gl_WorkGroupSize.x) {
            float weight = weight_at(list, n);
            sum += weight >= uintBitsToFloat(middle) ? weight : 0.0;
        }
        bool enough = ht_group_sum(sum) >= push.share * total;
        low = enough ? middle : low;
        high = enough ? high : middle;
    }
    return uintBitsToFloat(low);
}

// From weights to the numbers of kept blocks, ascending, at `entries`; the rest of them becomes 0.
// Returns how many are kept.
uint compact(uint list, uint entries, float cut) {
    uint lane = gl_LocalInvocationID.x;
    uint kept = 0u;
    for (uint begin = 0u; begin < push.k_blocks; begin += gl_WorkGroupSize.x) {
        uint column = begin + lane;
        bool own = column < push.k_blocks;
        float weight = own ? weight_at(list, column) : 0.0;
        bool keep = own && (weight < 0.0 || weight >= cut || column < push.text);
        barrier(); // the counts of the last turn have been read
        kept_of[lane] = keep ? 1u : 0u;
        barrier();
        uint before = 0u;
        uint all = 0u;
        for (uint n = 0u; n < gl_WorkGroupSize.x; n++) {
            before += n < lane ? kept_of[n] : 0u;
            all += kept_of[n];
        }
        if (keep) {
            HtU32(push.result).v[entries + kept + before] = column;
        }
        kept += all;
    }
    for (uint n = kept + lane; n < push.k_blocks; n += gl_WorkGroupSize.x) {
        HtU32(push.result).v[entries + n] = 0u;
    }
    return kept;
}

void select_blocks(uint image_head, uint block) {
    uint lists = push.batch * push.heads * blocks();
    uint row = image_head * blocks() + block;
    uint list = row * push.k_blocks;
    uint entries = 2u * lists + list;
    float total = weigh_blocks(image_head, block, list);
    bool all = push.share >= 1.0 || block < push.text || !stands_for_block(push.similarities, row);
    uint kept = compact(list, entries, all ? 0.0 : find_cut(list, total));
    if (gl_LocalInvocationID.x == 0u) {
        HtU32(push.result).v[2u * row] = entries;
        HtU32(push.result).v[2u * row + 1u] = kept;
    }
}

void main() {
    if (STEP == HT_PREDICT_SELECT) {
        uint row = HT_GROUP;
        if (row < push.batch * push.heads * blocks()) {
            select_blocks(row / blocks(), row % blocks());
        }
        return;
    }
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint wide = STEP == HT_PREDICT_POOL || STEP == HT_PREDICT_MEAN ? quads() : 1u;
    uint rows = STEP == HT_PREDICT_MEAN ? 1u : STEP == HT_PREDICT_LENGTHS ? push.tokens : blocks();
    uint quad = i % wide;
    uint row = i / wide % rows;
    uint image_head = i / wide / rows;
    if (image_head >= push.batch * push.heads) {
        return;
    }
    switch (STEP) {
    case HT_PREDICT_POOL: pool(image_head, row, quad); break;
    case HT_PREDICT_MEAN: mean_of_pools(image_head, quad); break;
    case HT_PREDICT_LENGTHS: measure(image_head, row); break;
    default: compare_rows(image_head, row); break;
    }
}

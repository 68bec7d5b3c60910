// Attention of integer codes for drivers that run a subgroup as one CPU vector. A workgroup, one
// subgroup, computes TILE_M queries of one head: per block of 64 keys the scores (int32 sums of
// products of codes of eight or four bits; a lane owns four keys of each step of 4 * LANES), their
// weights as codes of seven bits with a scale a query and block, and the sum of weights times codes
// of v in int32 (ht_lane_channels.glsl), which is added to the results as floats. The sum of the
// weights' codes divides them, so that the weights are exactly 1 together.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "ht_formats.glsl"
#include "ht_quantize.glsl"
#include "attention_codes.shared.h"
#include "ht_attention.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint FORMAT_K = 2; // of k_values
layout(constant_id = 2) const uint BITS = 8;
layout(constant_id = 3) const uint HEAD_QUADS = 16;
layout(constant_id = 6) const bool E4M3 = false; // weights and v
layout(constant_id = 7) const uint TILE_M = 16;
layout(constant_id = 8) const uint CHUNKS = 2;
layout(constant_id = 11) const uint TAIL = 0;
#include "ht_lane_channels.glsl"
#include "ht_lane_codes.glsl"
#include "ht_bytes.glsl"
#include "ht_weight_codes.glsl"

const uint STEPS = LANES < 16u ? 16u / LANES : 1u; // of a block

int products[TILE_M * WIDTH]; // of weights and v, of this block
vec4 scores[TILE_M * STEPS];
uint weights[TILE_M * STEPS]; // codes of the lane's four keys, a byte each; E4M3: see scores
int q_sums[PARTS];            // of the codes of the rows that the lane loads
float q_scales[PARTS];
float highest[TILE_M]; // score so far, the same in every lane
float total[TILE_M];   // of the weights of this lane's keys

// What the mean of the block of queries adds to the scores of the lane's keys: of k as it was
// given, since that of k's mean is the same for every key.
vec4 mean_scores(uint image, uint head, uint query0, const uint tokens[4]) {
    uint blocks = (push.queries + HT_ATTENTION_BLOCK - 1u) / HT_ATTENTION_BLOCK;
    uint at = (image * push.heads + head) * blocks + query0 / HT_ATTENTION_BLOCK;
    vec4 sums = vec4(0.0);
    for (uint quad = 0u; quad < HEAD_QUADS; quad++) {
        vec4 mean = ht_load4(push.q_means, HT_FORMAT_F32, at * HEAD_QUADS + quad);
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            uint row = (image * push.keys + tokens[j]) * push.heads + head;
            sums[j] += dot(mean, ht_load4(push.k_values, FORMAT_K, row * HEAD_QUADS + quad));
        }
    }
    return sums * push.scale;
}

// scores of a step.
void score_step(uint image, uint head, uint query0, uint step, uint first_key,
                const uint64_t q_at[PARTS]) {
    uint rows = (image * push.heads + head) * push.keys;
    uint k_scales = push.batch * push.heads * push.queries + rows;
    uint64_t k_at[4];
    uint tokens[4];
    vec4 k_scale;
    vec4 extra;
    ivec4 sums[TILE_M];
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        uint key = min(first_key + j, push.keys - 1u);
        tokens[j] = BITS == 4u || ht_present(push.mask) ? token_at(head, key) : key;
        k_at[j] = row_at(push.k, rows + key);
        k_scale[j] = HtF32(push.scales).v[k_scales + key];
        extra[j] = mask_of(image, tokens[j]);
    }
    if (BITS == 4u) {
        extra += mean_scores(image, head, query0, tokens);
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        sums[i] = ivec4(0);
    }
    for (uint piece = 0u; piece < WHOLE_PIECES; piece++) {
        add_piece(sums, q_at, k_at, piece, PIECE_QUADS);
    }
    if (WHOLE_PIECES <= LAST_PIECE) {
        add_piece(sums, q_at, k_at, LAST_PIECE, HEAD_QUADS - LAST_PIECE * PIECE_QUADS);
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        int sum = subgroupBroadcast(q_sums[i / LANES], i % LANES);
        float scale = subgroupBroadcast(q_scales[i / LANES], i % LANES);
        scores[i * STEPS + step] = vec4(sums[i] - sum * int(HALF)) * (k_scale * scale) + extra;
    }
}

bool counts(uint key, uint block, uint end) {
    return key < end && (LANES <= 16u || key < (block + 1u) * HT_ATTENTION_BLOCK);
}

// From scores to codes, with the largest of the block as the top; the results so far are shrunk to
// the new highest score. Returns the scale of the block's codes.
float weigh_block(uint i, uint block, uint end) {
    float top = LOWEST;
    uint key0 = block * HT_ATTENTION_BLOCK + 4u * gl_SubgroupInvocationID;
    [[unroll]] for (uint step = 0u; step < STEPS; step++) {
        vec4 s = scores[i * STEPS + step];
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            s[j] = counts(key0 + step * 4u * LANES + j, block, end) ? s[j] : LOWEST;
            top = max(top, s[j]);
        }
        scores[i * STEPS + step] = s;
    }
    top = subgroupMax(top);
    vec4 sum = vec4(0.0);
    [[unroll]] for (uint step = 0u; step < STEPS; step++) {
        vec4 w = rounded(exp2(scores[i * STEPS + step] - top));
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            w[j] = counts(key0 + step * 4u * LANES + j, block, end) ? w[j] : 0.0;
        }
        if (E4M3) {
            scores[i * STEPS + step] = w;
        } else {
            uvec4 codes = uvec4(w);
            weights[i * STEPS + step] = codes.x | codes.y << 8 | codes.z << 16 | codes.w << 24;
        }
        sum += w;
    }
    float high = max(highest[i], top);
    float shrink = exp2(highest[i] - high);
    float factor = block_factor(top, high);
    highest[i] = high;
    total[i] = total[i] * shrink + factor * ((sum.x + sum.y) + (sum.z + sum.w));
    shrink_results(i, shrink);
    return factor;
}

// Four positions of the lane's channels of v, a word each.
void load_words(uint row, out uint words[WIDTH]) {
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        uint quad = min(c * LANES + gl_SubgroupInvocationID, HEAD_QUADS - 1u);
        uvec4 four = load_piece(packUint2x32(push.v), row * HEAD_QUADS + quad);
        [[unroll]] for (uint e = 0u; e < 4u; e++) {
            words[4u * c + e] = four[e];
        }
    }
    [[unroll]] for (uint e = 0u; e < TAIL; e++) {
        uint channel = min(tail_channel() + e, push.head_dim - 1u);
        words[4u * CHUNKS + e] = HtU32(push.v).v[row * push.head_dim + channel];
    }
}

// products += weights times v of the keys of two lanes. Two at a time because what a loop carries
// is written anew, under a mask, each time around.
void add_values(uint row, uint last, uint step, uint owner) {
    ivec4 v[2][WIDTH];
    [[unroll]] for (uint two = 0u; two < 2u; two++) {
        uint words[WIDTH];
        load_words(min(row + two, last), words);
        [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
            v[two][w] = ivec4(words[w] << 24, words[w] << 16, words[w] << 8, words[w]) >> 24;
        }
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        ivec4 p[2];
        [[unroll]] for (uint two = 0u; two < 2u; two++) {
            uint codes = subgroupBroadcast(weights[i * STEPS + step], owner + two);
            p[two] = ivec4(uvec4(codes, codes >> 8, codes >> 16, codes >> 24) & 127u);
        }
        [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
            int r = products[i * WIDTH + w];
            [[unroll]] for (uint two = 0u; two < 2u; two++) {
                r += p[two].x * v[two][w].x;
                r += p[two].y * v[two][w].y;
                r += p[two].z * v[two][w].z;
                r += p[two].w * v[two][w].w;
            }
            products[i * WIDTH + w] = r;
        }
    }
}

// The same of E4M3 codes and the keys of one lane, into the results.
void add_minifloats(uint row, uint step, uint owner, const float factors[TILE_M]) {
    vec4 v[WIDTH];
    uint words[WIDTH];
    load_words(row, words);
    [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
        v[w] = ht_e4m3_bytes(words[w]);
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        vec4 s = scores[i * STEPS + step];
        vec4 p = vec4(subgroupBroadcast(s.x, owner), subgroupBroadcast(s.y, owner),
                      subgroupBroadcast(s.z, owner), subgroupBroadcast(s.w, owner)) *
                 factors[i];
        [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
            results[i * WIDTH + w] += dot(p, v[w]);
        }
    }
}

void add_block(uint image, uint head, uint query0, uint block, const uint64_t q_at[PARTS]) {
    uint begin = block * HT_ATTENTION_BLOCK;
    uint end = min(begin + HT_ATTENTION_BLOCK, push.keys);
    [[unroll]] for (uint step = 0u; step < STEPS; step++) {
        score_step(image, head, query0, step,
                   begin + 4u * (step * LANES + gl_SubgroupInvocationID), q_at);
    }
    float factors[TILE_M];
    float most = 0.0;
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        factors[i] = weigh_block(i, block, end);
        most = max(most, factors[i]);
        [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
            products[i * WIDTH + w] = 0;
        }
    }
    uint fours = (push.keys + 3u) / 4u;
    uint row = (image * push.heads + head) * fours + begin / 4u;
    uint count = most > 0.0 ? (end - begin + 3u) / 4u : 0u; // else no product is needed
    [[unroll]] for (uint step = 0u; step < STEPS; step++) {
        uint first = step * LANES;
        uint end_of_step = min(first + LANES, count);
        for (uint n = first; n < end_of_step; n += E4M3 ? 1u : 2u) {
            if (E4M3) {
                add_minifloats(row + n, step, n - first, factors);
            } else {
                add_values(row + n, row + count - 1u, step, n - first);
            }
        }
    }
    [[unroll]] for (uint i = 0u; i < (E4M3 ? 0u : TILE_M); i++) {
        [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
            results[i * WIDTH + w] += factors[i] * float(products[i * WIDTH + w]);
        }
    }
}

void load_queries(uint image_head, uint query0, out uint64_t q_at[PARTS]) {
    [[unroll]] for (uint part = 0u; part < PARTS; part++) {
        uint query = min(query0 + part * LANES + gl_SubgroupInvocationID, push.queries - 1u);
        uint row = image_head * push.queries + query;
        q_at[part] = row_at(push.q, row);
        q_scales[part] = HtF32(push.scales).v[row];
        q_sums[part] = sum_of_codes(q_at[part]);
    }
}

// results = means of v plus its scales times what was summed up.
void finish(uint image, uint head, uint i) {
    float sum = subgroupAdd(total[i]);
    float unit = E4M3 ? ht_code_unit(HT_FORMAT_E4M3) : 1.0; // of the weights it divides itself out
    float share = sum == 0.0 ? 0.0 : unit / sum; // no key at all: nothing, not NaN
    uint first = image * HT_CODES_CHANNEL_ROWS * push.heads * push.head_dim + head * push.head_dim;
    uint mean = first + HT_CODES_MEAN_V * push.heads * push.head_dim;
    uint scale = first + HT_CODES_SCALE_V * push.heads * push.head_dim;
    [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
        uint own = w < 4u * CHUNKS
                       ? 4u * (w / 4u * LANES + gl_SubgroupInvocationID) + w % 4u
                       : tail_channel() + w - 4u * CHUNKS;
        uint channel = min(own, push.head_dim - 1u);
        float y = results[i * WIDTH + w] * share * HtF32(push.channels).v[scale + channel];
        results[i * WIDTH + w] =
            y + (sum == 0.0 ? 0.0 : HtF32(push.channels).v[mean + channel]);
    }
}

void main() {
    uint group = HT_GROUP;
    if (group >= push.tiles * push.heads * push.batch) {
        return;
    }
    uint image_head = group / push.tiles;
    uint image = image_head / push.heads;
    uint head = image_head - image * push.heads;
    uint query0 = (group - image_head * push.tiles) * TILE_M;
    uint64_t q_at[PARTS];
    load_queries(image_head, query0, q_at);
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        highest[i] = LOWEST;
        total[i] = 0.0;
    }
    clear_results();

    uvec2 kept = SPARSE ? kept_blocks(image, head, query0) : uvec2(0u);
    uint blocks = step_count(kept, HT_ATTENTION_BLOCK);
    for (uint n = 0u; n < blocks; n++) {
        uvec2 range = keys_of_step(kept, n, HT_ATTENTION_BLOCK);
        if (range.x < range.y) {
            add_block(image, head, query0, range.x / HT_ATTENTION_BLOCK, q_at);
        }
    }
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        finish(image, head, i);
        if (query0 + i < push.queries) {
            store_channels(image * push.queries + token_at(head, query0 + i), head, i);
        }
    }
}

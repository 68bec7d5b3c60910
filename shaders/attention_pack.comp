// What attention_codes multiplies, made of q, k and v in steps: means of k and v and the extent of
// v over all tokens, means of blocks of q, and codes (ht_attention_layout.h). An invocation sums a
// slice of four channels, packs a position of q or k, or four positions of four channels of v.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quantize.glsl"
#include "ht_order.glsl"
#include "ht_turn.glsl"
#include "attention_pack.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_X = 2;
layout(constant_id = 2) const uint FORMAT_V = 2;
layout(constant_id = 3) const uint STEP = 3;
layout(constant_id = 4) const uint BITS = 8;
layout(constant_id = 5) const bool ORDERED = false;
layout(constant_id = 6) const bool E4M3 = false; // codes of v
layout(constant_id = 7) const bool TURNED = false; // x, on the way
layout(constant_id = 8) const uint NORM = HT_CODES_NORM_NONE; // of x, on the way, before it turns
layout(constant_id = 9) const bool HAS_WEIGHT = false;
layout(constant_id = 10) const bool HAS_BIAS = false;

const uint TOP = BITS == 8u ? HT_CODES_TOP8 : HT_CODES_TOP4;
float top_v() { return float(E4M3 ? HT_CODES_TOP_E4M3 : HT_CODES_TOP_V); }

uint width() { return push.heads * push.head_dim; }

uint token_at(uint head, uint position) {
    return ORDERED ? ht_token(push.orders, push.head_orders, head, position, push.tokens)
                   : position;
}

// What the norm takes off a head of a token and multiplies it with.
vec2 moments_of(uint image, uint head, uint token) {
    uint row = image * push.tokens + token;
    if (NORM == HT_CODES_NORM_NONE) {
        return vec2(0.0, 1.0);
    }
    return HtF32x2(push.moments).v[NORM == HT_CODES_NORM_HEADS ? row * push.heads + head : row];
}

// A quad of x, with the moments of its head.
vec4 value_of(uint image, uint head, uint token, uint quad, vec2 moments) {
    uint quads = push.head_dim / 4u;
    uint row = (image * push.tokens + token) * push.heads + head;
    vec4 v = ht_load4(push.x, FORMAT_X, row * quads + quad);
    if (NORM != HT_CODES_NORM_NONE) { // as row_norm.comp
        uint channel = NORM == HT_CODES_NORM_HEADS ? quad : head * quads + quad;
        v = (v - moments.x) * moments.y;
        if (HAS_WEIGHT) {
            v *= ht_load4(push.weight, HT_FORMAT_F32, channel);
        }
        if (HAS_BIAS) {
            v += ht_load4(push.bias, HT_FORMAT_F32, channel);
        }
    }
    if (TURNED) {
        v = ht_turn(v, ht_load4(push.turns, HT_FORMAT_F32, token * quads + quad));
    }
    return ht_limited4(v);
}

// Row `row` of `rows` of values of each picture, from channel 4 * quad on.
vec4 row_of(uvec2 address, uint rows, uint image, uint row, uint quad) {
    return ht_load4(address, HT_FORMAT_F32, ((image * rows + row) * width()) / 4u + quad);
}

void store_row(uvec2 address, uint rows, uint image, uint row, uint quad, vec4 value) {
    ht_store4(address, HT_FORMAT_F32, ((image * rows + row) * width()) / 4u + quad, value);
}

void sum_slice(uint image, uint slice, uint quad) {
    uint length = (push.tokens + push.slices - 1u) / push.slices;
    uint end = min((slice + 1u) * length, push.tokens);
    vec4 sum_k = vec4(0.0);
    vec4 sum_v = vec4(0.0);
    vec4 least = vec4(3.0e38);
    vec4 most = vec4(-3.0e38);
    uint head = quad / (push.head_dim / 4u);
    uint of_head = quad % (push.head_dim / 4u);
    for (uint token = slice * length; token < end; token++) {
        uint at = (image * push.tokens + token) * (width() / 4u) + quad;
        sum_k += value_of(image, head, token, of_head, moments_of(image, head, token));
        vec4 v = ht_limited4(ht_load4(push.v, FORMAT_V, at));
        sum_v += v;
        least = min(least, v);
        most = max(most, v);
    }
    uint row = slice * HT_CODES_PARTIAL_ROWS;
    uint rows = push.slices * HT_CODES_PARTIAL_ROWS;
    store_row(push.partials, rows, image, row + HT_CODES_SUM_K, quad, sum_k);
    store_row(push.partials, rows, image, row + HT_CODES_SUM_V, quad, sum_v);
    store_row(push.partials, rows, image, row + HT_CODES_LEAST_V, quad, least);
    store_row(push.partials, rows, image, row + HT_CODES_MOST_V, quad, most);
}

void combine(uint image, uint quad) {
    vec4 sum_k = vec4(0.0);
    vec4 sum_v = vec4(0.0);
    vec4 least = vec4(3.0e38);
    vec4 most = vec4(-3.0e38);
    uint rows = push.slices * HT_CODES_PARTIAL_ROWS;
    for (uint row = 0u; row < rows; row += HT_CODES_PARTIAL_ROWS) {
        sum_k += row_of(push.partials, rows, image, row + HT_CODES_SUM_K, quad);
        sum_v += row_of(push.partials, rows, image, row + HT_CODES_SUM_V, quad);
        least = min(least, row_of(push.partials, rows, image, row + HT_CODES_LEAST_V, quad));
        most = max(most, row_of(push.partials, rows, image, row + HT_CODES_MOST_V, quad));
    }
    vec4 mean_v = sum_v / float(push.tokens);
    vec4 scale = max(most - mean_v, mean_v - least) / top_v();
    const uint all = HT_CODES_CHANNEL_ROWS;
    store_row(push.means, all, image, HT_CODES_MEAN_K, quad, sum_k / float(push.tokens));
    store_row(push.means, all, image, HT_CODES_MEAN_V, quad, mean_v);
    store_row(push.means, all, image, HT_CODES_SCALE_V, quad,
              max(scale, vec4(uintBitsToFloat(HT_LEAST_NORMAL))));
}

uint blocks() { return (push.tokens + HT_ATTENTION_BLOCK - 1u) / HT_ATTENTION_BLOCK; }

// Index of the quads of q_means.
uint mean_at(uint image_head, uint block) {
    return (image_head * blocks() + block) * (push.head_dim / 4u);
}

void mean_of_block(uint image, uint head, uint block, uint quad) {
    uint begin = block * HT_ATTENTION_BLOCK;
    uint end = min(begin + HT_ATTENTION_BLOCK, push.tokens);
    vec4 sum = vec4(0.0);
    for (uint position = begin; position < end; position++) {
        uint token = token_at(head, position);
        sum += value_of(image, head, token, quad, moments_of(image, head, token));
    }
    ht_store4(push.means, HT_FORMAT_F32, mean_at(image * push.heads + head, block) + quad,
              sum / float(end - begin));
}

vec4 centred(uint image, uint head, uint position, uint token, uint quad, vec2 moments) {
    vec4 v = value_of(image, head, token, quad, moments);
    if (STEP == HT_CODES_PACK_K) {
        v -= row_of(push.means, HT_CODES_CHANNEL_ROWS, image, HT_CODES_MEAN_K,
                    head * (push.head_dim / 4u) + quad);
    } else if (BITS == 4u) {
        uint at = mean_at(image * push.heads + head, position / HT_ATTENTION_BLOCK);
        v -= ht_load4(push.means, HT_FORMAT_F32, at + quad);
    }
    return v;
}

uint code(float value, float top) { return uint(int(roundEven(clamp(value, -top, top)))); }

uint codes_of(vec4 v, float inverse) {
    uint word = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        word |= (code(v[i] * inverse, float(TOP)) & ((1u << BITS) - 1u)) << (i * BITS);
    }
    return word;
}

void pack_row(uint image, uint head, uint position) {
    uint token = token_at(head, position);
    uint quads = push.head_dim / 4u;
    uint row = (image * push.heads + head) * push.tokens + position;
    vec2 moments = moments_of(image, head, token);
    float size = 0.0;
    for (uint quad = 0u; quad < quads; quad++) {
        size = max(size, ht_size4(centred(image, head, position, token, quad, moments)));
    }
    float scale = max(size / float(TOP), uintBitsToFloat(HT_LEAST_NORMAL));
    float inverse = 1.0 / scale;
    HtF32(push.scales).v[row] = scale * (STEP == HT_CODES_PACK_Q ? push.factor : 1.0);
    const uint per_word = 8u / BITS; // quads
    for (uint word = 0u; word < push.row_words; word++) {
        uint bits = 0u;
        [[unroll]] for (uint i = 0u; i < per_word; i++) {
            uint quad = word * per_word + i;
            if (quad < quads) {
                vec4 v = centred(image, head, position, token, quad, moments);
                bits |= codes_of(v, inverse) << (i * 16u);
            }
        }
        HtU32(push.codes).v[row * push.row_words + word] = bits;
    }
}

uint code_of_v(float value) {
    return E4M3 ? ht_encode(value, ht_format_row(HT_FORMAT_E4M3)) : code(value, top_v()) & 0xffu;
}

void pack_values(uint image, uint head, uint four, uint quad) {
    uint channel = head * (push.head_dim / 4u) + quad;
    vec4 mean = row_of(push.means, HT_CODES_CHANNEL_ROWS, image, HT_CODES_MEAN_V, channel);
    vec4 scale = row_of(push.means, HT_CODES_CHANNEL_ROWS, image, HT_CODES_SCALE_V, channel);
    vec4 inverse = 1.0 / scale;
    uvec4 words = uvec4(0u);
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        uint position = 4u * four + j;
        if (position < push.tokens) {
            uint token = token_at(head, position);
            vec4 v = value_of(image, head, token, quad, vec2(0.0, 1.0));
            v = (v - mean) * inverse;
            [[unroll]] for (uint e = 0u; e < 4u; e++) {
                words[e] |= code_of_v(v[e]) << (8u * j);
            }
        }
    }
    uint fours = (push.tokens + 3u) / 4u;
    uint at = ((image * push.heads + head) * fours + four) * (push.head_dim / 4u) + quad;
    HtU64x2(push.codes).v[at] = u64vec2(packUint2x32(words.xy), packUint2x32(words.zw));
}

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint quads = STEP <= HT_CODES_COMBINE ? width() / 4u : push.head_dim / 4u;
    uint rows = STEP == HT_CODES_SLICES    ? push.slices
                : STEP == HT_CODES_COMBINE ? 1u
                : STEP == HT_CODES_MEANS_Q ? blocks()
                : STEP == HT_CODES_PACK_V  ? (push.tokens + 3u) / 4u
                                           : push.tokens;
    uint heads = STEP <= HT_CODES_COMBINE ? 1u : push.heads;
    if (STEP == HT_CODES_PACK_Q || STEP == HT_CODES_PACK_K) {
        quads = 1u;
    }
    uint quad = i % quads;
    uint row = i / quads % rows;
    uint head = i / quads / rows % heads;
    uint image = i / quads / rows / heads;
    if (image >= push.batch) {
        return;
    }
    switch (STEP) {
    case HT_CODES_SLICES: sum_slice(image, row, quad); break;
    case HT_CODES_COMBINE: combine(image, quad); break;
    case HT_CODES_MEANS_Q: mean_of_block(image, head, row, quad); break;
    case HT_CODES_PACK_V: pack_values(image, head, row, quad); break;
    default: pack_row(image, head, row); break;
    }
}

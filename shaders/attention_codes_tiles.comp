// Attention of integer codes for GPUs. A workgroup of 128 computes 16 * ROWS queries of one head: q
// stays in shared memory as bytes, four in a word (codes of four bits are spread out); of each block
// of 64 keys k passes through 32 channels at a time, then the codes of the weights and v do. An
// invocation owns ROWS queries, and of those eight keys and four channels of each of CHUNKS parts of
// the head. Sums are int32 (HT_DOT: by the device's integer dot product), with E4M3 codes of weights
// and v f32. At most 21 KiB of shared memory. Reads k and v once per 16 * ROWS queries.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_formats.glsl"
#include "ht_quantize.glsl"
#include "attention_codes.shared.h"
#include "ht_attention.glsl"
#include "ht_bytes.glsl"

layout(local_size_x_id = 0) in;                  // HT_ATTENTION_INVOCATIONS
layout(constant_id = 1) const uint FORMAT_K = 2; // of k_values
layout(constant_id = 2) const uint BITS = 8;
layout(constant_id = 6) const bool E4M3 = false; // weights and v
layout(constant_id = 7) const uint ROWS = 4;     // 4, or 1 for wide heads
layout(constant_id = 8) const uint CHUNKS = 2;   // of 32 channels
#include "ht_weight_codes.glsl"

const uint KEYS = HT_ATTENTION_BLOCK;
const uint WIDTH = HT_ATTENTION_CHUNK / 4u; // words of a chunk; invocations that own the same rows
const uint QUERIES = HT_ATTENTION_LINES * ROWS;
const uint Q_PITCH = CHUNKS * WIDTH + 1u; // odd, against bank conflicts
const uint FOURS = KEYS / 4u;

shared int q_tile[QUERIES][Q_PITCH];          // [query][channel / 4]
shared ivec4 kv_tile[HT_ATTENTION_INVOCATIONS]; // k as [channel / 4][key / 4], v as [key / 4][channel / 4]
shared uint weights[QUERIES][FOURS + 1u];     // [query][key / 4]
shared float partial[QUERIES][WIDTH];
shared uint needed; // of a block: that some query's weights are not negligible
shared float k_scales[KEYS];
shared float extras[KEYS]; // what is added to every query's score: the mask, the mean of q times k

// Codes 4 * word and on of a row of q or k, as bytes.
int load_word(uvec2 codes, uint row, uint word) {
    uint row_words = (push.head_dim * BITS + 127u) / 128u * 4u;
    uint at = BITS == 8u ? word : word / 2u;
    uint bits = at < row_words ? HtU32(codes).v[row * row_words + at] : 0u;
    if (BITS == 4u) {
        bits = ht_spread_nibbles(bits >> word % 2u * 16u);
    }
    return int(bits);
}

void fetch_q(uint rows, uint query0) {
    const uint words = CHUNKS * WIDTH;
    for (uint n = gl_LocalInvocationID.x; n < QUERIES * words; n += HT_ATTENTION_INVOCATIONS) {
        uint query = min(query0 + n / words, push.queries - 1u);
        q_tile[n / words][n % words] = load_word(push.q, rows + query, n % words);
    }
}

void fetch_k(uint rows, uint key0, uint chunk) {
    for (uint n = gl_LocalInvocationID.x; n < KEYS * WIDTH; n += HT_ATTENTION_INVOCATIONS) {
        uint line = n / WIDTH;
        uint word = n % WIDTH;
        kv_tile[word * FOURS + line / 4u][line % 4u] =
            load_word(push.k, rows + min(key0 + line, push.keys - 1u), chunk * WIDTH + word);
    }
}

// Four positions of four channels for each invocation.
void fetch_v(uint image_head, uint key0, uint chunk) {
    uint four = gl_LocalInvocationID.x / WIDTH;
    uint quad = chunk * WIDTH + gl_LocalInvocationID.x % WIDTH;
    uint fours = (push.keys + 3u) / 4u;
    uint row = min(key0 / 4u + four, fours - 1u);
    uvec4 words = uvec4(0u);
    if (4u * quad < push.head_dim) {
        uint at = (image_head * fours + row) * (push.head_dim / 4u) + quad;
        u64vec2 pairs = HtU64x2(push.v).v[at];
        words = uvec4(unpackUint2x32(pairs.x), unpackUint2x32(pairs.y));
    }
    kv_tile[gl_LocalInvocationID.x] = ivec4(words);
}

// What the mean of the block of queries adds to the score of a key: of k as it was given, since that
// of k's mean is the same for every key.
float mean_score(uint image, uint head, uint query0, uint token) {
    uint blocks = (push.queries + HT_ATTENTION_BLOCK - 1u) / HT_ATTENTION_BLOCK;
    uint quads = push.head_dim / 4u;
    uint mean = ((image * push.heads + head) * blocks + query0 / HT_ATTENTION_BLOCK) * quads;
    uint row = ((image * push.keys + token) * push.heads + head) * quads;
    float sum = 0.0;
    for (uint quad = 0u; quad < quads; quad++) {
        sum += dot(ht_load4(push.q_means, HT_FORMAT_F32, mean + quad),
                   ht_load4(push.k_values, FORMAT_K, row + quad));
    }
    return sum * push.scale;
}

// Of the block's keys: their scales, and what is added to their scores.
void fetch_keys(uint image, uint head, uint query0, uvec2 range) {
    uint n = min(gl_LocalInvocationID.x, KEYS - 1u);
    uint key = min(range.x + n, push.keys - 1u);
    uint rows = push.batch * push.heads * push.queries + (image * push.heads + head) * push.keys;
    float extra = 0.0;
    if (BITS == 4u || ht_present(push.mask)) {
        uint token = token_at(head, key);
        extra = mask_of(image, token);
        if (BITS == 4u) {
            extra += mean_score(image, head, query0, token);
        }
    }
    k_scales[n] = HtF32(push.scales).v[rows + key];
    extras[n] = range.x + n < range.y ? extra : LOWEST;
}

ivec4 sums[2u * ROWS]; // keys 4 * column and on, and 32 + 4 * column and on
vec4 scores[2u * ROWS];
vec4 results[ROWS * CHUNKS];
float q_scales[ROWS];
float highest[ROWS];
float total[ROWS]; // of the weights of this invocation's keys

void multiply_chunk(uint row0, uint column, uint chunk) {
    for (uint word = 0u; word < WIDTH; word++) {
        ivec4 k0 = kv_tile[word * FOURS + column];
        ivec4 k1 = kv_tile[word * FOURS + WIDTH + column];
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {
            int q = q_tile[row0 + i][chunk * WIDTH + word];
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                sums[2u * i][j] += ht_dot4(q, k0[j]);
                sums[2u * i + 1u][j] += ht_dot4(q, k1[j]);
            }
        }
    }
}

void score_block(uint row0, uint column) {
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        float top = LOWEST;
        [[unroll]] for (uint half_ = 0u; half_ < 2u; half_++) {
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                uint key = half_ * KEYS / 2u + 4u * column + j;
                float s = float(sums[2u * i + half_][j]) * (k_scales[key] * q_scales[i]);
                s += extras[key];
                scores[2u * i + half_][j] = s;
                top = max(top, s);
            }
        }
        partial[row0 + i][column] = top;
    }
}

// From scores to weights; what was summed up so far is shrunk to the new highest score. Returns
// the scale of the block's codes of row i.
float weigh_block(uint i, uint row, uint column) {
    float top = LOWEST;
    for (uint n = 0u; n < WIDTH; n++) {
        top = max(top, partial[row][n]);
    }
    float sum = 0.0;
    weights[row][column] = weight_codes(exp2(scores[2u * i] - top), sum);
    weights[row][WIDTH + column] = weight_codes(exp2(scores[2u * i + 1u] - top), sum);
    float high = max(highest[i], top);
    float shrink = exp2(highest[i] - high);
    float factor = block_factor(top, high);
    highest[i] = high;
    total[i] = total[i] * shrink + factor * sum;
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        results[i * CHUNKS + c] *= shrink;
    }
    return factor;
}

// results of a chunk += factors times weights times kv_tile.
void add_values(uint row0, uint column, uint chunk, const float factors[ROWS]) {
    ivec4 products[ROWS];
    vec4 floats[ROWS];
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        products[i] = ivec4(0);
        floats[i] = vec4(0.0);
    }
    for (uint n = 0u; n < FOURS; n++) {
        ivec4 v = kv_tile[n * WIDTH + column];
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {
            uint w = weights[row0 + i][n];
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                if (E4M3) {
                    floats[i][j] += dot(ht_e4m3_bytes(w), ht_e4m3_bytes(uint(v[j])));
                } else {
                    products[i][j] += ht_dot4(int(w), v[j]);
                }
            }
        }
    }
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        results[i * CHUNKS + chunk] += factors[i] * (E4M3 ? floats[i] : vec4(products[i]));
    }
}

void add_block(uint image, uint head, uint query0, uvec2 range, uint row0, uint column) {
    uint image_head = image * push.heads + head;
    [[unroll]] for (uint n = 0u; n < 2u * ROWS; n++) {
        sums[n] = ivec4(0);
    }
    for (uint c = 0u; c < CHUNKS; c++) {
        barrier(); // everybody is done with the tiles' last contents
        if (c == 0u) {
            fetch_keys(image, head, query0, range);
        }
        fetch_k(image_head * push.keys, range.x, c);
        barrier();
        multiply_chunk(row0, column, c);
    }
    score_block(row0, column);
    if (NEGLIGIBLE > 0u && gl_LocalInvocationID.x == 0u) {
        needed = 0u;
    }
    barrier();
    float factors[ROWS];
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        factors[i] = weigh_block(i, row0 + i, column);
        if (NEGLIGIBLE > 0u && factors[i] > 0.0) {
            needed = 1u;
        }
    }
    if (NEGLIGIBLE > 0u) {
        barrier();
        if (needed == 0u) {
            return;
        }
    }
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        barrier();
        fetch_v(image_head, range.x, c);
        barrier();
        add_values(row0, column, c, factors);
    }
}

vec4 channels_of(uint image, uint head, uint row, uint quad) {
    uint quads = push.heads * push.head_dim / 4u;
    uint at = (image * HT_CODES_CHANNEL_ROWS + row) * quads + head * (push.head_dim / 4u) + quad;
    return ht_load4(push.channels, HT_FORMAT_F32, at);
}

// Means of v plus its scales times what was summed up.
void store_results(uint image, uint head, uint query0, uint row0, uint column) {
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        partial[row0 + i][column] = total[i];
    }
    barrier();
    float unit = E4M3 ? ht_code_unit(HT_FORMAT_E4M3) : 1.0; // that of the weights divides itself out
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        float sum = 0.0;
        for (uint n = 0u; n < WIDTH; n++) {
            sum += partial[row0 + i][n];
        }
        uint query = query0 + row0 + i;
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            uint quad = c * WIDTH + column;
            if (query < push.queries && 4u * quad < push.head_dim) {
                vec4 y = results[i * CHUNKS + c] * (unit / sum) *
                             channels_of(image, head, HT_CODES_SCALE_V, quad) +
                         channels_of(image, head, HT_CODES_MEAN_V, quad);
                y = sum == 0.0 ? vec4(0.0) : y; // no key at all: nothing, not NaN
                store_head(image * push.queries + token_at(head, query), head, quad, y);
            }
        }
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
    uint query0 = (group - image_head * push.tiles) * QUERIES;
    uint row0 = gl_LocalInvocationID.x / WIDTH * ROWS;
    uint column = gl_LocalInvocationID.x % WIDTH;
    fetch_q(image_head * push.queries, query0);
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        uint query = min(query0 + row0 + i, push.queries - 1u);
        q_scales[i] = HtF32(push.scales).v[image_head * push.queries + query];
        highest[i] = LOWEST;
        total[i] = 0.0;
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            results[i * CHUNKS + c] = vec4(0.0);
        }
    }
    uvec2 kept = SPARSE ? kept_blocks(image, head, query0) : uvec2(0u);
    uint blocks = step_count(kept, KEYS);
    for (uint n = 0u; n < blocks; n++) {
        uvec2 range = keys_of_step(kept, n, KEYS);
        add_block(image, head, query0, range, row0, column);
    }
    barrier();
    store_results(image, head, query0, row0, column);
}

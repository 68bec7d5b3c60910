// Attention for GPUs. A workgroup of 128 computes 16 * ROWS queries of one head: per step of 32
// keys, q and k pass through shared memory 32 channels at a time, then the weights and v do. An
// invocation owns ROWS queries, and of those four keys and four channels of each of CHUNKS parts
// of the head. 26 KiB of shared memory. Reads k and v once per 16 * ROWS queries.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_packed.glsl"
#include "attention.shared.h"
#include "ht_attention_floats.glsl"

layout(local_size_x_id = 0) in; // HT_ATTENTION_INVOCATIONS
layout(constant_id = 7) const uint ROWS = 4;   // 4, or 1 for wide heads
layout(constant_id = 8) const uint CHUNKS = 2; // of 32 channels

const uint KEYS = 32u;  // per step
const uint WIDTH = HT_ATTENTION_CHUNK / 4u; // quads in a chunk, or in 32 keys
const uint PITCH = WIDTH + 1u; // odd, against bank conflicts
const uint QUERIES = HT_ATTENTION_LINES * ROWS;

// Pairs where every invocation of a line reads the same: vec4 loads are four to some drivers.
shared vec2 q_tile[QUERIES][2u * PITCH];  // [query][channel / 2]
shared vec2 weights[QUERIES][2u * PITCH]; // [query][key / 2]
shared vec4 kv_tile[KEYS][PITCH];         // k as [channel][key / 4], v as [key][channel / 4]
shared float partial[QUERIES][WIDTH];

vec4 load_quad(uint64_t at, uint format, uint quad) {
    vec4 v = vec4(0.0);
    if (4u * quad < push.head_dim) {
        v = ht_decode(ht_load_raw(at, format, PACKED_K, quad, push.head_dim), format);
    }
    return v;
}

void fetch_q(uint image, uint head, uint query0, uint chunk) {
    for (uint n = gl_LocalInvocationID.x; n < QUERIES * WIDTH; n += HT_ATTENTION_INVOCATIONS) {
        uint query = token_at(head, min(query0 + n / WIDTH, push.queries - 1u));
        vec4 q = load_quad(head_at(push.q, FORMAT_X, image * push.queries + query, head), FORMAT_X,
                           chunk * WIDTH + n % WIDTH);
        q_tile[n / WIDTH][n % WIDTH * 2u] = q.xy;
        q_tile[n / WIDTH][n % WIDTH * 2u + 1u] = q.zw;
    }
}

void fetch_k(uint image, uint head, uint key0, uint chunk) {
    for (uint n = gl_LocalInvocationID.x; n < KEYS * WIDTH; n += HT_ATTENTION_INVOCATIONS) {
        uint line = n / WIDTH;
        uint key = token_at(head, min(key0 + line, push.keys - 1u));
        vec4 k = load_quad(head_at(push.k, FORMAT_W, image * push.keys + key, head), FORMAT_W,
                           chunk * WIDTH + n % WIDTH);
        [[unroll]] for (uint i = 0u; i < 4u; i++) {
            kv_tile[n % WIDTH * 4u + i][line / 4u][line % 4u] = k[i];
        }
    }
}

void fetch_v(uint image, uint head, uint key0, uint chunk) {
    for (uint n = gl_LocalInvocationID.x; n < KEYS * WIDTH; n += HT_ATTENTION_INVOCATIONS) {
        uint key = token_at(head, min(key0 + n / WIDTH, push.keys - 1u));
        kv_tile[n / WIDTH][n % WIDTH] =
            load_quad(head_at(push.v, FORMAT_V, image * push.keys + key, head), FORMAT_V,
                      chunk * WIDTH + n % WIDTH);
    }
}

// target[i] += left[row0 + i] (32 values) times kv_tile's column of quads.
#define MULTIPLY(target, left, row0, column)                                                       \
    for (uint n = 0u; n < 2u * WIDTH; n++) {                                                       \
        vec4 r0 = kv_tile[2u * n][column];                                                         \
        vec4 r1 = kv_tile[2u * n + 1u][column];                                                    \
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {                                              \
            vec2 l = left[row0 + i][n];                                                            \
            target[i] += l.x * r0 + l.y * r1;                                                      \
        }                                                                                          \
    }

vec4 scores[ROWS];
vec4 results[ROWS * CHUNKS];
float highest[ROWS];
float total[ROWS]; // of the weights of this invocation's keys

// From scores to weights[], and everything summed so far shrunk to the new highest score.
void softmax_step(uint image, uint head, uint query0, uint row0, uint first_key, uint end,
                  uint column) {
    vec4 mask;
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        mask[j] = LOWEST;
        if (first_key + j < end) {
            mask[j] = ht_present(push.mask) ? mask_of(image, token_at(head, first_key + j)) : 0.0;
        }
    }
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        vec4 s = scores[i] * push.scale + mask;
        if (REL_BIAS) {
            uint query = min(query0 + row0 + i, push.queries - 1u);
            [[unroll]] for (uint j = 0u; j < 4u; j++) {
                s[j] += rel_bias_of(query, min(first_key + j, push.keys - 1u), head);
            }
        }
        scores[i] = s;
        partial[row0 + i][column] = max(max(s.x, s.y), max(s.z, s.w));
    }
    barrier();
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        float top = highest[i];
        for (uint n = 0u; n < WIDTH; n++) {
            top = max(top, partial[row0 + i][n]);
        }
        float shrink = exp2(highest[i] - top);
        highest[i] = top;
        vec4 s = scores[i];
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            s[j] = first_key + j < end ? exp2(s[j] - top) : 0.0;
        }
        weights[row0 + i][2u * column] = s.xy;
        weights[row0 + i][2u * column + 1u] = s.zw;
        total[i] = total[i] * shrink + ((s.x + s.y) + (s.z + s.w));
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            results[i * CHUNKS + c] *= shrink;
        }
    }
}

float size_of_chunk(uint i, uint c, uint column) {
    return (c * WIDTH + column) * 4u < push.head_dim ? ht_size4(results[i * CHUNKS + c]) : 0.0;
}

// results (finished, limited) into a packed format: a line's columns meet in `partial`, which
// gets the largest size of the chunk, or of two where a group has 64 values.
void store_packed(uint image, uint head, uint query0, uint row0, uint column) {
    uint quads = ht_pack_group_quads(FORMAT_RESULT); // 4, 8 or 16
    uint columns = min(quads, WIDTH);
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        barrier(); // everybody is done with what was in `partial`
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {
            float size = size_of_chunk(i, c, column);
            if (quads > WIDTH) {
                size = max(size, size_of_chunk(i, min(c ^ 1u, CHUNKS - 1u), column));
            }
            partial[row0 + i][column] = size;
        }
        barrier();
        uint quad = c * WIDTH + column;
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {
            float size = 0.0;
            for (uint n = 0u; n < columns; n++) {
                size = max(size, partial[row0 + i][column / columns * columns + n]);
            }
            uint query = query0 + row0 + i;
            if (query < push.queries && 4u * quad < push.head_dim) {
                store_head_packed(image * push.queries + token_at(head, query), head, quad,
                                  results[i * CHUNKS + c], size);
            }
        }
    }
}

void store_results(uint image, uint head, uint query0, uint row0, uint column) {
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        partial[row0 + i][column] = total[i];
    }
    barrier();
    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        float sum = 0.0;
        for (uint n = 0u; n < WIDTH; n++) {
            sum += partial[row0 + i][n];
        }
        uint query = query0 + row0 + i;
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            uint quad = c * WIDTH + column;
            // No key at all: nothing, not NaN.
            vec4 y = SPARSE && sum == 0.0 ? vec4(0.0) : results[i * CHUNKS + c] / sum;
            if (ht_is_packed(FORMAT_RESULT)) {
                results[i * CHUNKS + c] = ht_limited4(y);
            } else if (query < push.queries && 4u * quad < push.head_dim) {
                store_head(image * push.queries + token_at(head, query), head, quad, y);
            }
        }
    }
    if (ht_is_packed(FORMAT_RESULT)) {
        store_packed(image, head, query0, row0, column);
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

    [[unroll]] for (uint i = 0u; i < ROWS; i++) {
        highest[i] = LOWEST;
        total[i] = 0.0;
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            results[i * CHUNKS + c] = vec4(0.0);
        }
    }
    uvec2 kept = SPARSE ? kept_blocks(image, head, query0) : uvec2(0u);
    uint steps = step_count(kept, KEYS);
    for (uint step = 0u; step < steps; step++) {
        uvec2 range = keys_of_step(kept, step, KEYS);
        uint key0 = range.x;
        if (key0 >= range.y) {
            continue; // behind the last key, in its block
        }
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {
            scores[i] = vec4(0.0);
        }
        for (uint c = 0u; c < CHUNKS; c++) {
            barrier(); // everybody is done with the tiles' last contents
            fetch_q(image, head, query0, c);
            fetch_k(image, head, key0, c);
            barrier();
            MULTIPLY(scores, q_tile, row0, column)
        }
        softmax_step(image, head, query0, row0, key0 + 4u * column, range.y, column);
        [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
            barrier();
            fetch_v(image, head, key0, c);
            barrier();
            vec4 sums[ROWS];
            [[unroll]] for (uint i = 0u; i < ROWS; i++) {
                sums[i] = results[i * CHUNKS + c];
            }
            MULTIPLY(sums, weights, row0, column)
            [[unroll]] for (uint i = 0u; i < ROWS; i++) {
                results[i * CHUNKS + c] = sums[i];
            }
        }
    }
    barrier();
    store_results(image, head, query0, row0, column);
}

// What the attention kernels share: constants, the mask, orders, lists of kept blocks. Scores are in
// units of log2, so that the softmax is made of exp2. Include after the push constants.
#ifndef HT_ATTENTION_GLSL
#define HT_ATTENTION_GLSL

#include "ht_order.glsl"
#include "ht_quad.glsl"

layout(constant_id = 4) const uint FORMAT_RESULT = 2;
layout(constant_id = 5) const bool PACKED_K = true; // rows can be loaded four values at a time

layout(constant_id = 9) const bool SPARSE = false;
layout(constant_id = 10) const bool ORDERED = false;

const float LOG2E = 1.44269504;
// Below every score and every mask. Finite, so that a row of nothing but -inf masks has equal
// scores instead of NaN.
const float LOWEST = -3.0e38;
const float MASK_LIMIT = 1.0e30;

float mask_of(uint image, uint key) {
    float mask = 0.0;
    if (ht_present(push.mask)) {
        mask = HtF32(push.mask).v[image * push.keys + key];
        mask = clamp(mask, -MASK_LIMIT, MASK_LIMIT) * LOG2E;
    }
    return mask;
}

uint token_at(uint head, uint position) {
    return ORDERED ? ht_token(push.orders, push.head_orders, head, position, push.keys) : position;
}

// The kept blocks of keys of a block of queries: where its list starts, and its length.
uvec2 kept_blocks(uint image, uint head, uint query) {
    uint rows = (push.queries + HT_ATTENTION_BLOCK - 1u) / HT_ATTENTION_BLOCK;
    uint at = 2u * (image * push.picture_rows + head * rows + query / HT_ATTENTION_BLOCK);
    return uvec2(HtI32(push.blocks).v[at], HtI32(push.blocks).v[at + 1u]);
}

// A loop over the keys in steps of `keys`, those of one kept block after the other.
uint steps_in_block(uint keys) { return max(HT_ATTENTION_BLOCK / keys, 1u); }

uint step_count(uvec2 kept, uint keys) {
    return SPARSE ? kept.y * steps_in_block(keys) : (push.keys + keys - 1u) / keys;
}

// First key of a step, and the end of those that count.
uvec2 keys_of_step(uvec2 kept, uint step, uint keys) {
    if (!SPARSE) {
        return uvec2(step * keys, push.keys);
    }
    uint in_block = steps_in_block(keys);
    uint begin = uint(HtI32(push.blocks).v[kept.x + step / in_block]) * HT_ATTENTION_BLOCK;
    return uvec2(begin + step % in_block * keys, min(begin + HT_ATTENTION_BLOCK, push.keys));
}

void store_head(uint row, uint head, uint quad, vec4 y) {
    uint index = (row * push.heads + head) * push.head_dim + 4u * quad;
    if (PACKED_K) {
        ht_store4(push.result, FORMAT_RESULT, index / 4u, y);
        return;
    }
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        if (4u * quad + i < push.head_dim) {
            ht_store(push.result, FORMAT_RESULT, index + i, y[i]);
        }
    }
}

#endif

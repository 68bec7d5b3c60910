// What the attention kernels share: constants, and the scores' additions. Scores are in units of
// log2, so that the softmax is made of exp2. Include after attention.shared.h.
#ifndef HT_ATTENTION_GLSL
#define HT_ATTENTION_GLSL

#include "ht_packed.glsl"
#include "ht_quantize.glsl"

layout(constant_id = 1) const uint FORMAT_X = 2; // q
layout(constant_id = 2) const uint FORMAT_W = 2; // k
layout(constant_id = 3) const uint FORMAT_V = 2;
layout(constant_id = 4) const uint FORMAT_RESULT = 2;
layout(constant_id = 5) const bool PACKED_K = true; // rows can be loaded four values at a time
layout(constant_id = 6) const bool REL_BIAS = false;

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

float rel_bias_of(uint query, uint key, uint head) {
    return HtF32(push.rel_bias).v[(key + push.queries - 1u - query) * push.heads + head] * LOG2E;
}

// Address of the first value of a head in row `row` of q, k or v.
uint64_t head_at(uvec2 address, uint format, uint row, uint head) {
    return packUint2x32(address) +
           uint64_t(row * push.heads + head) * (push.head_dim * ht_value_bytes(format));
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

// The same into a packed format whose groups divide a head and whose rows have no padding. y is
// limited; `size` is that of the largest value of its group.
void store_head_packed(uint row, uint head, uint quad, vec4 y, float size) {
    uint at = (row * push.heads + head) * (push.head_dim / 4u) + quad;
    uint quads = ht_pack_group_quads(FORMAT_RESULT);
    float inverse;
    uint scale = ht_pack_scale(size, FORMAT_RESULT, inverse);
    ht_store_codes(push.result, FORMAT_RESULT, at, ht_encode4(y, inverse, FORMAT_RESULT));
    if (at % quads == 0u) {
        ht_store_scale(push.scales, FORMAT_RESULT, at / quads, scale);
    }
    if (at == 0u && ht_present(push.tensor)) {
        HtF32(push.tensor).v[0] = 1.0;
    }
}

#endif

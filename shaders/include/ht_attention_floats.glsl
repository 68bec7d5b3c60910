// What the attention kernels of floats share beyond ht_attention.glsl: formats, the bias by
// distance, results in packed formats.
#ifndef HT_ATTENTION_FLOATS_GLSL
#define HT_ATTENTION_FLOATS_GLSL

#include "ht_packed.glsl"
#include "ht_quantize.glsl"
#include "ht_attention.glsl"

layout(constant_id = 1) const uint FORMAT_X = 2; // q
layout(constant_id = 2) const uint FORMAT_W = 2; // k
layout(constant_id = 3) const uint FORMAT_V = 2;
layout(constant_id = 6) const bool REL_BIAS = false;

float rel_bias_of(uint query, uint key, uint head) {
    return HtF32(push.rel_bias).v[(key + push.queries - 1u - query) * push.heads + head] * LOG2E;
}

// Address of the first value of a head in row `row` of q, k or v.
uint64_t head_at(uvec2 address, uint format, uint row, uint head) {
    return packUint2x32(address) +
           uint64_t(row * push.heads + head) * (push.head_dim * ht_value_bytes(format));
}

// The same into a packed format whose groups divide a head and whose rows have no padding. y is
// limited; `size` is that of the largest value of its group.
void store_head_packed(uint row, uint head, uint quad, vec4 y, float size) {
    uint at = (row * push.heads + head) * (push.head_dim / 4u) + quad;
    uint quads = ht_pack_group_quads(FORMAT_RESULT);
    float inverse;
    uint scale = ht_pack_scale(size, FORMAT_RESULT, inverse);
    ht_store_codes(push.result, FORMAT_RESULT, at,
                   ht_encode4_within(y, inverse, ht_format_row(FORMAT_RESULT)));
    if (at % quads == 0u) {
        ht_store_scale(push.scales, FORMAT_RESULT, at / quads, scale);
    }
    if (at == 0u && ht_present(push.tensor)) {
        HtF32(push.tensor).v[0] = 1.0;
    }
}

#endif

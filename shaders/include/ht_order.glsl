// Tokens in a head's own order (ht_attention_plan).
#ifndef HT_ORDER_GLSL
#define HT_ORDER_GLSL

#include "ht_load.glsl"

// The token at a position, of `tokens`. Orders come from files: never outside.
uint ht_token(uvec2 orders, uvec2 head_orders, uint head, uint position, uint tokens) {
    uint row = uint(HtI32(head_orders).v[head]);
    return min(uint(HtI32(orders).v[row * tokens + position]), tokens - 1u);
}

#endif

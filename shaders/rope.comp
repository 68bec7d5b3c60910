// Rotary positions: two pairs of a token's head per invocation. A row of the table has the cosine
// and the sine of each pair, so that a quad of it serves a quad of x.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "ht_turn.glsl"
#include "rope.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_X = 1;
layout(constant_id = 2) const uint FORMAT_RESULT = 1;
layout(constant_id = 3) const bool WIDE = true;

vec4 quad_of(uvec2 address, uint format, uint i) {
    if (WIDE) {
        return ht_load_quad(address, format, true, i);
    }
    vec4 v;
    [[unroll]] for (uint k = 0u; k < 4u; k++) {
        v[k] = ht_load_quad(address, format, false, 4u * i + k).x;
    }
    return v;
}

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) {
        return;
    }
    uint token = i / push.row % push.tokens;
    uint channel = i % push.row % push.head;
    vec4 v = quad_of(push.x, FORMAT_X, i);
    vec4 turn = quad_of(push.table, HT_FORMAT_F32, token * push.head + channel);
    vec4 y = ht_turn(v, turn);
    if (WIDE) {
        ht_store_quad(push.result, FORMAT_RESULT, true, i, y);
    } else {
        [[unroll]] for (uint k = 0u; k < 4u; k++) {
            ht_store_quad(push.result, FORMAT_RESULT, false, 4u * i + k, vec4(y[k]));
        }
    }
}

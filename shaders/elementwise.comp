// result = f(a) or f(a, b), one quad per invocation. a and result have `count` quads; b has
// `b_count` and is repeated.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "ht_math.glsl"
#include "elementwise.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint KIND = 0;
layout(constant_id = 2) const uint ACT = 0;
layout(constant_id = 3) const uint FORMAT_A = 1;
layout(constant_id = 4) const uint FORMAT_B = 1;
layout(constant_id = 5) const uint FORMAT_RESULT = 1;
layout(constant_id = 6) const bool WIDE = true;
layout(constant_id = 7) const uint WALK = 0; // HT_ELEMENTWISE_SAME, ..

uint b_index(uint i) {
    if (WALK == HT_ELEMENTWISE_SAME) {
        return i;
    }
    uint in_row = i % push.b_count;
    return WALK == HT_ELEMENTWISE_REPEAT ? in_row : i / push.item * push.b_count + in_row;
}

vec4 activated(vec4 y) {
    return vec4(ht_activate(y.x, ACT), ht_activate(y.y, ACT), ht_activate(y.z, ACT),
                ht_activate(y.w, ACT));
}

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) {
        return;
    }
    uint a_index = KIND == HT_ELEMENTWISE_GATED ? i + i / push.b_count * push.b_count : i;
    vec4 y = ht_load_quad(push.a, FORMAT_A, WIDE, a_index);
    if (KIND == HT_ELEMENTWISE_ACTIVATION) {
        y = activated(y);
    } else if (KIND == HT_ELEMENTWISE_GATED) {
        y *= activated(ht_load_quad(push.a, FORMAT_A, WIDE, a_index + push.b_count));
    } else if (KIND == HT_ELEMENTWISE_AFFINE) {
        y = y * push.scale + push.shift;
    } else {
        vec4 b = ht_load_quad(push.b, FORMAT_B, WIDE, b_index(i));
        y = KIND == HT_ELEMENTWISE_ADD ? y + b : y * b;
    }
    ht_store_quad(push.result, FORMAT_RESULT, WIDE, i, y);
}

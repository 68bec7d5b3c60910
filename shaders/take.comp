// Columns of the last dimension, gathered by number. One value of the result per invocation.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_load.glsl"
#include "take.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_X = 1;
layout(constant_id = 2) const uint FORMAT_RESULT = 1;

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) {
        return;
    }
    uint row = i / push.width;
    int column = HtI32(push.columns).v[i - row * push.width];
    ht_store(push.result, FORMAT_RESULT, i,
             ht_load(push.x, FORMAT_X,
                     row * push.x_width + uint(clamp(column, 0, int(push.x_width) - 1))));
}

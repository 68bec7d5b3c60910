// The copy that others are measured against: 16 bytes per invocation, read and written once.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "bench.shared.h"

layout(local_size_x_id = 0) in;

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i < push.count) {
        HtU64x2(push.to).v[i] = HtU64x2(push.from).v[i];
    }
}

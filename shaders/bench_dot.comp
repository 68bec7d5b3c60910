// Dot products of four signed bytes between registers, as bench_peak.comp.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_load.glsl"
#include "ht_dot.glsl"
#include "bench.shared.h"

layout(local_size_x_id = 0) in;

void main() {
    int y[HT_BENCH_CHAINS];
    [[unroll]] for (uint i = 0u; i < HT_BENCH_CHAINS; i++) {
        y[i] = int(i + gl_LocalInvocationID.x);
    }
    for (uint round = 0u; round < push.rounds; round++) {
        [[unroll]] for (uint s = 0u; s < HT_BENCH_STEPS; s++) {
            [[unroll]] for (uint i = 0u; i < HT_BENCH_CHAINS; i++) {
                y[i] += ht_dot(y[i], int(push.count), 0);
            }
        }
    }
    int sum = 0;
    [[unroll]] for (uint i = 0u; i < HT_BENCH_CHAINS; i++) {
        sum += y[i];
    }
    if (sum == 12345 && push.count == 0u) { // a dispatch has another count
        HtI32(push.to).v[0] = sum;
    }
}

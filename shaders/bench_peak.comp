// Multiplies and adds between registers: as many independent chains as the registers hold.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_load.glsl"
#include "bench.shared.h"

layout(local_size_x_id = 0) in;

void main() {
    float y[HT_BENCH_CHAINS];
    [[unroll]] for (uint i = 0u; i < HT_BENCH_CHAINS; i++) {
        y[i] = float(i + gl_LocalInvocationID.x);
    }
    for (uint round = 0u; round < push.rounds; round++) {
        [[unroll]] for (uint s = 0u; s < HT_BENCH_STEPS; s++) {
            [[unroll]] for (uint i = 0u; i < HT_BENCH_CHAINS; i++) {
                y[i] = y[i] * push.factor + push.addend;
            }
        }
    }
    float sum = 0.0;
    [[unroll]] for (uint i = 0u; i < HT_BENCH_CHAINS; i++) {
        sum += y[i];
    }
    // Never true, which the compiler cannot know.
    if (sum == push.addend - 12345.0) {
        HtF32(push.to).v[0] = sum;
    }
}

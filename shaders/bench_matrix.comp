// Cooperative matrices multiplied in registers: HT_BENCH_MATRICES independent sums per subgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_matrix.glsl"
#include "ht_load.glsl"
#include "bench.shared.h"

layout(local_size_x_id = 0) in;

shared HT_ELEMENT4 operands[256];
shared HT_SUM results[1024];

void main() {
    for (uint i = gl_LocalInvocationID.x; i < 256u; i += gl_WorkGroupSize.x) {
        operands[i] = HT_ELEMENT4(0.0);
    }
    barrier();
    HT_MATRIX_A a;
    HT_MATRIX_B b;
    coopMatLoad(a, operands, 0u, TK / 4u, gl_CooperativeMatrixLayoutRowMajor);
    coopMatLoad(b, operands, 0u, TK / 4u, gl_CooperativeMatrixLayoutColumnMajor);
    HT_MATRIX_SUM y[HT_BENCH_MATRICES];
    [[unroll]] for (uint i = 0u; i < HT_BENCH_MATRICES; i++) {
        y[i] = HT_MATRIX_SUM(HT_SUM(i));
    }
    for (uint round = 0u; round < push.rounds; round++) {
        [[unroll]] for (uint i = 0u; i < HT_BENCH_MATRICES; i++) {
            y[i] = coopMatMulAdd(a, b, y[i]);
        }
    }
    [[unroll]] for (uint i = 1u; i < HT_BENCH_MATRICES; i++) {
        y[0] = y[0] + y[i];
    }
    coopMatStore(y[0], results, 0u, TN, gl_CooperativeMatrixLayoutRowMajor);
    barrier();
    // Never true, which the compiler cannot know.
    if (results[0] == HT_SUM(push.addend - 12345.0)) {
        HtF32(push.to).v[0] = float(results[0]);
    }
}

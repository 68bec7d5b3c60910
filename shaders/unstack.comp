// What a residual stack stands for with the blocks that are there now: sums of signs times magnitudes
// A B of low rank. One quad of the result per invocation. The table is read anew each time, so that
// blocks can come and go between two runs of what was recorded.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_packed.glsl"
#include "unstack.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_RESULT = 1;
layout(constant_id = 2) const bool WIDE = true;

// Magnitudes of four neighbours in a row.
vec4 sizes(uint64_t block, uint row, uint quad) {
    vec4 sum = vec4(0.0);
    for (uint j = 0u; j < push.rank; j++) {
        uint left = uint(HtU16(block + push.left).v[row * push.rank + j]);
        uvec2 right = unpackUint2x32(HtU64(block + push.right).v[j * 8u * push.words + quad]);
        sum += unpackHalf2x16(left).x * vec4(unpackHalf2x16(right.x), unpackHalf2x16(right.y));
    }
    return sum;
}

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) {
        return;
    }
    uint row = i / push.quads, quad = i - row * push.quads;
    uint blocks = min(HtU32(push.table).v[0], HT_UNSTACK_BLOCKS);
    vec4 sum = vec4(0.0);
    for (uint b = 0u; b < blocks; b++) {
        uint64_t block = packUint2x32(HtU32x2(push.table).v[1u + b]);
        uint signs = HtU32(block).v[row * push.words + quad / 8u] >> (quad % 8u * 4u);
        vec4 size = sizes(block, row, quad);
        sum += mix(-size, size, notEqual(uvec4(signs) & uvec4(1u, 2u, 4u, 8u), uvec4(0u)));
    }
    if (WIDE) {
        ht_store4(push.result, FORMAT_RESULT, i, sum);
        return;
    }
    [[unroll]] for (uint k = 0u; k < 4u; k++) {
        if (4u * quad + k < push.width) {
            ht_store(push.result, FORMAT_RESULT, row * push.width + 4u * quad + k, sum[k]);
        }
    }
}

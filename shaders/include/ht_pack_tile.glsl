// The results of gemm_packed_cpu in INT8_G32: where a subgroup's columns are a group, its largest value
// is known without a word of shared memory, and no float is written. Include after ht_epilogue.glsl;
// needs ht_lane_rows.glsl and totals.
#ifndef HT_PACK_TILE_GLSL
#define HT_PACK_TILE_GLSL

#include "ht_quantize.glsl"

const uint HT_TILE_GROUP = 32u; // LANES * TILE_N columns, of which push.columns is a multiple

// ht_format_row() knows the operands only.
const HtFormatRow HT_TILE_ROW =
    HtFormatRow(8u, HT_KIND_SYMMETRIC, 0u, 0u, 127u, HT_TILE_GROUP, HT_SCALE_F32);

// Without gate and residual; the scales are at push.residual.
void pack_tile(uint row0, uint column0, vec4 bias) {
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        vec4 y = totals[i] + bias;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            y[j] = ht_activate(y[j], ACT);
        }
        y = ht_limited4(y);
        float size = uintBitsToFloat(largest_of_lanes(floatBitsToUint(ht_size4(y))));
        float inverse;
        uint scale = ht_pack_scale_of(size, HT_TILE_ROW, inverse);
        uint index = (row0 + i) * push.columns + column0;
        if (row0 + i < push.rows) {
            HtU32(push.result).v[index / 4u] = ht_encode4_within(y, inverse, HT_TILE_ROW);
            if (gl_SubgroupInvocationID == 0u) {
                HtU32(push.residual).v[index / HT_TILE_GROUP] = scale;
            }
        }
    }
}

#endif

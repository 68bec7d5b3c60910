// The results of gemm_packed_cpu in INT8_G32: where a subgroup's columns are a group, its largest value
// is known without a word of shared memory, and no float is written. Include after ht_epilogue.glsl;
// needs ht_lane_rows.glsl and totals.
#ifndef HT_PACK_TILE_GLSL
#define HT_PACK_TILE_GLSL

#include "ht_copy_layout.h"
#include "ht_quantize.glsl"

const uint HT_TILE_GROUP = 32u; // LANES * TILE_N columns, of which push.columns is a multiple

// ht_format_row() knows the operands only.
const HtFormatRow HT_TILE_ROW =
    HtFormatRow(8u, HT_KIND_SYMMETRIC, 0u, 0u, 127u, HT_TILE_GROUP, HT_SCALE_F32);

// Codes and scale of the group that the lanes' values of a row are.
void pack_group(uint row, uint column0, vec4 y, uvec2 codes, uvec2 scales) {
    y = ht_limited4(y);
    float size = uintBitsToFloat(largest_of_lanes(floatBitsToUint(ht_size4(y))));
    float inverse;
    uint scale = ht_pack_scale_of(size, HT_TILE_ROW, inverse);
    uint index = row * push.columns + column0;
    if (row < push.rows) {
        HtU32(codes).v[index / 4u] = ht_encode4_within(y, inverse, HT_TILE_ROW);
        if (gl_SubgroupInvocationID == 0u) {
            HtU32(scales).v[index / HT_TILE_GROUP] = scale;
        }
    }
}

// The packed copy, behind the results, of a row that this lane has stored.
void pack_copy(uint row, uint column0) {
    uint count = push.rows * push.columns;
    uint bytes = count * (FORMAT_RESULT == HT_FORMAT_F32 ? 4u : 2u);
    vec4 y = vec4(0.0);
    if (row < push.rows) {
        y = ht_load4(push.result, FORMAT_RESULT, (row * push.columns + column0) / 4u);
    }
    const uint last = uint(HT_COPY_ALIGNMENT) - 1u;
    uint64_t codes = packUint2x32(push.result) + ((bytes + last) & ~last);
    pack_group(row, column0, y, unpackUint2x32(codes), unpackUint2x32(codes + count));
}

// Without gate and residual; the scales are at push.residual.
void pack_tile(uint row0, uint column0, vec4 bias) {
    [[unroll]] for (uint i = 0u; i < TILE_M; i++) {
        vec4 y = totals[i] + bias;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            y[j] = ht_activate(y[j], ACT);
        }
        pack_group(row0 + i, column0, y, push.result, push.residual);
    }
}

#endif

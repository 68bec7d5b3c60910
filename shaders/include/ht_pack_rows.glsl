// Rows of floats into a packed format, by the kernel that has them. Include after ht_quantize.glsl
// and the specialization constants.
#ifndef HT_PACK_ROWS_GLSL
#define HT_PACK_ROWS_GLSL

#include "ht_reduce.glsl"

// The kernel's: four values of a row, limited; those past its end are 0.
vec4 row_quad(uint row, uint quad);

// One scale for the row, by a whole workgroup; every quad is asked for twice, or, where FIXED (the
// kernel's constant) says that the scale is there, once.
void pack_row(uvec2 codes, uvec2 scales, uvec2 given, uint format, uint row, uint quads) {
    float inverse;
    uint scale;
    if (FIXED) {
        scale = max(floatBitsToUint(HtF32(given).v[0]), HT_LEAST_NORMAL);
        inverse = 1.0 / uintBitsToFloat(scale);
    } else {
        float size = 0.0;
        for (uint q = gl_LocalInvocationID.x; q < quads; q += gl_WorkGroupSize.x) {
            size = max(size, ht_size4(row_quad(row, q)));
        }
        scale = ht_pack_scale(ht_group_max(size), format, inverse);
    }
    if (gl_LocalInvocationID.x == 0u) {
        ht_store_scale(scales, format, row, scale);
    }
    for (uint q = gl_LocalInvocationID.x; q < quads; q += gl_WorkGroupSize.x) {
        ht_store_codes(codes, format, row * quads + q,
                       ht_encode4(row_quad(row, q), inverse, format));
    }
}

// Group `group` of a row that has `groups`, by one invocation. The first also stores the scale of
// the tensor, which is 1 for activations; `tensor` is 0 where there is none.
void pack_group(uvec2 codes, uvec2 scales, uvec2 tensor, uint format, uint row, uint group,
                uint groups) {
    uint quads = ht_pack_group_quads(format);
    vec4 v[HT_PACK_MAX_QUADS];
    [[unroll]] for (uint q = 0u; q < HT_PACK_MAX_QUADS; q++) {
        v[q] = q < quads ? row_quad(row, group * quads + q) : vec4(0.0);
    }
    ht_pack_group(codes, scales, format, row * groups + group, v);
    if (row == 0u && group == 0u && ht_present(tensor)) {
        HtF32(tensor).v[0] = 1.0;
    }
}

#endif

// Rows of floats into a packed format, by the kernel that has them. Include after ht_quantize.glsl
// and the specialization constants.
#ifndef HT_PACK_ROWS_GLSL
#define HT_PACK_ROWS_GLSL

#include "ht_reduce.glsl"

// Where the row of a workgroup fits into the registers of its invocations, each keeps KEPT pairs of
// quads (a constant of the kernel's; 0: values are asked for as often as they are needed).
const uint KEPT_QUADS = KEPT == 0u ? 1u : 2u * KEPT;
const uint NOT_KEPT = 0xffffffffu;
uint kept_quad(uint i) {
    return 2u * (gl_LocalInvocationID.x + i / 2u * gl_WorkGroupSize.x) + i % 2u;
}

// The kernel's: four values of a row, limited; those past its end are 0. i is NOT_KEPT, or quad is
// kept_quad(i).
vec4 row_quad(uint row, uint quad, uint i);

// 32 values of a row in bit planes: word `word` of each.
void pack_planes(uvec2 codes, uint format, uint row, uint word, uint words, float inverse) {
    HtFormatRow of = ht_format_row(format);
    uint planes[8] = {0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u};
    [[unroll]] for (uint q = 0u; q < 8u; q++) {
        vec4 v = row_quad(row, 8u * word + q, NOT_KEPT) * inverse;
        uint four = ht_encode(v.x, of) | ht_encode(v.y, of) << 8 | ht_encode(v.z, of) << 16 |
                    ht_encode(v.w, of) << 24;
        [[unroll]] for (uint p = 0u; p < of.bits; p++) { // the product puts four bits side by side
            uint nibble = (((four >> p) & 0x01010101u) * 0x01020408u) >> 24 & 15u;
            planes[p] |= nibble << (4u * q);
        }
    }
    [[unroll]] for (uint p = 0u; p < of.bits; p++) {
        HtU32(codes).v[(row * words + word) * of.bits + p] = planes[p];
    }
}

float given_scale(uvec2 given, out uint scale) {
    scale = max(floatBitsToUint(HtF32(given).v[0]), HT_LEAST_NORMAL);
    return 1.0 / uintBitsToFloat(scale);
}

uint encoded(vec4 v, float inverse, uint format) {
    return FIXED ? ht_encode4(v, inverse, format)
                 : ht_encode4_within(v, inverse, ht_format_row(format));
}

// A row that is kept: each quad is asked for once.
void pack_kept_row(uvec2 codes, uvec2 scales, uvec2 given, uint format, uint row, uint quads) {
    vec4 v[KEPT_QUADS];
    float size = 0.0;
    [[unroll]] for (uint i = 0u; i < KEPT_QUADS; i++) {
        v[i] = row_quad(row, kept_quad(i), i);
        size = ht_larger(size, ht_size4(v[i]));
    }
    uint scale;
    float inverse = FIXED ? given_scale(given, scale) : 0.0;
    if (!FIXED) {
        scale = ht_pack_scale(ht_group_max(size), format, inverse);
    }
    if (gl_LocalInvocationID.x == 0u) {
        ht_store_scale(scales, format, row, scale);
    }
    [[unroll]] for (uint i = 0u; i < KEPT_QUADS; i += 2u) {
        if (kept_quad(i) < quads) {
            ht_store_two_codes(codes, format, row * quads + kept_quad(i),
                               uvec2(encoded(v[i], inverse, format),
                                     encoded(v[i + 1u], inverse, format)));
        }
    }
}

// One scale for the row, by a whole workgroup, two quads at a time: rows are padded to eight. Each is
// asked for twice, or, where FIXED (the kernel's constant) says that the scale is there, once.
void pack_row(uvec2 codes, uvec2 scales, uvec2 given, uint format, uint row, uint quads) {
    if (KEPT != 0u && !ht_in_planes(format)) {
        pack_kept_row(codes, scales, given, format, row, quads);
        return;
    }
    float inverse;
    uint scale;
    if (FIXED) {
        inverse = given_scale(given, scale);
    } else {
        float size = 0.0;
        for (uint q = 2u * gl_LocalInvocationID.x; q < quads; q += 2u * gl_WorkGroupSize.x) {
            size = ht_larger(size, ht_larger(ht_size4(row_quad(row, q, NOT_KEPT)),
                                             ht_size4(row_quad(row, q + 1u, NOT_KEPT))));
        }
        scale = ht_pack_scale(ht_group_max(size), format, inverse);
    }
    if (gl_LocalInvocationID.x == 0u) {
        ht_store_scale(scales, format, row, scale);
    }
    if (ht_in_planes(format)) {
        uint words = quads / 8u;
        for (uint k = gl_LocalInvocationID.x; k < words; k += gl_WorkGroupSize.x) {
            pack_planes(codes, format, row, k, words, inverse);
        }
        return;
    }
    for (uint q = 2u * gl_LocalInvocationID.x; q < quads; q += 2u * gl_WorkGroupSize.x) {
        ht_store_two_codes(codes, format, row * quads + q,
                           uvec2(encoded(row_quad(row, q, NOT_KEPT), inverse, format),
                                 encoded(row_quad(row, q + 1u, NOT_KEPT), inverse, format)));
    }
}

// Group `group` of a row that has `groups`, by one invocation. The first also stores the scale of
// the tensor, which is 1 for activations; `tensor` is 0 where there is none.
void pack_group(uvec2 codes, uvec2 scales, uvec2 tensor, uint format, uint row, uint group,
                uint groups) {
    uint quads = ht_pack_group_quads(format);
    vec4 v[HT_PACK_MAX_QUADS];
    [[unroll]] for (uint q = 0u; q < HT_PACK_MAX_QUADS; q++) {
        v[q] = q < quads ? row_quad(row, group * quads + q, NOT_KEPT) : vec4(0.0);
    }
    ht_pack_group(codes, scales, format, row * groups + group, v);
    if (row == 0u && group == 0u && ht_present(tensor)) {
        HtF32(tensor).v[0] = 1.0;
    }
}

#endif

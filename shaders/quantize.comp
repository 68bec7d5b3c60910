// From floats, through an activation, to a packed format. BY_ROW: a workgroup per row, with one
// scale; x is read twice. Else an invocation per group.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quantize.glsl"
#include "ht_math.glsl"
#include "quantize.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_X = 1;
layout(constant_id = 2) const uint FORMAT_RESULT = 32;
layout(constant_id = 3) const bool WIDE = true; // x can be loaded four values at a time
layout(constant_id = 4) const bool BY_ROW = true;
layout(constant_id = 5) const uint ACT = 0;

#include "ht_reduce.glsl"

// Values of a quad of a row; those past its end are 0.
vec4 load(uint row, uint quad) {
    uint at = row * push.width + 4u * quad;
    vec4 v = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        if (!WIDE && 4u * quad + i < push.width) {
            v[i] = ht_load(push.x, FORMAT_X, at + i);
        }
    }
    if (WIDE && 4u * quad < push.width) {
        v = ht_load4(push.x, FORMAT_X, at / 4u);
    }
    return ht_limited4(vec4(ht_activate(v.x, ACT), ht_activate(v.y, ACT), ht_activate(v.z, ACT),
                            ht_activate(v.w, ACT)));
}

void pack_row(uint row) {
    float size = 0.0;
    for (uint q = gl_LocalInvocationID.x; q < push.quads; q += gl_WorkGroupSize.x) {
        size = max(size, ht_size4(load(row, q)));
    }
    float inverse;
    uint scale = ht_pack_scale(ht_group_max(size), FORMAT_RESULT, inverse);
    if (gl_LocalInvocationID.x == 0u) {
        ht_store_scale(push.scales, FORMAT_RESULT, row, scale);
    }
    for (uint q = gl_LocalInvocationID.x; q < push.quads; q += gl_WorkGroupSize.x) {
        ht_store_codes(push.codes, FORMAT_RESULT, row * push.quads + q,
                       ht_encode4(load(row, q), inverse, FORMAT_RESULT));
    }
}

void pack_group(uint group) {
    uint row = group / push.groups;
    uint quads = ht_pack_group_quads(FORMAT_RESULT);
    uint first = (group - row * push.groups) * quads;
    vec4 v[HT_PACK_MAX_QUADS];
    [[unroll]] for (uint q = 0u; q < HT_PACK_MAX_QUADS; q++) {
        v[q] = q < quads ? load(row, first + q) : vec4(0.0);
    }
    ht_pack_group(push.codes, push.scales, FORMAT_RESULT, group, v);
    if (group == 0u && ht_present(push.tensor)) {
        HtF32(push.tensor).v[0] = 1.0;
    }
}

void main() {
    uint group = HT_GROUP;
    if (BY_ROW) {
        if (group < push.rows) {
            pack_row(group);
        }
        return;
    }
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i < push.rows * push.groups) {
        pack_group(i);
    }
}

// From floats, through what makes them (an activation, gated activation, the last step of group
// normalisation), to a packed format. BY_ROW: a workgroup per row, with one
// scale; x is read twice, or once where the row is kept; of normalisation HT_QUANTIZE_ROWS such rows of
// an item, whose factors are kept too. Else an invocation per group.
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
layout(constant_id = 6) const bool FIXED = false; // the scale is there before; x is read once
layout(constant_id = 7) const uint KIND = 0;      // HT_QUANTIZE_VALUES, ..
layout(constant_id = 8) const uint KEPT = 0;

#include "ht_pack_rows.glsl"

// Four values of a row that starts at `first`; those past its end are 0.
vec4 quad_of(uvec2 address, uint format, uint first, uint quad) {
    uint at = first + 4u * quad;
    vec4 v = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        if (!WIDE && 4u * quad + i < push.width) {
            v[i] = ht_load(address, format, at + i);
        }
    }
    if (WIDE && 4u * quad < push.width) {
        v = ht_load4(address, format, at / 4u);
    }
    return v;
}

vec4 activated(vec4 v) {
    return vec4(ht_activate(v.x, ACT), ht_activate(v.y, ACT), ht_activate(v.z, ACT),
                ht_activate(v.w, ACT));
}

const bool KEEP_FACTORS = KIND == HT_QUANTIZE_NORMALISED && KEPT != 0u;
vec4 kept_factors[3][KEEP_FACTORS ? KEPT_QUADS : 1u];

vec4 load_factor(uint which, uint item, uint quad) {
    uint row = which * (push.rows / push.item) + item;
    return quad_of(push.factors, HT_FORMAT_F32, row * push.width, quad);
}

void keep_factors(uint item) {
    [[unroll]] for (uint which = 0u; which < 3u; which++) {
        [[unroll]] for (uint i = 0u; i < KEPT_QUADS; i++) {
            kept_factors[which][i] = load_factor(which, item, kept_quad(i));
        }
    }
}

vec4 factor(uint which, uint item, uint quad, uint i) {
    return KEEP_FACTORS && i != NOT_KEPT ? kept_factors[which][i] : load_factor(which, item, quad);
}

vec4 row_quad(uint row, uint quad, uint i) {
    if (KIND == HT_QUANTIZE_GATED) {
        uint first = 2u * row * push.width;
        vec4 v = quad_of(push.x, FORMAT_X, first, quad);
        v *= activated(quad_of(push.x, FORMAT_X, first + push.width, quad));
        return ht_limited4(v);
    }
    vec4 v = quad_of(push.x, FORMAT_X, row * push.width, quad);
    if (KIND == HT_QUANTIZE_NORMALISED) {
        uint item = row / push.item;
        v = (v - factor(0u, item, quad, i)) * factor(1u, item, quad, i) + factor(2u, item, quad, i);
    }
    return ht_limited4(activated(v));
}

void main() {
    uint group = HT_GROUP;
    if (BY_ROW && !KEEP_FACTORS) {
        if (group < push.rows) {
            pack_row(push.codes, push.scales, push.given, FORMAT_RESULT, group, push.quads);
        }
        return;
    }
    if (BY_ROW) {
        uint per_item = (push.item + HT_QUANTIZE_ROWS - 1u) / HT_QUANTIZE_ROWS;
        uint item = group / per_item;
        uint row = item * push.item + (group - item * per_item) * HT_QUANTIZE_ROWS;
        uint end = min(min(row + HT_QUANTIZE_ROWS, (item + 1u) * push.item), push.rows);
        if (row >= end) {
            return;
        }
        keep_factors(item);
        for (; row < end; row++) {
            pack_row(push.codes, push.scales, push.given, FORMAT_RESULT, row, push.quads);
        }
        return;
    }
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i < push.rows * push.groups) {
        uint row = i / push.groups;
        pack_group(push.codes, push.scales, push.tensor, FORMAT_RESULT, row,
                   i - row * push.groups, push.groups);
    }
}

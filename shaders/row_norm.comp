// Layer normalisation (CENTRE) or root-mean-square normalisation of rows, then weight, bias and
// modulation: y = n * weight + bias; y = y * (1 + scale) + shift. One workgroup per row; x is read
// twice, or once where the row is kept, and written once. weight and bias are f32, scale and shift have a format of their own.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quantize.glsl"
#include "row_norm.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool CENTRE = true;
layout(constant_id = 2) const uint FORMAT_X = 1;
layout(constant_id = 3) const uint FORMAT_RESULT = 1;
layout(constant_id = 4) const bool WIDE = true;
layout(constant_id = 5) const bool HAS_WEIGHT = false;
layout(constant_id = 6) const bool HAS_BIAS = false;
layout(constant_id = 7) const uint FORMAT_SCALE = 0; // 0: absent
layout(constant_id = 8) const uint FORMAT_SHIFT = 0;
layout(constant_id = 9) const bool FIXED = false; // the scale is there before
layout(constant_id = 10) const uint KEPT = 0;     // with WIDE only
layout(constant_id = 11) const bool MOMENTS = false; // the result is the mean and what multiplies

#include "ht_pack_rows.glsl"

const uint STEP = WIDE ? 4u : 1u;

// Sum of the quad's values; the rest of a quad of one value is zero.
float quad_sum(vec4 v) { return (v.x + v.y) + (v.z + v.w); }

// Mean and sum of squared deviations of the row, quad after quad: sums of plain squares would
// cancel when the mean is large against the spread.
void moments(uint first, uint quads, out float mean, out float squares) {
    float lane_mean = 0.0;
    float lane_squares = 0.0;
    float seen = 0.0;
    for (uint q = gl_LocalInvocationID.x; q < quads; q += gl_WorkGroupSize.x) {
        vec4 v = ht_load_quad(push.x, FORMAT_X, WIDE, first + q);
        float quad_mean = quad_sum(v) * (1.0 / float(STEP));
        vec4 d = v - quad_mean;
        float quad_squares = WIDE ? dot(d, d) : 0.0;
        float delta = quad_mean - lane_mean;
        float share = 1.0 / (seen + 1.0);
        lane_mean += delta * share;
        lane_squares += quad_squares + delta * delta * (float(STEP) * seen * share);
        seen += 1.0;
    }
    float count = seen * float(STEP);
    mean = ht_group_sum(lane_mean * count) / float(push.width);
    float apart = lane_mean - mean;
    squares = ht_group_sum(lane_squares + count * apart * apart);
}

float plain_squares(uint first, uint quads) {
    float lane_squares = 0.0;
    for (uint q = gl_LocalInvocationID.x; q < quads; q += gl_WorkGroupSize.x) {
        vec4 v = ht_load_quad(push.x, FORMAT_X, WIDE, first + q);
        lane_squares += dot(v, v);
    }
    return ht_group_sum(lane_squares);
}

// ---- rows that are kept

vec4 kept[KEPT_QUADS]; // 0 past the end

void keep_row(uint first, uint quads) {
    [[unroll]] for (uint i = 0u; i < KEPT_QUADS; i++) {
        uint q = kept_quad(i);
        kept[i] = ht_load4(push.x, FORMAT_X, first + min(q, quads - 1u));
        kept[i] = q < quads ? kept[i] : vec4(0.0);
    }
}

// The sum of squared deviations from the mean, which is 0 where it is not to be taken off.
float kept_squares(uint quads, out float mean) {
    float sum = 0.0;
    [[unroll]] for (uint i = 0u; i < KEPT_QUADS; i++) {
        sum += quad_sum(kept[i]);
    }
    mean = CENTRE ? ht_group_sum(sum) / float(push.width) : 0.0;
    float squares = 0.0;
    [[unroll]] for (uint i = 0u; i < KEPT_QUADS; i++) {
        vec4 d = kept_quad(i) < quads ? kept[i] - mean : vec4(0.0);
        squares += dot(d, d);
    }
    return ht_group_sum(squares);
}

// Of the workgroup's row.
uint first, scale_at, shift_at; // quads before it
float mean, inverse;

vec4 finished(uint q, uint i) {
    vec4 x;
    if (KEPT != 0u && i != NOT_KEPT) {
        x = kept[i];
    } else {
        x = ht_load_quad(push.x, FORMAT_X, WIDE, first + q);
    }
    vec4 y = (x - mean) * inverse;
    if (HAS_WEIGHT) {
        y *= ht_load_quad(push.weight, HT_FORMAT_F32, WIDE, q);
    }
    if (HAS_BIAS) {
        y += ht_load_quad(push.bias, HT_FORMAT_F32, WIDE, q);
    }
    if (FORMAT_SCALE != 0u) {
        y *= 1.0 + ht_load_quad(push.scale, FORMAT_SCALE, WIDE, scale_at + q);
    }
    if (FORMAT_SHIFT != 0u) {
        y += ht_load_quad(push.shift, FORMAT_SHIFT, WIDE, shift_at + q);
    }
    return y;
}

vec4 row_quad(uint row, uint q, uint slot) { // of this workgroup's row
    vec4 y = vec4(0.0);
    if (WIDE && 4u * q < push.width) {
        y = finished(q, slot);
    }
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        if (!WIDE && 4u * q + i < push.width) {
            y[i] = finished(4u * q + i, NOT_KEPT).x;
        }
    }
    return ht_limited4(y);
}

void main() {
    uint row = HT_GROUP;
    if (row >= push.rows) {
        return;
    }
    uint quads = push.width / STEP;
    first = row * quads;
    scale_at = row / push.rows_per_scale * quads;
    shift_at = row / push.rows_per_shift * quads;
    mean = 0.0;
    float squares;
    if (KEPT != 0u) {
        keep_row(first, quads);
        squares = kept_squares(quads, mean);
    } else if (CENTRE) {
        moments(first, quads, mean, squares);
    } else {
        squares = plain_squares(first, quads);
    }
    inverse = 1.0 / sqrt(squares / float(push.width) + push.eps);
    if (MOMENTS) {
        if (gl_LocalInvocationID.x == 0u) {
            HtF32x2(push.result).v[row] = vec2(mean, inverse);
        }
        return;
    }
    if (!ht_is_packed(FORMAT_RESULT) && KEPT != 0u) {
        [[unroll]] for (uint i = 0u; i < KEPT_QUADS; i++) {
            if (kept_quad(i) < quads) {
                ht_store4(push.result, FORMAT_RESULT, first + kept_quad(i),
                          finished(kept_quad(i), i));
            }
        }
    } else if (!ht_is_packed(FORMAT_RESULT)) {
        for (uint q = gl_LocalInvocationID.x; q < quads; q += gl_WorkGroupSize.x) {
            ht_store_quad(push.result, FORMAT_RESULT, WIDE, first + q, finished(q, NOT_KEPT));
        }
    } else if (ht_pack_group_quads(FORMAT_RESULT) == 0u) {
        pack_row(push.result, push.scales, push.given, FORMAT_RESULT, row, push.packed_quads);
    } else {
        uint groups = push.packed_quads / ht_pack_group_quads(FORMAT_RESULT);
        for (uint i = gl_LocalInvocationID.x; i < groups; i += gl_WorkGroupSize.x) {
            pack_group(push.result, push.scales, push.tensor, FORMAT_RESULT, row, i, groups);
        }
    }
}

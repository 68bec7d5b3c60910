// First step of group normalisation: mean and sum of squared deviations of each channel over one
// chunk of positions, by Welford's update so that nothing cancels.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "group_norm.shared.h"
#include "group_norm_lane.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_X = 1;
layout(constant_id = 2) const bool WIDE = true;

void main() {
    Lane lane = lane_of_group(WIDE ? 4u : 1u);
    if (!lane.active_lane) {
        return;
    }
    vec4 mean = vec4(0.0);
    vec4 squares = vec4(0.0);
    float seen = 0.0;
    uint at = (lane.batch * push.positions + lane.begin) * lane.quads + lane.quad;
    for (uint p = lane.begin; p < lane.end; p += push.subrows) {
        vec4 v = ht_load_quad(push.x, FORMAT_X, WIDE, at);
        vec4 delta = v - mean;
        seen += 1.0;
        mean += delta * (1.0 / seen);
        squares += delta * (v - mean);
        at += push.subrows * lane.quads;
    }
    uint part = (lane.batch * push.chunks + lane.chunk) * push.subrows + lane.subrow;
    uint first = part * push.channels + lane.quad * (WIDE ? 4u : 1u);
    for (uint c = 0u; c < (WIDE ? 4u : 1u); c++) {
        HtF32x2(push.partials).v[first + c] = vec2(mean[c], squares[c]);
    }
}

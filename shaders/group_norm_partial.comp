// First step of group normalisation: mean and sum of squared deviations of each channel over one
// chunk of positions, by Welford's update so that nothing cancels. An invocation keeps to BLOCKS
// quads of channels, so that a CPU's invocations read whole rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "group_norm.shared.h"
#include "group_norm_lane.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_X = 1;
layout(constant_id = 2) const bool WIDE = true;
layout(constant_id = 3) const uint BLOCKS = 1;

void main() {
    const uint step = WIDE ? 4u : 1u;
    Lane lane = lane_of_group(step, BLOCKS);
    if (!lane.active_lane) {
        return;
    }
    vec4 mean[BLOCKS];
    vec4 squares[BLOCKS];
    [[unroll]] for (uint j = 0u; j < BLOCKS; j++) {
        mean[j] = vec4(0.0);
        squares[j] = vec4(0.0);
    }
    float seen = 0.0;
    uint at = (lane.batch * push.positions + lane.begin) * lane.quads + lane.quad;
    for (uint p = lane.begin; p < lane.end; p += push.subrows) {
        seen += 1.0;
        float share = 1.0 / seen;
        [[unroll]] for (uint j = 0u; j < BLOCKS; j++) {
            vec4 v = ht_load_quad(push.x, FORMAT_X, WIDE, at + (j << push.lanes_log2));
            vec4 delta = v - mean[j];
            mean[j] += delta * share;
            squares[j] += delta * (v - mean[j]);
        }
        at += push.subrows * lane.quads;
    }
    uint part = (lane.batch * push.chunks + lane.chunk) * push.subrows + lane.subrow;
    uint first = part * push.channels + lane.quad * step;
    [[unroll]] for (uint j = 0u; j < BLOCKS; j++) {
        uint to = first + (j << push.lanes_log2) * step;
        [[unroll]] for (uint c = 0u; c < step; c++) {
            HtF32x2(push.partials).v[to + c] = vec2(mean[j][c], squares[j][c]);
        }
    }
}

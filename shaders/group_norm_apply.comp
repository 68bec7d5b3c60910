// Last step of group normalisation: result = act((x - mean) * scale + shift). Each invocation keeps
// the factors of its quad of channels and walks over the positions of a chunk.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "ht_math.glsl"
#include "group_norm.shared.h"
#include "group_norm_lane.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_X = 1;
layout(constant_id = 2) const uint FORMAT_RESULT = 1;
layout(constant_id = 3) const bool WIDE = true;
layout(constant_id = 4) const uint ACT = 0;

void main() {
    Lane lane = lane_of_group(WIDE ? 4u : 1u);
    if (!lane.active_lane) {
        return;
    }
    uint factor = lane.batch * lane.quads + lane.quad;
    uint all = push.batch * lane.quads;
    vec4 mean = ht_load_quad(push.factors, HT_FORMAT_F32, WIDE, factor);
    vec4 scale = ht_load_quad(push.factors, HT_FORMAT_F32, WIDE, all + factor);
    vec4 shift = ht_load_quad(push.factors, HT_FORMAT_F32, WIDE, 2u * all + factor);
    uint at = (lane.batch * push.positions + lane.begin) * lane.quads + lane.quad;
    for (uint p = lane.begin; p < lane.end; p += push.subrows) {
        vec4 y = (ht_load_quad(push.x, FORMAT_X, WIDE, at) - mean) * scale + shift;
        y = vec4(ht_activate(y.x, ACT), ht_activate(y.y, ACT), ht_activate(y.z, ACT),
                 ht_activate(y.w, ACT));
        ht_store_quad(push.result, FORMAT_RESULT, WIDE, at, y);
        at += push.subrows * lane.quads;
    }
}

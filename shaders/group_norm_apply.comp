// Last step of group normalisation: result = act((x - mean) * scale + shift). Each invocation keeps
// the factors of its quads of channels and walks over the positions of a chunk.
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
layout(constant_id = 5) const uint BLOCKS = 1;

void main() {
    Lane lane = lane_of_group(WIDE ? 4u : 1u, BLOCKS);
    if (!lane.active_lane) {
        return;
    }
    vec4 mean[BLOCKS];
    vec4 scale[BLOCKS];
    vec4 shift[BLOCKS];
    uint factor = lane.batch * lane.quads + lane.quad;
    uint all = push.batch * lane.quads;
    [[unroll]] for (uint j = 0u; j < BLOCKS; j++) {
        uint from = factor + (j << push.lanes_log2);
        mean[j] = ht_load_quad(push.factors, HT_FORMAT_F32, WIDE, from);
        scale[j] = ht_load_quad(push.factors, HT_FORMAT_F32, WIDE, all + from);
        shift[j] = ht_load_quad(push.factors, HT_FORMAT_F32, WIDE, 2u * all + from);
    }
    uint at = (lane.batch * push.positions + lane.begin) * lane.quads + lane.quad;
    for (uint p = lane.begin; p < lane.end; p += push.subrows) {
        [[unroll]] for (uint j = 0u; j < BLOCKS; j++) {
            uint place = at + (j << push.lanes_log2);
            vec4 y = ht_load_quad(push.x, FORMAT_X, WIDE, place);
            y = (y - mean[j]) * scale[j] + shift[j];
            y = vec4(ht_activate(y.x, ACT), ht_activate(y.y, ACT), ht_activate(y.z, ACT),
                     ht_activate(y.w, ACT));
            ht_store_quad(push.result, FORMAT_RESULT, WIDE, place, y);
        }
        at += push.subrows * lane.quads;
    }
}

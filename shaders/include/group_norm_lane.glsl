// What part of a picture an invocation of the group normalisation kernels works on.
#ifndef GROUP_NORM_LANE_GLSL
#define GROUP_NORM_LANE_GLSL

struct Lane {
    uint batch;
    uint chunk;
    uint quad;    // of channels, the first one
    uint quads;   // per position
    uint subrow;
    uint begin;   // first position
    uint end;
    bool active_lane;
};

Lane lane_of_group(uint values_per_quad, uint blocks_per_group) {
    Lane lane;
    uint group = HT_GROUP;
    uint block = group % push.blocks;
    group /= push.blocks;
    lane.chunk = group % push.chunks;
    lane.batch = group / push.chunks;
    lane.subrow = gl_LocalInvocationID.x >> push.lanes_log2;
    lane.quads = push.channels / values_per_quad;
    lane.quad = (block * blocks_per_group << push.lanes_log2) +
                (gl_LocalInvocationID.x & ((1u << push.lanes_log2) - 1u));
    lane.begin = lane.chunk * push.chunk_positions + lane.subrow;
    lane.end = min(push.positions, (lane.chunk + 1u) * push.chunk_positions);
    lane.active_lane =
        lane.batch < push.batch && lane.quad < lane.quads && lane.subrow < push.subrows;
    return lane;
}

#endif

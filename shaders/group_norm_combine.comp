// Second step of group normalisation: one workgroup per group joins the partial moments of its
// channels and chunks, or reads what is given instead, and writes what each channel is to be shifted
// and scaled by, or the moments themselves.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "group_norm.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool GIVEN = false;   // push.statistics is read
layout(constant_id = 2) const bool MEASURE = false; // push.statistics is written

#include "ht_reduce.glsl"

// Positions that went into a partial result.
float positions_of(uint part) {
    uint chunk = part / push.subrows;
    uint begin = chunk * push.chunk_positions + part % push.subrows;
    uint end = min(push.positions, (chunk + 1u) * push.chunk_positions);
    return begin < end ? float((end - begin + push.subrows - 1u) / push.subrows) : 0.0;
}

// Mean and variance of a group, of all invocations together.
vec2 moments_of(uint batch, uint group, uint width) {
    uint parts = push.chunks * push.subrows;
    uint first = batch * parts * push.channels + group * width;
    float count = float(push.positions) * float(width);
    float sum = 0.0;
    for (uint part = gl_LocalInvocationID.x; part < parts; part += gl_WorkGroupSize.x) {
        float positions = positions_of(part);
        for (uint c = 0u; c < width; c++) {
            sum += positions * HtF32x2(push.partials).v[first + part * push.channels + c].x;
        }
    }
    float mean = ht_group_sum(sum) / count;
    float squares = 0.0;
    for (uint part = gl_LocalInvocationID.x; part < parts; part += gl_WorkGroupSize.x) {
        float positions = positions_of(part);
        for (uint c = 0u; c < width; c++) {
            vec2 moments = HtF32x2(push.partials).v[first + part * push.channels + c];
            float apart = moments.x - mean;
            squares += moments.y + positions * apart * apart;
        }
    }
    return vec2(mean, ht_group_sum(squares) / count);
}

void main() {
    uint batch = HT_GROUP / push.groups;
    uint group = HT_GROUP % push.groups;
    if (batch >= push.batch) {
        return;
    }
    uint width = push.channels / push.groups;
    vec2 moments;
    if (GIVEN) {
        moments = HtF32x2(push.statistics).v[HT_GROUP];
    } else {
        moments = moments_of(batch, group, width);
    }
    if (MEASURE) {
        if (gl_LocalInvocationID.x == 0u) {
            HtF32x2(push.statistics).v[HT_GROUP] = moments;
        }
        return;
    }
    float inverse = 1.0 / sqrt(moments.y + push.eps);
    uint all = push.batch * push.channels;
    for (uint c = gl_LocalInvocationID.x; c < width; c += gl_WorkGroupSize.x) {
        uint channel = group * width + c;
        uint to = batch * push.channels + channel;
        HtF32(push.factors).v[to] = moments.x;
        HtF32(push.factors).v[all + to] = inverse * HtF32(push.weight).v[channel];
        HtF32(push.factors).v[2u * all + to] = HtF32(push.bias).v[channel];
    }
}

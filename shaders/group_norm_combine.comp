// Second step of group normalisation: one workgroup per group joins the partial moments of its
// channels and chunks, and writes what each channel is to be shifted and scaled by.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "group_norm.shared.h"

layout(local_size_x_id = 0) in;

#include "ht_reduce.glsl"

// Positions that went into a partial result.
float positions_of(uint part) {
    uint chunk = part / push.subrows;
    uint begin = chunk * push.chunk_positions + part % push.subrows;
    uint end = min(push.positions, (chunk + 1u) * push.chunk_positions);
    return begin < end ? float((end - begin + push.subrows - 1u) / push.subrows) : 0.0;
}

void main() {
    uint batch = HT_GROUP / push.groups;
    uint group = HT_GROUP % push.groups;
    if (batch >= push.batch) {
        return;
    }
    uint width = push.channels / push.groups;
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
    float inverse = 1.0 / sqrt(ht_group_sum(squares) / count + push.eps);
    uint all = push.batch * push.channels;
    for (uint c = gl_LocalInvocationID.x; c < width; c += gl_WorkGroupSize.x) {
        uint channel = group * width + c;
        uint to = batch * push.channels + channel;
        HtF32(push.factors).v[to] = mean;
        HtF32(push.factors).v[all + to] = inverse * HtF32(push.weight).v[channel];
        HtF32(push.factors).v[2u * all + to] = HtF32(push.bias).v[channel];
    }
}

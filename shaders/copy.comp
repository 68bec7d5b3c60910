// A copy between two strided views of up to six dimensions, changing the format on the way: cast,
// concat, permute, slice and upsample. One quad per invocation.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "copy.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_X = 1;
layout(constant_id = 2) const uint FORMAT_RESULT = 1;
layout(constant_id = 3) const bool WIDE = true;

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) {
        return;
    }
    uint rest = i;
    uint from = push.x_offset;
    uint to = push.result_offset;
    for (uint d = push.rank - 1u; d > 0u; d--) {
        uint outer = rest / push.dims[d];
        uint index = rest - outer * push.dims[d];
        from += index * push.x_strides[d];
        to += index * push.result_strides[d];
        rest = outer;
    }
    from += rest * push.x_strides[0];
    to += rest * push.result_strides[0];
    ht_store_quad(push.result, FORMAT_RESULT, WIDE, to,
                  ht_load_quad(push.x, FORMAT_X, WIDE, from));
}

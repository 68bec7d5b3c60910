// Rows gathered from a table by number. One quad of the result per invocation.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_quad.glsl"
#include "embedding.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_TABLE = 1;
layout(constant_id = 2) const uint FORMAT_RESULT = 1;
layout(constant_id = 3) const bool WIDE = true;

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) {
        return;
    }
    uint place = i / push.width;
    uint row = uint(clamp(HtI32(push.ids).v[place], 0, int(push.last_row)));
    if (FORMAT_TABLE == HT_FORMAT_I32) { // never through floats, which some devices flush
        HtI32(push.result).v[i] =
            HtI32(push.table).v[row * push.width + (i - place * push.width)];
        return;
    }
    vec4 value = ht_load_quad(push.table, FORMAT_TABLE, WIDE,
                              row * push.width + (i - place * push.width));
    ht_store_quad(push.result, FORMAT_RESULT, WIDE, i, value);
}

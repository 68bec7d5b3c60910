// Sine and cosine of t * freq, one pair per invocation. The functions are our own, because drivers
// only promise an absolute error of 2^-11, and nothing at all beyond +-pi.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "ht_load.glsl"
#include "timestep_embedding.shared.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint FORMAT_RESULT = 1;

const float PI_2_A = 1.5703125;
const float PI_2_B = 4.83751297e-4;
const float PI_2_C = 7.54979013e-8;

// Within 1.2e-7 for |x| < 6000. pi / 2 is taken off in parts of 12, 12 and 24 bits, whose products
// with the quadrant's number (12 bits) are exact without a fused multiply-add.
vec2 sin_cos(float x) {
    precise float n = floor(x * 0.636619772 + 0.5);
    precise float r = x - n * PI_2_A;
    r = r - n * PI_2_B;
    r = r - n * PI_2_C;
    float s = r * r;
    float sine = r + r * s * (-1.66666493e-1 + s * (8.33192375e-3 + s * -1.94887471e-4));
    float cosine =
        1.0 + s * (-0.5 + s * (4.16666456e-2 + s * (-1.38873060e-3 + s * 2.44312050e-5)));
    int quadrant = int(n) & 3;
    vec2 result = (quadrant & 1) == 0 ? vec2(sine, cosine) : vec2(cosine, sine);
    return vec2(quadrant >= 2 ? -result.x : result.x,
                quadrant == 1 || quadrant == 2 ? -result.y : result.y);
}

void main() {
    uint i = HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) {
        return;
    }
    uint step = i / push.half_dim;
    uint k = i - step * push.half_dim;
    precise float argument = HtF32(push.t).v[step] * HtF32(push.freqs).v[k];
    vec2 pair = sin_cos(argument);
    uint row = step * push.half_dim * 2u;
    ht_store(push.result, FORMAT_RESULT, row + push.sin_at + k, pair.x);
    ht_store(push.result, FORMAT_RESULT, row + push.half_dim - push.sin_at + k, pair.y);
}

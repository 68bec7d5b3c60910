// Vectors of three floats.
#ifndef SCENES_VEC_H
#define SCENES_VEC_H

#include "scene.h"

#include <math.h>

static inline vec3 add(vec3 a, vec3 b) {
    return (vec3){a.x + b.x, a.y + b.y, a.z + b.z};
}

static inline vec3 sub(vec3 a, vec3 b) {
    return (vec3){a.x - b.x, a.y - b.y, a.z - b.z};
}

static inline vec3 mul(vec3 a, vec3 b) {
    return (vec3){a.x * b.x, a.y * b.y, a.z * b.z};
}

static inline vec3 scale(vec3 a, float k) {
    return (vec3){a.x * k, a.y * k, a.z * k};
}

static inline vec3 lerp(vec3 a, vec3 b, float k) {
    return add(scale(a, 1.0f - k), scale(b, k));
}

static inline float dot(vec3 a, vec3 b) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static inline vec3 normalize(vec3 a) {
    return scale(a, 1.0f / sqrtf(dot(a, a)));
}

static inline vec3 cross(vec3 a, vec3 b) {
    return (vec3){a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

static inline float clamp01(float x) {
    return fminf(fmaxf(x, 0.0f), 1.0f);
}

static inline float smoothstep(float low, float high, float x) {
    float t = clamp01((x - low) / (high - low));
    return t * t * (3.0f - 2.0f * t);
}

#endif

// Signed distances of the shapes.
#include "shapes.h"

#include "vec.h"

float shape_height(shape s) {
    static const float height[N_SHAPES] = {1.2f, 1.0f,  1.15f,  1.35f, 1.3f,
                                           1.2f, 1.35f, 1.194f, 1.2f,  1.2f};
    return height[s];
}

// The foot of every shape of size 1 is at the origin.

static float box_distance(vec3 p, float half, float round) {
    float x = fabsf(p.x) - half + round, y = fabsf(p.y - half) - half + round;
    float z = fabsf(p.z) - half + round;
    vec3 out = {fmaxf(x, 0.0f), fmaxf(y, 0.0f), fmaxf(z, 0.0f)};
    return sqrtf(dot(out, out)) + fminf(fmaxf(x, fmaxf(y, z)), 0.0f) - round;
}

static float cylinder_distance(vec3 p, float radius, float height) {
    float r = sqrtf(p.x * p.x + p.z * p.z) - radius + 0.03f;
    float y = fabsf(p.y - 0.5f * height) - 0.5f * height + 0.03f;
    float out_r = fmaxf(r, 0.0f), out_y = fmaxf(y, 0.0f);
    return sqrtf(out_r * out_r + out_y * out_y) + fminf(fmaxf(r, y), 0.0f) - 0.03f;
}

// Also the pyramid, with the greater of |x|, |z| as its radius. A lower bound outside of edges.
static float taper_distance(float radius, float y, float foot, float height) {
    float slant = 1.0f / sqrtf(height * height + foot * foot);
    float side = (radius * height + (y - height) * foot) * slant;
    return fmaxf(side, -y);
}

static float torus_distance(vec3 p) {
    float ring = sqrtf(p.x * p.x + (p.y - 0.65f) * (p.y - 0.65f)) - 0.46f;
    return sqrtf(ring * ring + p.z * p.z) - 0.19f;
}

static float length2(float x, float y) {
    return sqrtf(x * x + y * y);
}

static float capsule_distance(vec3 p, float radius, float height) {
    float y = p.y - fminf(fmaxf(p.y, radius), height - radius);
    return sqrtf(p.x * p.x + y * y + p.z * p.z) - radius;
}

// A flat outline, `flat` away from (x, y), made `half` thick to either side, its edges rounded.
static float slab_distance(float flat, float z, float half) {
    const float round = 0.03f;
    float a = flat + round, b = fabsf(z) - half + round;
    return length2(fmaxf(a, 0.0f), fmaxf(b, 0.0f)) + fminf(fmaxf(a, b), 0.0f) - round;
}

// Of five points, their tips on a circle of radius 0.66, the notches on one of 0.33: both mirrors of
// the fivefold symmetry fold the plane onto one half of the upper tip, whose edge is a segment.
static float star_distance(float x, float y) {
    const float tip = 0.66f, notch = 0.33f, c = 0.80901699f, s = 0.58778525f; // of 36 degrees
    x = fabsf(x);
    float over = 2.0f * fmaxf(c * x - s * y, 0.0f);
    x -= over * c;
    y += over * s;
    over = 2.0f * fmaxf(-c * x - s * y, 0.0f);
    x = fabsf(x + over * c);
    y += over * s;
    float ex = notch * s, ey = notch * c - tip; // from the tip along the edge to the notch
    float along = clamp01((x * ex + (y - tip) * ey) / (ex * ex + ey * ey));
    float side = x * ey - (y - tip) * ex;
    return copysignf(length2(x - along * ex, y - tip - along * ey), -side);
}

static float rectangle_distance(float x, float y, float a, float b) {
    x = fabsf(x) - a;
    y = fabsf(y) - b;
    return length2(fmaxf(x, 0.0f), fmaxf(y, 0.0f)) + fminf(fmaxf(x, y), 0.0f);
}

static float cross_distance(float x, float y) {
    return fminf(rectangle_distance(x, y, 0.2f, 0.6f), rectangle_distance(x, y, 0.6f, 0.2f));
}

// A square on its corner, and half a disc on either of its upper edges.
static float heart_distance(float x, float y) {
    const float side = 0.77f, r = 0.70710678f;
    float square = rectangle_distance(r * (x + y), r * (y - x), 0.5f * side, 0.5f * side);
    float disc = length2(fabsf(x) - 0.5f * r * side, y - 0.5f * r * side) - 0.5f * side;
    return fminf(square, disc);
}

static float shape_distance(shape s, vec3 p) {
    switch (s) {
    case SPHERE: p.y -= 0.6f; return sqrtf(dot(p, p)) - 0.6f;
    case CUBE: return box_distance(p, 0.5f, 0.04f);
    case CYLINDER: return cylinder_distance(p, 0.46f, 1.15f);
    case CONE: return taper_distance(sqrtf(p.x * p.x + p.z * p.z), p.y, 0.58f, 1.35f);
    case TORUS: return torus_distance(p);
    case CAPSULE: return capsule_distance(p, 0.38f, 1.35f);
    case STAR: return slab_distance(star_distance(p.x, p.y - 0.534f), p.z, 0.17f);
    case CROSS: return slab_distance(cross_distance(p.x, p.y - 0.6f), p.z, 0.20f);
    case HEART: return slab_distance(heart_distance(p.x, p.y - 0.544f), p.z, 0.22f);
    default: return taper_distance(fmaxf(fabsf(p.x), fabsf(p.z)), p.y, 0.62f, 1.2f);
    }
}

float object_distance(const object *o, vec3 at) {
    vec3 p = scale(sub(at, o->pos), 1.0f / o->size);
    float c = cosf(o->yaw), s = sinf(o->yaw);
    vec3 turned = {c * p.x - s * p.z, p.y, s * p.x + c * p.z};
    return shape_distance(o->shape, turned) * o->size;
}

float bound_radius(const object *o) {
    static const float radius[N_SHAPES] = {0.62f, 0.88f, 0.76f, 0.92f, 0.67f,
                                           1.08f, 0.69f, 0.76f, 0.68f, 0.79f};
    return radius[o->shape] * o->size;
}

vec3 bound_center(const object *o) {
    return add(o->pos, (vec3){0.0f, 0.5f * shape_height(o->shape) * o->size, 0.0f});
}

vec3 object_normal(const object *o, vec3 p) {
    const float h = 0.002f;
    vec3 n = {0.0f, 0.0f, 0.0f};
    static const vec3 corners[4] = {{1, -1, -1}, {-1, -1, 1}, {-1, 1, -1}, {1, 1, 1}};
    for (int i = 0; i < 4; i++) {
        n = add(n, scale(corners[i], object_distance(o, add(p, scale(corners[i], h)))));
    }
    return normalize(n);
}

// The picture of a scene: objects are signed distances marched inside their bounding spheres, the
// ground is a plane, four samples per pixel.
#include "shapes.h"
#include "vec.h"

#include <math.h>

enum { SAMPLES = 2, MAX_STEPS = 48, SHADOW_STEPS = 24 };

typedef struct look {
    vec3 zenith, horizon, glow; // the sky from top to bottom, and round the sun or moon
    vec3 light, ambient;
    float disc; // cosine of the sun's or moon's radius, 2: none
} look;

static const look looks[N_SKIES] = {
    [DAY] = {.zenith = {0.10f, 0.30f, 0.78f},
             .horizon = {0.42f, 0.66f, 0.86f},
             .glow = {0.10f, 0.08f, 0.02f},
             .light = {1.10f, 1.02f, 0.90f},
             .ambient = {0.34f, 0.40f, 0.50f},
             .disc = 2.0f},
    [SUNSET] = {.zenith = {0.16f, 0.08f, 0.32f},
                .horizon = {0.95f, 0.34f, 0.10f},
                .glow = {0.50f, 0.26f, 0.04f},
                .light = {1.15f, 0.84f, 0.58f},
                .ambient = {0.36f, 0.29f, 0.38f},
                .disc = 0.9990f},
    [NIGHT] = {.zenith = {0.005f, 0.008f, 0.035f},
               .horizon = {0.030f, 0.045f, 0.150f},
               .glow = {0.06f, 0.07f, 0.10f},
               .light = {0.52f, 0.60f, 0.78f},
               .ambient = {0.15f, 0.17f, 0.26f},
               .disc = 0.9988f},
    [CLOUDY] = {.zenith = {0.24f, 0.27f, 0.31f},
                .horizon = {0.47f, 0.50f, 0.53f},
                .glow = {0.0f, 0.0f, 0.0f},
                .light = {0.46f, 0.47f, 0.49f},
                .ambient = {0.52f, 0.55f, 0.60f},
                .disc = 2.0f},
};

static const vec3 albedo[N_COLORS] = {
    [RED] = {0.80f, 0.020f, 0.020f},   [ORANGE] = {0.95f, 0.25f, 0.010f},
    [YELLOW] = {0.95f, 0.72f, 0.020f}, [GREEN] = {0.020f, 0.46f, 0.040f},
    [CYAN] = {0.020f, 0.62f, 0.66f},   [BLUE] = {0.020f, 0.060f, 0.78f},
    [PURPLE] = {0.25f, 0.025f, 0.52f}, [PINK] = {0.95f, 0.22f, 0.48f},
    [WHITE] = {0.86f, 0.86f, 0.84f},   [BLACK] = {0.012f, 0.012f, 0.014f},
};

// The stretch of a ray inside a sphere; false if there is none in front.
static bool sphere_span(vec3 from, vec3 dir, vec3 center, float radius, float *enter,
                        float *leave) {
    vec3 to = sub(center, from);
    float along = dot(to, dir), square = radius * radius - (dot(to, to) - along * along);
    if (square <= 0.0f) {
        return false;
    }
    float half = sqrtf(square);
    *enter = fmaxf(along - half, 0.0f);
    *leave = along + half;
    return *leave > 0.0f;
}

static float march(const object *o, vec3 from, vec3 dir) {
    float t, leave;
    if (!sphere_span(from, dir, bound_center(o), bound_radius(o), &t, &leave)) {
        return INFINITY;
    }
    for (int i = 0; i < MAX_STEPS && t < leave; i++) {
        float d = object_distance(o, add(from, scale(dir, t)));
        if (d < 0.0015f) {
            return t;
        }
        t += d;
    }
    return INFINITY;
}

// 1 in full light, 0 in full shadow, between them in the penumbra.
static float light_reaching(const scene *s, vec3 from) {
    float lit = 1.0f;
    for (int i = 0; i < s->n_objects; i++) {
        const object *o = &s->objects[i];
        float t, leave;
        if (!sphere_span(from, s->to_light, bound_center(o), bound_radius(o) * 1.25f, &t, &leave)) {
            continue;
        }
        t = fmaxf(t, 0.02f);
        for (int k = 0; k < SHADOW_STEPS && t < leave && lit > 0.01f; k++) {
            float d = object_distance(o, add(from, scale(s->to_light, t)));
            lit = fminf(lit, fmaxf(0.5f + 4.5f * d / (t + 0.15f), 0.0f));
            t += fmaxf(fabsf(d), 0.03f);
        }
    }
    return lit * lit * (3.0f - 2.0f * lit);
}

// How open the sky is above a point of the ground, or beside another object.
static float openness(const scene *s, vec3 at, const object *except) {
    float open = 1.0f;
    for (int i = 0; i < s->n_objects; i++) {
        const object *o = &s->objects[i];
        if (o == except) {
            continue;
        }
        float radius = 0.62f * o->size;
        vec3 to = sub(add(o->pos, (vec3){0.0f, radius, 0.0f}), at);
        float near = radius * radius / fmaxf(dot(to, to), 0.05f);
        open *= 1.0f - 0.62f * fminf(near * 0.75f, 1.0f);
    }
    return open;
}

// ---- Grounds.

static float lattice(int x, int y) {
    uint32_t h = (uint32_t)x * 0x8da6b343u ^ (uint32_t)y * 0xd8163841u;
    h = (h ^ (h >> 13)) * 0x5bd1e995u;
    return (float)((h ^ (h >> 15)) & 0xffffu) * (1.0f / 65535.0f);
}

static float value_noise(float x, float y) {
    float fx = floorf(x), fy = floorf(y);
    int ix = (int)fx, iy = (int)fy;
    float u = x - fx, v = y - fy;
    u = u * u * (3.0f - 2.0f * u);
    v = v * v * (3.0f - 2.0f * v);
    float top = lattice(ix, iy) * (1.0f - u) + lattice(ix + 1, iy) * u;
    float bottom = lattice(ix, iy + 1) * (1.0f - u) + lattice(ix + 1, iy + 1) * u;
    return top * (1.0f - v) + bottom * v;
}

static vec3 wood_color(float x, float y, float fade) {
    float plank = floorf(x / 0.62f);
    float across = x / 0.62f - plank, tone = lattice((int)plank, 7);
    float grain = value_noise(x * 9.0f, y * 0.9f + tone * 40.0f) - 0.5f;
    vec3 base = lerp((vec3){0.27f, 0.115f, 0.035f}, (vec3){0.40f, 0.19f, 0.070f}, tone);
    float seam = smoothstep(0.0f, 0.06f, across) * smoothstep(1.0f, 0.94f, across);
    float dark = (1.0f + 0.55f * grain * fade) * (1.0f - 0.6f * (1.0f - seam) * fade);
    return scale(base, dark);
}

static vec3 checker_color(float x, float y, float fade) {
    float u = x / 0.85f, v = y / 0.85f;
    bool dark = ((int)floorf(u) + (int)floorf(v)) & 1;
    const vec3 low = {0.095f, 0.100f, 0.120f}, high = {0.46f, 0.44f, 0.40f};
    float k = 0.5f + (dark ? -0.5f : 0.5f) * fade * fade; // gone before it aliases
    return lerp(low, high, k);
}

// Courses of bricks, each shifted by half a brick.
static vec3 brick_color(float x, float y, float fade) {
    float course = floorf(y / 0.42f), across = y / 0.42f - course;
    float u = x / 0.84f + 0.5f * (float)((int)course & 1), brick = floorf(u), along = u - brick;
    float tone = lattice((int)brick, (int)course);
    vec3 clay = lerp((vec3){0.30f, 0.085f, 0.050f}, (vec3){0.44f, 0.15f, 0.085f}, tone);
    float inside = smoothstep(0.03f, 0.09f, along) * smoothstep(0.97f, 0.91f, along) *
                   smoothstep(0.05f, 0.16f, across) * smoothstep(0.95f, 0.84f, across);
    const vec3 mortar = {0.34f, 0.32f, 0.30f}, mean = {0.36f, 0.15f, 0.10f};
    return lerp(mean, lerp(mortar, clay, inside), fade * fade);
}

static vec3 ground_color(const scene *s, float x, float z, float distance) {
    float c = cosf(s->ground_yaw), n = sinf(s->ground_yaw);
    float u = c * x - n * z + s->ground_off[0], v = n * x + c * z + s->ground_off[1];
    float fade = 1.0f - smoothstep(5.0f, 13.0f, distance);
    float coarse = value_noise(u * 1.3f, v * 1.3f) - 0.5f;
    switch (s->ground) {
    case CHECKER: return checker_color(u, v, fade);
    case WOOD: return wood_color(u, v, fade);
    case BRICK: return brick_color(u, v, fade);
    case SNOW: {
        float drift = value_noise(u * 0.8f, v * 1.6f) - 0.5f;
        return scale((vec3){0.74f, 0.79f, 0.86f}, 1.0f + (0.10f * coarse + 0.16f * drift) * fade);
    }
    case GRASS: {
        float blades = value_noise(u * 7.0f, v * 4.0f) - 0.5f;
        float k = 1.0f + (0.9f * coarse + 0.8f * blades) * fade;
        return scale((vec3){0.085f, 0.21f, 0.030f}, k);
    }
    default: {
        float wave = sinf(v * 6.0f + 3.0f * coarse + 0.6f * u) * 0.11f;
        return scale((vec3){0.62f, 0.43f, 0.22f}, 1.0f + (wave + 0.28f * coarse) * fade);
    }
    }
}

// ---- Light.

static vec3 sky_color(const scene *s, vec3 dir) {
    const look *l = &looks[s->sky];
    float up = fmaxf(dir.y, 0.0f);
    vec3 c = lerp(l->horizon, l->zenith, 1.0f - expf(-up * 5.5f));
    float height = s->sky == SUNSET ? 0.030f : 0.100f;
    vec3 sun = normalize((vec3){sinf(s->sky_turn), height, -cosf(s->sky_turn)});
    float near = fmaxf(dot(dir, sun), 0.0f);
    c = add(c, scale(l->glow, powf(near, s->sky == NIGHT ? 900.0f : 40.0f)));
    float disc = smoothstep(l->disc - 0.0003f, l->disc + 0.0001f, near);
    return lerp(c, s->sky == NIGHT ? (vec3){0.80f, 0.82f, 0.72f} : (vec3){1.0f, 0.80f, 0.35f},
                disc);
}

// Stripes are bands about the vertical, white ones, on white objects dark ones.
static vec3 object_color(const object *o, vec3 p) {
    const vec3 base = albedo[o->color];
    if (o->material != STRIPED) {
        return base;
    }
    float band = 3.0f * (p.y - o->pos.y) / o->size;
    float near = fabsf(band - floorf(band) - 0.5f); // 0 in the middle of a band, 0.5 between two
    const vec3 other = o->color == WHITE ? (vec3){0.10f, 0.10f, 0.11f} : (vec3){0.80f, 0.80f, 0.78f};
    return lerp(other, base, smoothstep(0.22f, 0.28f, near));
}

static vec3 shade_object(const scene *s, const object *o, vec3 p, vec3 dir) {
    const look *l = &looks[s->sky];
    vec3 n = object_normal(o, p);
    float facing = fmaxf(dot(n, s->to_light), 0.0f);
    float lit = facing > 0.0f ? light_reaching(s, add(p, scale(n, 0.02f))) : 0.0f;
    float open = (0.55f + 0.45f * n.y) * openness(s, p, o) * (0.75f + 0.25f * clamp01(p.y * 2.5f));
    vec3 bounce = scale(l->ambient, 0.35f * (1.0f - n.y));
    vec3 light = add(add(scale(l->light, facing * lit), scale(l->ambient, open)), bounce);
    vec3 c = mul(object_color(o, p), light);
    if (o->material == SHINY) {
        vec3 half = normalize(sub(s->to_light, dir));
        float spot = powf(fmaxf(dot(n, half), 0.0f), 60.0f) * lit;
        float edge = 1.0f - fmaxf(-dot(n, dir), 0.0f);
        vec3 mirror = sub(dir, scale(n, 2.0f * dot(n, dir)));
        float fresnel = 0.05f + 0.45f * edge * edge * edge * edge;
        c = lerp(c, mirror.y > 0.0f ? sky_color(s, mirror) : scale(l->ambient, 0.5f), fresnel);
        c = add(c, scale(l->light, 0.9f * spot));
    }
    return c;
}

static vec3 shade_ground(const scene *s, vec3 p, float distance) {
    const look *l = &looks[s->sky];
    float lit = light_reaching(s, add(p, (vec3){0.0f, 0.004f, 0.0f}));
    float open = openness(s, p, NULL);
    vec3 light = add(scale(l->light, s->to_light.y * lit), scale(l->ambient, open));
    vec3 c = mul(ground_color(s, p.x, p.z, distance), light);
    return lerp(c, l->horizon, 0.85f * smoothstep(7.0f, 30.0f, distance));
}

// What a ray from the eye meets first: an object, else the ground, else (t infinite) the sky.
static const object *first_hit(const scene *s, vec3 dir, float *t) {
    const object *hit = NULL;
    *t = dir.y < -1e-4f ? -s->eye.y / dir.y : INFINITY;
    for (int i = 0; i < s->n_objects; i++) {
        float at = march(&s->objects[i], s->eye, dir);
        if (at < *t) {
            *t = at;
            hit = &s->objects[i];
        }
    }
    return hit;
}

static vec3 trace(const scene *s, vec3 dir) {
    float t;
    const object *hit = first_hit(s, dir, &t);
    if (hit != NULL) {
        return shade_object(s, hit, add(s->eye, scale(dir, t)), dir);
    }
    if (t < INFINITY) {
        t = fminf(t, 60.0f); // far ground is nearly all haze
        return shade_ground(s, add(s->eye, scale(dir, t)), t);
    }
    return sky_color(s, dir);
}

static uint8_t to_byte(float x) {
    float mapped = x / (1.0f + 0.18f * x); // bright spots keep their colour
    return (uint8_t)(sqrtf(clamp01(mapped * 1.08f)) * 255.0f + 0.5f);
}

typedef struct camera {
    vec3 ahead, right, up;
} camera;

static camera camera_of(const scene *s) {
    vec3 ahead = normalize(sub(s->target, s->eye));
    vec3 right = normalize(cross(ahead, (vec3){0.0f, 1.0f, 0.0f}));
    return (camera){ahead, right, cross(right, ahead)};
}

static vec3 ray(const camera *c, float u, float v) {
    return normalize(add(c->ahead, add(scale(c->right, u), scale(c->up, v))));
}

void scene_ids(const scene *s, int size, uint8_t *ids) {
    camera c = camera_of(s);
    float step = 2.0f * s->lens / (float)size;
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            float t;
            vec3 dir =
                ray(&c, ((float)x + 0.5f) * step - s->lens, s->lens - ((float)y + 0.5f) * step);
            const object *hit = first_hit(s, dir, &t);
            uint8_t rest = t < INFINITY ? SEEN_GROUND : SEEN_SKY;
            *ids++ = hit != NULL ? (uint8_t)(hit - s->objects) : rest;
        }
    }
}

void scene_render(const scene *s, int size, uint8_t *rgb) {
    camera c = camera_of(s);
    float step = 2.0f * s->lens / (float)(size * SAMPLES);
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            vec3 sum = {0.0f, 0.0f, 0.0f};
            for (int k = 0; k < SAMPLES * SAMPLES; k++) {
                float u = ((float)(x * SAMPLES + k % SAMPLES) + 0.5f) * step - s->lens;
                float v = s->lens - ((float)(y * SAMPLES + k / SAMPLES) + 0.5f) * step;
                vec3 seen = trace(s, ray(&c, u, v));
                sum =
                    add(sum, (vec3){fminf(seen.x, 1.2f), fminf(seen.y, 1.2f), fminf(seen.z, 1.2f)});
            }
            sum = scale(sum, 1.0f / (SAMPLES * SAMPLES));
            *rgb++ = to_byte(sum.x);
            *rgb++ = to_byte(sum.y);
            *rgb++ = to_byte(sum.z);
        }
    }
}

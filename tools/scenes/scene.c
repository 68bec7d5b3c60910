// Drawing scenes by lot, and describing them as JSON.
#include "scene.h"

#include <math.h>

const char *const shape_names[N_SHAPES] = {"sphere", "cube",  "cylinder",
                                           "cone",   "torus", "pyramid"};
const char *const color_names[N_COLORS] = {"red",  "orange", "yellow", "green",
                                           "cyan", "blue",   "purple", "pink"};
const char *const material_names[N_MATERIALS] = {"matte", "shiny"};
const char *const ground_names[N_GROUNDS] = {"checkerboard", "wood", "grass", "sand"};
const char *const sky_names[N_SKIES] = {"day", "sunset", "night"};
const char *const layout_names[N_LAYOUTS] = {"single", "left-right", "front-behind", "on-top"};

// The colour in which each shape is held out.
static const color held_out_color[N_SHAPES] = {GREEN, PURPLE, PINK, BLUE, ORANGE, CYAN};

uint64_t scene_hash(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t next(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    return scene_hash(*state);
}

static float uniform(uint64_t *state, float low, float high) {
    float unit = (float)(next(state) >> 40) * (1.0f / 16777216.0f);
    return low + (high - low) * unit;
}

static int pick(uint64_t *state, int n) {
    return (int)((next(state) >> 33) % (uint64_t)n);
}

float shape_height(shape s) {
    static const float height[N_SHAPES] = {1.2f, 1.0f, 1.15f, 1.35f, 1.3f, 1.2f};
    return height[s];
}

static bool combo_held_out(const object *o) {
    return held_out_color[o->shape] == o->color;
}

// A tenth of the unordered pairs, by a fixed hash of the pair.
static bool pair_held_out(const object *a, const object *b) {
    unsigned x = (unsigned)a->shape * N_COLORS + (unsigned)a->color;
    unsigned y = (unsigned)b->shape * N_COLORS + (unsigned)b->color;
    unsigned low = x < y ? x : y, high = x < y ? y : x;
    return scene_hash(low * 64u + high + 1u) % 10u == 0u;
}

static layout pick_layout(uint64_t *state) {
    int n = pick(state, 100);
    return n < 20 ? SINGLE : n < 55 ? LEFT_RIGHT : n < 80 ? FRONT_BEHIND : ON_TOP;
}

static void pick_objects(scene *s, uint64_t *state) {
    s->layout = pick_layout(state);
    s->n_objects = s->layout == SINGLE ? 1 : 2;
    for (int i = 0; i < s->n_objects; i++) {
        object *o = &s->objects[i];
        o->shape = (shape)pick(state, N_SHAPES);
        if (s->layout == ON_TOP && i == 1) { // only a flat top carries something
            o->shape = pick(state, 2) ? CUBE : CYLINDER;
        }
        o->color = (color)pick(state, N_COLORS);
        o->material = (material)pick(state, N_MATERIALS);
    }
    s->held_out_combo = false;
    for (int i = 0; i < s->n_objects; i++) {
        s->held_out_combo |= combo_held_out(&s->objects[i]);
    }
    s->held_out_pair = s->n_objects == 2 && pair_held_out(&s->objects[0], &s->objects[1]);
}

// Two objects that look alike would make the caption ambiguous.
static bool objects_allowed(const scene *s, split from) {
    const object *a = &s->objects[0], *b = &s->objects[1];
    if (s->n_objects == 2 && a->shape == b->shape && a->color == b->color) {
        return false;
    }
    bool held_out = s->held_out_combo || s->held_out_pair;
    return from == SPLIT_ALL || held_out == (from == SPLIT_HELD_OUT);
}

static void place_objects(scene *s, uint64_t *state) {
    object *a = &s->objects[0], *b = &s->objects[1];
    for (int i = 0; i < s->n_objects; i++) {
        object *o = &s->objects[i];
        o->size = uniform(state, 0.95f, 1.05f);
        o->yaw = uniform(state, 0.15f, 0.55f);
        o->pos = (vec3){uniform(state, -0.08f, 0.08f), 0.0f, uniform(state, -0.1f, 0.1f)};
    }
    switch (s->layout) {
    case LEFT_RIGHT:
        a->pos.x -= 0.85f;
        b->pos.x += 0.85f;
        break;
    case FRONT_BEHIND:
        a->pos.x -= 0.45f; // the front one always to the left, so that both are seen
        b->pos.x += 0.70f;
        a->pos.z += 0.65f;
        b->pos.z -= 1.35f;
        break;
    case ON_TOP:
        a->size *= 0.78f;
        b->size *= 0.95f;
        b->pos.x *= 1.8f;
        a->pos.x = b->pos.x + uniform(state, -0.06f, 0.06f);
        a->pos.z = b->pos.z + uniform(state, -0.04f, 0.04f);
        a->pos.y = shape_height(b->shape) * b->size;
        break;
    default:
        a->size *= 1.12f;
        a->pos.x *= 2.2f;
        break;
    }
}

static void place_camera_and_light(scene *s, uint64_t *state) {
    float turn = uniform(state, -0.03f, 0.03f), distance = 5.4f;
    s->eye = (vec3){distance * sinf(turn), 2.05f, distance * cosf(turn)};
    s->target = (vec3){0.0f, 0.80f, 0.0f};
    s->lens = 0.385f;

    float azimuth = uniform(state, -0.9f, -0.7f);
    float height = s->sky == SUNSET ? 0.58f : 0.80f;
    s->to_light = (vec3){sinf(azimuth) * cosf(height), sinf(height), cosf(azimuth) * cosf(height)};
    s->sky_turn = uniform(state, -0.06f, 0.06f);
    s->ground_off[0] = 8.4f;
    s->ground_off[1] = 8.1f;
    s->ground_yaw = 0.0f;
}

void scene_draw_lot(scene *out, uint64_t seed, split from) {
    uint64_t state = scene_hash(seed + 0x5ce4e5u);
    *out = (scene){.seed = seed};
    out->ground = (ground)pick(&state, N_GROUNDS);
    out->sky = (sky)pick(&state, N_SKIES);
    do {
        pick_objects(out, &state);
    } while (!objects_allowed(out, from));
    place_objects(out, &state);
    place_camera_and_light(out, &state);
}

void scene_write_json_object(const scene *s, FILE *to) {
    fprintf(to, "{\"seed\": %llu, \"layout\": \"%s\", \"ground\": \"%s\", \"sky\": \"%s\", ",
            (unsigned long long)s->seed, layout_names[s->layout], ground_names[s->ground],
            sky_names[s->sky]);
    fprintf(to, "\"held_out_combo\": %s, \"held_out_pair\": %s, \"objects\": [",
            s->held_out_combo ? "true" : "false", s->held_out_pair ? "true" : "false");
    for (int i = 0; i < s->n_objects; i++) {
        const object *o = &s->objects[i];
        fprintf(to, "%s{\"shape\": \"%s\", \"color\": \"%s\", \"material\": \"%s\"}", i ? ", " : "",
                shape_names[o->shape], color_names[o->color], material_names[o->material]);
    }
    fputs("]}", to);
}

void scene_write_json(const scene *s, FILE *to) {
    scene_write_json_object(s, to);
    fputc('\n', to);
}

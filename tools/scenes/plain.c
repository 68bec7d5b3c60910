// Scenes of the plain world: one or two objects before a camera that hardly moves.
#include "lots.h"
#include "shapes.h"
#include "worlds.h"

#include <math.h>

// The colour in which each shape is held out.
static const color held_out_color[N_PLAIN_SHAPES] = {GREEN, PURPLE, PINK, BLUE, ORANGE, CYAN};

static bool combo_held_out(const object *o) {
    return held_out_color[o->shape] == o->color;
}

static layout pick_layout(uint64_t *state) {
    int n = lot_pick(state, 100);
    return n < 20 ? SINGLE : n < 55 ? LEFT_RIGHT : n < 80 ? FRONT_BEHIND : ON_TOP;
}

static void pick_objects(scene *s, uint64_t *state) {
    s->layout = pick_layout(state);
    s->n_objects = s->layout == SINGLE ? 1 : 2;
    for (int i = 0; i < s->n_objects; i++) {
        object *o = &s->objects[i];
        o->shape = (shape)lot_pick(state, N_PLAIN_SHAPES);
        if (s->layout == ON_TOP && i == 1) { // only a flat top carries something
            o->shape = lot_pick(state, 2) ? CUBE : CYLINDER;
        }
        o->color = (color)lot_pick(state, N_PLAIN_COLORS);
        o->material = (material)lot_pick(state, N_PLAIN_MATERIALS);
    }
    s->held_out_combo = false;
    for (int i = 0; i < s->n_objects; i++) {
        s->held_out_combo |= combo_held_out(&s->objects[i]);
    }
    s->held_out_pair =
        s->n_objects == 2 && pair_held_out(&s->objects[0], &s->objects[1], N_PLAIN_COLORS);
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
        o->size = lot_uniform(state, 0.95f, 1.05f);
        o->yaw = lot_uniform(state, 0.15f, 0.55f);
        o->pos = (vec3){lot_uniform(state, -0.08f, 0.08f), 0.0f, lot_uniform(state, -0.1f, 0.1f)};
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
        a->pos.x = b->pos.x + lot_uniform(state, -0.06f, 0.06f);
        a->pos.z = b->pos.z + lot_uniform(state, -0.04f, 0.04f);
        a->pos.y = shape_height(b->shape) * b->size;
        break;
    default:
        a->size *= 1.12f;
        a->pos.x *= 2.2f;
        break;
    }
}

static void place_camera_and_light(scene *s, uint64_t *state) {
    float turn = lot_uniform(state, -0.03f, 0.03f), distance = 5.4f;
    s->eye = (vec3){distance * sinf(turn), 2.05f, distance * cosf(turn)};
    s->target = (vec3){0.0f, 0.80f, 0.0f};
    s->lens = 0.385f;

    float azimuth = lot_uniform(state, -0.9f, -0.7f);
    float height = s->sky == SUNSET ? 0.58f : 0.80f;
    s->to_light = (vec3){sinf(azimuth) * cosf(height), sinf(height), cosf(azimuth) * cosf(height)};
    s->sky_turn = lot_uniform(state, -0.06f, 0.06f);
    s->ground_off[0] = 8.4f;
    s->ground_off[1] = 8.1f;
    s->ground_yaw = 0.0f;
}

void plain_draw_lot(scene *out, uint64_t *state, split from) {
    out->ground = (ground)lot_pick(state, N_PLAIN_GROUNDS);
    out->sky = (sky)lot_pick(state, N_PLAIN_SKIES);
    do {
        pick_objects(out, state);
    } while (!objects_allowed(out, from));
    place_objects(out, state);
    place_camera_and_light(out, state);
}

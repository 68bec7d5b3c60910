// Scenes of the plain world: one or two objects before a camera that hardly moves.
#include "lots.h"
#include "shapes.h"
#include "worlds.h"

#include <math.h>

static void pick_layout(scene *s, uint64_t *state) {
    int n = lot_pick(state, 100);
    s->layout = n < 20 ? SINGLE : n < 55 ? LEFT_RIGHT : n < 80 ? FRONT_BEHIND : ON_TOP;
    s->n_objects = s->layout == SINGLE ? 1 : 2;
}

static size_class pick_size(layout l, int i, uint64_t *state) {
    (void)l;
    (void)i;
    (void)state;
    return NORMAL;
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

    scene_light_from(s, lot_uniform(state, -0.9f, -0.7f));
    s->sky_turn = lot_uniform(state, -0.06f, 0.06f);
    s->ground_yaw = 0.0f;
}

static void place(scene *s, uint64_t *state) {
    place_objects(s, state);
    place_camera_and_light(s, state);
}

const world_rules plain_world = {N_PLAIN_SHAPES, N_PLAIN_COLORS, N_PLAIN_MATERIALS, N_PLAIN_GROUNDS,
                                 N_PLAIN_SKIES,  pick_layout,    pick_size,         place};

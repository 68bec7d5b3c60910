// Scenes of the rich world: one to four objects of ten shapes and colours, plain or striped, in three
// sizes, before a camera that goes about.
#include "lots.h"
#include "shapes.h"
#include "worlds.h"

static const float factor[N_SIZES] = {[NORMAL] = 1.0f, [SMALL] = 0.68f, [LARGE] = 1.34f};

static int count_of(layout l, uint64_t *state) {
    switch (l) {
    case SINGLE: return 1;
    case ROW: return 3;
    case GROUP: return 2 + lot_pick(state, 3);
    default: return 2;
    }
}

static void pick_layout(scene *s, uint64_t *state) {
    int n = lot_pick(state, 100);
    s->layout = n < 16   ? SINGLE
                : n < 42 ? LEFT_RIGHT
                : n < 58 ? FRONT_BEHIND
                : n < 73 ? ON_TOP
                : n < 85 ? ROW
                         : GROUP;
    s->n_objects = count_of(s->layout, state);
}

// Half of all objects are of the usual size, in a row only small ones besides.
static size_class pick_size(layout l, int i, uint64_t *state) {
    int n = lot_pick(state, 4);
    bool usual = l == GROUP || n < 2;
    if (usual) {
        return NORMAL;
    }
    if (l == ROW || (l == ON_TOP && i == 0)) { // no room for large ones
        return SMALL;
    }
    return l == ON_TOP || n == 2 ? LARGE : SMALL; // and small ones carry nothing
}

// As many as there are, side by side; the more, the smaller.
static void place_group(scene *s) {
    static const float apart[] = {0.0f, 0.0f, 1.70f, 1.32f, 1.04f};
    static const float size[] = {1.0f, 1.0f, 1.0f, 0.86f, 0.74f};
    for (int i = 0; i < s->n_objects; i++) {
        object *o = &s->objects[i];
        o->pos.x += apart[s->n_objects] * ((float)i - 0.5f * (float)(s->n_objects - 1));
        o->size *= size[s->n_objects];
    }
}

static void place_pair(scene *s, uint64_t *state) {
    object *a = &s->objects[0], *b = &s->objects[1];
    float side = lot_pick(state, 2) ? 1.0f : -1.0f;
    switch (s->layout) {
    case LEFT_RIGHT:
        a->pos.x -= 0.22f + 0.66f * factor[a->size_class];
        b->pos.x += 0.22f + 0.66f * factor[b->size_class];
        break;
    case FRONT_BEHIND: // to either side, so that both are seen
        a->pos.x = side * (a->pos.x - 0.10f - 0.38f * factor[a->size_class]);
        b->pos.x =
            side * (b->pos.x + 0.35f * factor[b->size_class] + 0.45f * factor[a->size_class]);
        a->pos.z += 0.65f;
        b->pos.z -= 1.35f;
        break;
    default: // on top
        a->size *= 0.80f;
        b->size *= 0.92f;
        b->pos.x *= 2.0f;
        a->pos.x = b->pos.x + lot_uniform(state, -0.06f, 0.06f);
        a->pos.z = b->pos.z + lot_uniform(state, -0.04f, 0.04f);
        a->pos.y = shape_height(b->shape) * b->size;
        break;
    }
}

static void place_objects(scene *s, uint64_t *state) {
    for (int i = 0; i < s->n_objects; i++) {
        object *o = &s->objects[i];
        o->size = factor[o->size_class] * lot_uniform(state, 0.96f, 1.04f);
        o->yaw = lot_uniform(state, -0.5f, 0.5f);
        o->pos = (vec3){lot_uniform(state, -0.08f, 0.08f), 0.0f, lot_uniform(state, -0.1f, 0.1f)};
    }
    switch (s->layout) {
    case SINGLE: s->objects[0].pos.x *= 5.0f; break;
    case GROUP: place_group(s); break;
    case ROW:
        s->objects[0].pos.x -= 1.38f;
        s->objects[2].pos.x += 1.38f;
        break;
    default: place_pair(s, state); break;
    }
}

// The camera goes round by turning the ground; the light comes from either side.
static void place_camera_and_light(scene *s, uint64_t *state) {
    float distance = lot_uniform(state, 5.5f, 5.9f);
    s->eye = (vec3){0.0f, lot_uniform(state, 1.6f, 2.7f), distance};
    s->target = (vec3){lot_uniform(state, -0.06f, 0.06f), 0.80f, 0.0f};
    s->lens = 0.395f;

    float side = lot_pick(state, 2) ? 1.0f : -1.0f;
    scene_light_from(s, side * lot_uniform(state, 0.55f, 1.0f));
    s->sky_turn = lot_uniform(state, -0.3f, 0.3f);
    s->ground_yaw = lot_uniform(state, -0.4f, 0.4f);
}

static void place(scene *s, uint64_t *state) {
    place_objects(s, state);
    place_camera_and_light(s, state);
}

const world_rules rich_world = {N_SHAPES, N_COLORS,    N_MATERIALS, N_GROUNDS,
                                N_SKIES,  pick_layout, pick_size,   place};

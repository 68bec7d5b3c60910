// Scenes of the rich world: one to four objects of ten shapes and colours, plain or striped, in three
// sizes, before a camera that goes about.
#include "lots.h"
#include "shapes.h"
#include "worlds.h"

#include <math.h>

// The colour in which each shape is held out.
static const color held_out_color[N_SHAPES] = {GREEN, PURPLE, PINK,   BLUE,  ORANGE,
                                               CYAN,  WHITE,  YELLOW, BLACK, RED};
static const float factor[N_SIZES] = {[NORMAL] = 1.0f, [SMALL] = 0.68f, [LARGE] = 1.34f};

static layout pick_layout(uint64_t *state) {
    int n = lot_pick(state, 100);
    return n < 16   ? SINGLE
           : n < 42 ? LEFT_RIGHT
           : n < 58 ? FRONT_BEHIND
           : n < 73 ? ON_TOP
           : n < 85 ? ROW
                    : GROUP;
}

static int count_of(layout l, uint64_t *state) {
    switch (l) {
    case SINGLE: return 1;
    case ROW: return 3;
    case GROUP: return 2 + lot_pick(state, 3);
    default: return 2;
    }
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

static void pick_objects(scene *s, uint64_t *state) {
    s->layout = pick_layout(state);
    s->n_objects = count_of(s->layout, state);
    for (int i = 0; i < s->n_objects; i++) {
        object *o = &s->objects[i];
        o->shape = (shape)lot_pick(state, N_SHAPES);
        if (s->layout == ON_TOP && i == 1) { // only a flat top carries something
            o->shape = lot_pick(state, 2) ? CUBE : CYLINDER;
        }
        o->color = (color)lot_pick(state, N_COLORS);
        o->material = (material)lot_pick(state, N_MATERIALS);
        o->size_class = pick_size(s->layout, i, state);
        if (s->layout == GROUP && i > 0) {
            *o = s->objects[0];
        }
    }
}

// How many differ: a group's are all alike.
static int n_kinds(const scene *s) {
    return s->layout == GROUP ? 1 : s->n_objects;
}

static void mark_held_out(scene *s) {
    s->held_out_combo = s->held_out_pair = false;
    for (int i = 0; i < n_kinds(s); i++) {
        const object *o = &s->objects[i];
        s->held_out_combo |= held_out_color[o->shape] == o->color;
        for (int j = 0; j < i; j++) {
            s->held_out_pair |= pair_held_out(o, &s->objects[j], N_COLORS);
        }
    }
}

// Two objects that look alike would make the caption ambiguous; some colours do not show.
static bool objects_allowed(const scene *s, split from) {
    for (int i = 0; i < n_kinds(s); i++) {
        const object *o = &s->objects[i];
        if ((o->color == WHITE && s->ground == SNOW) || (o->color == BLACK && s->sky == NIGHT)) {
            return false;
        }
        for (int j = 0; j < i; j++) {
            if (o->shape == s->objects[j].shape && o->color == s->objects[j].color) {
                return false;
            }
        }
    }
    bool held_out = s->held_out_combo || s->held_out_pair;
    return from == SPLIT_ALL || held_out == (from == SPLIT_HELD_OUT);
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
    float azimuth = side * lot_uniform(state, 0.55f, 1.0f);
    float height = s->sky == SUNSET ? 0.58f : 0.80f;
    s->to_light = (vec3){sinf(azimuth) * cosf(height), sinf(height), cosf(azimuth) * cosf(height)};
    s->sky_turn = lot_uniform(state, -0.3f, 0.3f);
    s->ground_off[0] = 8.4f;
    s->ground_off[1] = 8.1f;
    s->ground_yaw = lot_uniform(state, -0.4f, 0.4f);
}

void rich_draw_lot(scene *out, uint64_t *state, split from) {
    out->ground = (ground)lot_pick(state, N_GROUNDS);
    out->sky = (sky)lot_pick(state, N_SKIES);
    do {
        pick_objects(out, state);
        mark_held_out(out);
    } while (!objects_allowed(out, from));
    place_objects(out, state);
    place_camera_and_light(out, state);
}

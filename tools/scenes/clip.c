// Drawing clips by lot, and how things move in them.
#include "clip.h"

#include "lots.h"

#include <math.h>

static const float pi = 3.14159265f;

const char *const motion_names[N_MOTIONS] = {"left", "right",  "bounce", "spin",
                                             "grow", "shrink", "orbit"};

static bool travels(motion m) {
    return m == LEFT || m == RIGHT;
}

// What is round about the vertical does not show that it spins.
static bool spin_shows(shape s) {
    return s == CUBE || s == TORUS || s == PYRAMID;
}

static bool fits(const clip *c) {
    const scene *s = &c->start;
    if (s->layout != SINGLE && s->layout != LEFT_RIGHT) {
        return false;
    }
    return c->motion != SPIN || spin_shows(s->objects[c->mover].shape);
}

// Who travels passes in front of the other, which stands behind near the middle.
static void place_travellers(clip *c, float shift) {
    scene *s = &c->start;
    object *mover = &s->objects[c->mover];
    mover->pos.x = 0.0f;
    mover->pos.z = s->n_objects == 2 ? 0.55f : 0.1f;
    if (s->n_objects == 2) {
        object *other = &s->objects[1 - c->mover];
        other->pos.x = 0.35f * shift;
        other->pos.z = -1.25f;
        other->size *= 1.12f;
    }
}

void clip_draw_lot(clip *out, uint64_t seed, split from) {
    uint64_t state = lot_hash(seed + 0xc11b5u);
    *out = (clip){.motion = (motion)(state % N_MOTIONS), .mover = (int)(state >> 20 & 1u)};
    for (uint64_t attempt = 1;; attempt++) {
        scene_draw_lot(&out->start, WORLD_PLAIN, lot_hash(state + attempt), from);
        bool alone = out->start.layout == SINGLE;
        out->mover = alone || out->motion == ORBIT ? 0 : (int)(state >> 20 & 1u);
        if (fits(out)) {
            break;
        }
    }
    out->start.seed = seed;
    out->reach = 0.94f + 0.12f * (float)(state >> 40 & 0xffffu) / 65535.0f;
    if (travels(out->motion)) {
        place_travellers(out, 2.0f * (float)(state >> 24 & 0xffffu) / 65535.0f - 1.0f);
    }
}

static void turn_camera(scene *s, float angle) {
    float c = cosf(angle), n = sinf(angle), x = s->eye.x, z = s->eye.z;
    s->eye.x = c * x + n * z;
    s->eye.z = c * z - n * x;
}

void clip_scene_at(const clip *c, float moment, scene *out) {
    *out = c->start;
    object *o = &out->objects[c->mover];
    float along = 2.0f * moment - 1.0f; // -1 at the first frame, 1 at the last
    switch (c->motion) {
    case LEFT: o->pos.x -= 1.35f * c->reach * along; break;
    case RIGHT: o->pos.x += 1.35f * c->reach * along; break;
    case BOUNCE: o->pos.y += 0.85f * c->reach * fabsf(sinf(2.0f * pi * moment)); break;
    case SPIN: o->yaw += 1.5f * pi * c->reach * moment; break;
    case GROW: o->size *= 0.45f + 0.70f * c->reach * moment; break;
    case SHRINK: o->size *= 0.45f + 0.70f * c->reach * (1.0f - moment); break;
    default: turn_camera(out, 0.5f * c->reach * along); break;
    }
}

void clip_write_json(const clip *c, FILE *to) {
    fprintf(to, "{\"motion\": \"%s\", \"mover\": %d, \"scene\": ", motion_names[c->motion],
            c->mover);
    scene_write_json_object(&c->start, to);
    fputs("}\n", to);
}

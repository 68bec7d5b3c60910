// Names, drawing scenes by lot, and describing them as JSON.
#include "lots.h"
#include "worlds.h"

#include <math.h>

const char *const shape_names[N_SHAPES] = {"sphere",  "cube",    "cylinder", "cone",  "torus",
                                           "pyramid", "capsule", "star",     "cross", "heart"};
const char *const color_names[N_COLORS] = {"red",  "orange", "yellow", "green", "cyan",
                                           "blue", "purple", "pink",   "white", "black"};
const char *const material_names[N_MATERIALS] = {"matte", "shiny", "striped"};
const char *const ground_names[N_GROUNDS] = {"checkerboard", "wood", "grass",
                                             "sand",         "snow", "brick"};
const char *const sky_names[N_SKIES] = {"day", "sunset", "night", "cloudy"};
const char *const layout_names[N_LAYOUTS] = {"single", "left-right", "front-behind",
                                             "on-top", "row",        "group"};
const char *const size_names[N_SIZES] = {"normal", "small", "large"};

// The colour in which each shape is held out.
static const color held_out_color[N_SHAPES] = {GREEN, PURPLE, PINK,   BLUE,  ORANGE,
                                               CYAN,  WHITE,  YELLOW, BLACK, RED};

// A tenth of the unordered pairs of shape and colour, by a fixed hash; `colors` is how many there are.
static bool pair_held_out(const object *a, const object *b, int colors) {
    unsigned x = (unsigned)a->shape * (unsigned)colors + (unsigned)a->color;
    unsigned y = (unsigned)b->shape * (unsigned)colors + (unsigned)b->color;
    unsigned low = x < y ? x : y, high = x < y ? y : x;
    return lot_hash(low * (uint64_t)(8 * colors) + high + 1u) % 10u == 0u;
}

static void pick_objects(scene *s, const world_rules *rules, uint64_t *state) {
    rules->pick_layout(s, state);
    for (int i = 0; i < s->n_objects; i++) {
        object *o = &s->objects[i];
        o->shape = (shape)lot_pick(state, rules->shapes);
        if (s->layout == ON_TOP && i == 1) { // only a flat top carries something
            o->shape = lot_pick(state, 2) ? CUBE : CYLINDER;
        }
        o->color = (color)lot_pick(state, rules->colors);
        o->material = (material)lot_pick(state, rules->materials);
        o->size_class = rules->pick_size(s->layout, i, state);
        if (s->layout == GROUP && i > 0) {
            *o = s->objects[0];
        }
    }
}

// How many differ: a group's are all alike.
static int n_kinds(const scene *s) {
    return s->layout == GROUP ? 1 : s->n_objects;
}

static void mark_held_out(scene *s, int colors) {
    s->held_out_combo = s->held_out_pair = false;
    for (int i = 0; i < n_kinds(s); i++) {
        const object *o = &s->objects[i];
        s->held_out_combo |= held_out_color[o->shape] == o->color;
        for (int j = 0; j < i; j++) {
            s->held_out_pair |= pair_held_out(o, &s->objects[j], colors);
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

void scene_light_from(scene *s, float azimuth) {
    float height = s->sky == SUNSET ? 0.58f : 0.80f;
    s->to_light = (vec3){sinf(azimuth) * cosf(height), sinf(height), cosf(azimuth) * cosf(height)};
}

void scene_draw_lot(scene *out, world w, uint64_t seed, split from) {
    const world_rules *rules = w == WORLD_RICH ? &rich_world : &plain_world;
    uint64_t state = lot_hash(seed + (w == WORLD_RICH ? 0x51c4u : 0x5ce4e5u));
    *out = (scene){.seed = seed, .ground_off = {8.4f, 8.1f}};
    out->ground = (ground)lot_pick(&state, rules->grounds);
    out->sky = (sky)lot_pick(&state, rules->skies);
    do {
        pick_objects(out, rules, &state);
        mark_held_out(out, rules->colors);
    } while (!objects_allowed(out, from));
    rules->place(out, &state);
}

void scene_write_json_object(const scene *s, FILE *to) {
    fprintf(to, "{\"seed\": %llu, \"layout\": \"%s\", \"ground\": \"%s\", \"sky\": \"%s\", ",
            (unsigned long long)s->seed, layout_names[s->layout], ground_names[s->ground],
            sky_names[s->sky]);
    fprintf(to, "\"held_out_combo\": %s, \"held_out_pair\": %s, \"objects\": [",
            s->held_out_combo ? "true" : "false", s->held_out_pair ? "true" : "false");
    for (int i = 0; i < s->n_objects; i++) {
        const object *o = &s->objects[i];
        fprintf(to,
                "%s{\"shape\": \"%s\", \"color\": \"%s\", \"material\": \"%s\", "
                "\"size\": \"%s\"}",
                i ? ", " : "", shape_names[o->shape], color_names[o->color],
                material_names[o->material], size_names[o->size_class]);
    }
    fputs("]}", to);
}

void scene_write_json(const scene *s, FILE *to) {
    scene_write_json_object(s, to);
    fputc('\n', to);
}

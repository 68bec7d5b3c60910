// Names, drawing scenes by lot, and describing them as JSON.
#include "lots.h"
#include "worlds.h"

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

bool pair_held_out(const object *a, const object *b, int colors) {
    unsigned x = (unsigned)a->shape * (unsigned)colors + (unsigned)a->color;
    unsigned y = (unsigned)b->shape * (unsigned)colors + (unsigned)b->color;
    unsigned low = x < y ? x : y, high = x < y ? y : x;
    return lot_hash(low * (uint64_t)(8 * colors) + high + 1u) % 10u == 0u;
}

void scene_draw_lot(scene *out, world w, uint64_t seed, split from) {
    uint64_t state = lot_hash(seed + (w == WORLD_RICH ? 0x51c4u : 0x5ce4e5u));
    *out = (scene){.seed = seed};
    if (w == WORLD_RICH) {
        rich_draw_lot(out, &state, from);
    } else {
        plain_draw_lot(out, &state, from);
    }
}

void scene_write_json_object(const scene *s, FILE *to) {
    fprintf(to, "{\"seed\": %llu, \"layout\": \"%s\", \"ground\": \"%s\", \"sky\": \"%s\", ",
            (unsigned long long)s->seed, layout_names[s->layout], ground_names[s->ground],
            sky_names[s->sky]);
    fprintf(to, "\"held_out_combo\": %s, \"held_out_pair\": %s, \"objects\": [",
            s->held_out_combo ? "true" : "false", s->held_out_pair ? "true" : "false");
    for (int i = 0; i < s->n_objects; i++) {
        const object *o = &s->objects[i];
        fprintf(to, "%s{\"shape\": \"%s\", \"color\": \"%s\", \"material\": \"%s\", "
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

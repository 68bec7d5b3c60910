// The worlds that the default models learn: what a scene is, and how one is drawn by lot.
//
// A scene follows from its 64-bit seed, the world and the split alone. Shape-colour combinations and
// pairs of objects that are held out never occur in the training split.
#ifndef SCENES_SCENE_H
#define SCENES_SCENE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_OBJECTS = 4 };

// The plain world, that of clips, has what comes first of each kind; the rich one has all.
// clang-format off
typedef enum shape {
    SPHERE, CUBE, CYLINDER, CONE, TORUS, PYRAMID, N_PLAIN_SHAPES,
    CAPSULE = N_PLAIN_SHAPES, STAR, CROSS, HEART, N_SHAPES
} shape;
typedef enum color {
    RED, ORANGE, YELLOW, GREEN, CYAN, BLUE, PURPLE, PINK, N_PLAIN_COLORS,
    WHITE = N_PLAIN_COLORS, BLACK, N_COLORS
} color;
typedef enum material {
    MATTE, SHINY, N_PLAIN_MATERIALS, STRIPED = N_PLAIN_MATERIALS, N_MATERIALS
} material;
typedef enum ground {
    CHECKER, WOOD, GRASS, SAND, N_PLAIN_GROUNDS, SNOW = N_PLAIN_GROUNDS, BRICK, N_GROUNDS
} ground;
typedef enum sky { DAY, SUNSET, NIGHT, N_PLAIN_SKIES, CLOUDY = N_PLAIN_SKIES, N_SKIES } sky;

// How the objects stand: object 0 is the left one, the front one, the upper one. A row has three
// from left to right, a group two to four alike.
typedef enum layout {
    SINGLE, LEFT_RIGHT, FRONT_BEHIND, ON_TOP, N_PLAIN_LAYOUTS, ROW = N_PLAIN_LAYOUTS, GROUP, N_LAYOUTS
} layout;

typedef enum size_class { NORMAL, SMALL, LARGE, N_SIZES } size_class;
// clang-format on

typedef enum world { WORLD_PLAIN, WORLD_RICH } world;

// Which scenes may be drawn. SPLIT_HELD_OUT draws only scenes that training never sees.
typedef enum split { SPLIT_TRAIN, SPLIT_HELD_OUT, SPLIT_ALL } split;

typedef struct vec3 {
    float x, y, z;
} vec3;

typedef struct object {
    shape shape;
    color color;
    material material;
    size_class size_class; // what is said of its size
    vec3 pos;              // the middle of the foot
    float size;            // 1 is usual
    float yaw;             // radians about the vertical
} object;

typedef struct scene {
    uint64_t seed;
    layout layout;
    ground ground;
    sky sky;
    int n_objects;
    object objects[MAX_OBJECTS];
    vec3 eye, target;
    float lens;     // half the picture's width at distance 1
    vec3 to_light;  // unit vector
    float sky_turn; // where the sun or the moon hangs, radians from straight ahead
    float ground_off[2];
    float ground_yaw;
    bool held_out_combo, held_out_pair;
} scene;

extern const char *const shape_names[N_SHAPES];
extern const char *const color_names[N_COLORS];
extern const char *const material_names[N_MATERIALS];
extern const char *const ground_names[N_GROUNDS];
extern const char *const sky_names[N_SKIES];
extern const char *const layout_names[N_LAYOUTS];
extern const char *const size_names[N_SIZES];

// The scene of a seed.
void scene_draw_lot(scene *out, world w, uint64_t seed, split from);

// What the scene shows: as one line of JSON, and without the line's end.
void scene_write_json(const scene *s, FILE *to);
void scene_write_json_object(const scene *s, FILE *to);

// rgb: [size][size][3] bytes, rows from the top.
void scene_render(const scene *s, int size, uint8_t *rgb);

// What is seen at the middle of each cell: ids [size][size] of enum seen, objects by their index.
enum seen { SEEN_OBJECT_0, SEEN_GROUND = 254, SEEN_SKY = 255 };
void scene_ids(const scene *s, int size, uint8_t *ids);

#endif

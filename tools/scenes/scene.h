// The small world that the default models learn: what a scene is, and how one is drawn by lot.
//
// A scene follows from its 64-bit seed and the split alone. Shape-colour combinations and pairs of
// objects that are held out never occur in the training split.
#ifndef SCENES_SCENE_H
#define SCENES_SCENE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_OBJECTS = 4 };

typedef enum shape { SPHERE, CUBE, CYLINDER, CONE, TORUS, PYRAMID, N_SHAPES } shape;
typedef enum color { RED, ORANGE, YELLOW, GREEN, CYAN, BLUE, PURPLE, PINK, N_COLORS } color;
typedef enum material { MATTE, SHINY, N_MATERIALS } material;
typedef enum ground { CHECKER, WOOD, GRASS, SAND, N_GROUNDS } ground;
typedef enum sky { DAY, SUNSET, NIGHT, N_SKIES } sky;

// How the objects stand: object 0 is the left one, the front one, the upper one.
typedef enum layout { SINGLE, LEFT_RIGHT, FRONT_BEHIND, ON_TOP, N_LAYOUTS } layout;

// Which scenes may be drawn. SPLIT_HELD_OUT draws only scenes that training never sees.
typedef enum split { SPLIT_TRAIN, SPLIT_HELD_OUT, SPLIT_ALL } split;

typedef struct vec3 {
    float x, y, z;
} vec3;

typedef struct object {
    shape shape;
    color color;
    material material;
    vec3 pos;   // the middle of the foot
    float size; // 1 is usual
    float yaw;  // radians about the vertical
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

// How far an object of size 1 reaches above its foot.
float shape_height(shape s);

// The scene of a seed.
void scene_draw_lot(scene *out, uint64_t seed, split from);

// What the scene shows: as one line of JSON, and without the line's end.
void scene_write_json(const scene *s, FILE *to);
void scene_write_json_object(const scene *s, FILE *to);

// A number that follows from another one and looks drawn by lot.
uint64_t scene_hash(uint64_t z);

// rgb: [size][size][3] bytes, rows from the top.
void scene_render(const scene *s, int size, uint8_t *rgb);

// What is seen at the middle of each cell: ids [size][size] of enum seen, objects by their index.
enum seen { SEEN_OBJECT_0, SEEN_GROUND = 254, SEEN_SKY = 255 };
void scene_ids(const scene *s, int size, uint8_t *ids);

#endif

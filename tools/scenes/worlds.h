// What differs between worlds when a scene is drawn by lot; scene_draw_lot does the rest.
#ifndef SCENES_WORLDS_H
#define SCENES_WORLDS_H

#include "scene.h"

typedef struct world_rules {
    int shapes, colors, materials, grounds, skies;  // it has the first so many of each kind
    void (*pick_layout)(scene *s, uint64_t *state); // and how many objects there are
    size_class (*pick_size)(layout l, int i, uint64_t *state);
    void (*place)(scene *s, uint64_t *state); // objects, camera and light
} world_rules;

extern const world_rules plain_world, rich_world;

// Light from this side, radians from behind the camera to the right, as high as the sky has it.
void scene_light_from(scene *s, float azimuth);

#endif

// Clips of the small world: a scene in which one object moves, or the camera does.
//
// A clip follows from its 64-bit seed and the split alone. Its objects are those of a scene, so what
// is held out from pictures is held out from clips as well.
#ifndef SCENES_CLIP_H
#define SCENES_CLIP_H

#include "scene.h"

typedef enum motion { LEFT, RIGHT, BOUNCE, SPIN, GROW, SHRINK, ORBIT, N_MOTIONS } motion;

typedef struct clip {
    scene start; // layout SINGLE or LEFT_RIGHT; object `mover` is the one that moves
    motion motion;
    int mover; // 0 when the camera moves
    float reach; // how far, how high or how much of it, near 1
} clip;

extern const char *const motion_names[N_MOTIONS];

// The clip of a seed.
void clip_draw_lot(clip *out, uint64_t seed, split from);

// The scene at a moment: 0 is the first frame, 1 the last.
void clip_scene_at(const clip *c, float moment, scene *out);

// One line of JSON that says what the clip shows.
void clip_write_json(const clip *c, FILE *to);

#endif

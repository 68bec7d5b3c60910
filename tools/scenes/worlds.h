// How scenes of each world are drawn by lot; scene_draw_lot is what others call.
#ifndef SCENES_WORLDS_H
#define SCENES_WORLDS_H

#include "scene.h"

void plain_draw_lot(scene *out, uint64_t *state, split from);
void rich_draw_lot(scene *out, uint64_t *state, split from);

// A tenth of the unordered pairs of shape and colour, by a fixed hash; `colors` is how many there are.
bool pair_held_out(const object *a, const object *b, int colors);

#endif

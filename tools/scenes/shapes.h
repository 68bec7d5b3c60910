// The shapes of objects as signed distances.
#ifndef SCENES_SHAPES_H
#define SCENES_SHAPES_H

#include "scene.h"

// How far an object of size 1 reaches above its foot.
float shape_height(shape s);

// From a point to the object's surface, below 0 inside; not less than the way, or a little less.
float object_distance(const object *o, vec3 at);

// The unit normal of the surface near a point.
vec3 object_normal(const object *o, vec3 at);

// A sphere round the object.
float bound_radius(const object *o);
vec3 bound_center(const object *o);

#endif

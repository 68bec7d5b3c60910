// Compiled by C and GLSL: where the packed copy of a result lies.
#ifndef HT_COPY_LAYOUT_H
#define HT_COPY_LAYOUT_H

// Behind the floats, at a multiple of this many bytes.
#define HT_COPY_ALIGNMENT 256

#endif

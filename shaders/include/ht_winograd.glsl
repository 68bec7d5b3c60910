// Winograd's F(4 x 4, 3 x 3): 16 results of a 3 x 3 convolution from 36 products instead of 144
//   Y = A^T [ (G g G^T) * (B^T d B) ] A      d 6 x 6 pixels, g 3 x 3 taps, Y 4 x 4 results
// (Lavin and Gray, arXiv:1509.09308), with the points 0, +-sqrt(1/2), +-sqrt(2) and infinity, whose
// rounding errors are half of those of 0, +-1, +-2: 5.0 times a direct sum's (test_conv2d.c).
// The kernels take gemm's push constants; band is the first tile, tiles_m how many.
#ifndef HT_WINOGRAD_GLSL
#define HT_WINOGRAD_GLSL

#include "ht_packed.glsl"
#include "gemm.shared.h"
#include "ht_epilogue.glsl"

layout(local_size_x_id = 0) in;

const float A = 0.70710678; // of the points; B = 2 A
const float B = 1.41421356;

struct Tile {
    uint image, y, x; // of its first result
};

Tile tile_of(uint number) {
    uint across = (push.out_w + 3u) / 4u;
    uint down = (push.out_h + 3u) / 4u;
    uint line = number / across;
    uint image = line / down;
    return Tile(image, (line - image * down) * 4u, (number - line * across) * 4u);
}

// Where a kernel's invocation is: HT_GROUP counts workgroups; quads of values are the fast index.
uint invocation() { return HT_GROUP * gl_WorkGroupSize.x + gl_LocalInvocationID.x; }

#endif

// Push constants of the gemm kernels, which serve linear (a picture one row high under a 1x1
// kernel) and conv2d:  result[m, n] = epilogue(sum over taps and k of x[pixel(m, tap), k] w[n, tap, k])
#ifndef GEMM_SHARED_H
#define GEMM_SHARED_H

#include "ht_shared.h"

// Tile of gemm_tiles, and its invocations.
#define HT_GEMM_TILE_M 64
#define HT_GEMM_TILE_N 64
#define HT_GEMM_TILE_INVOCATIONS 128
// Of gemm_few, and the rows of x that it is for.
#define HT_GEMM_FEW_INVOCATIONS 64
#define HT_GEMM_FEW_ROWS 8

HT_PUSH(gemm) {
    HT_ADDRESS x;        // [batch, in_h, in_w, depth]
    HT_ADDRESS w;        // [columns, kernel_h, kernel_w, depth]
    HT_ADDRESS result;   // [rows, columns]
    HT_ADDRESS bias;     // [columns] f32; 0: none
    HT_ADDRESS gate;     // [rows / rows_per_gate, columns]; 0: none
    HT_ADDRESS residual; // [rows, columns]; 0: none. Of a packed result: its scales
    HT_UINT rows;        // batch * out_h * out_w
    HT_UINT columns;
    HT_UINT depth; // channels of x
    HT_UINT kernel_h, kernel_w;
    HT_UINT in_h, in_w; // as stored, before upsampling
    HT_UINT out_h, out_w;
    HT_UINT stride, upsample;
    HT_INT pad_top, pad_left;
    HT_UINT rows_per_gate;
    HT_UINT tiles_m, tiles_n;
    HT_UINT band; // row tiles that are walked before the next column tile
    // Packed formats: bytes from the start of x or w.
    HT_UINT x_scales, w_scales;
    HT_UINT w_extra; // zero points, or the scale of the tensor
}
HT_PUSH_END(gemm);

#endif

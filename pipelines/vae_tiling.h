// Overlapping tiles along rows and columns: where they lie, and how their results become one.
#ifndef HT_PIPELINES_VAE_TILING_H
#define HT_PIPELINES_VAE_TILING_H

#include "pipeline_internal.h"

// Along rows or columns, in latents. Tiles of one size, evenly spread.
typedef struct ht_axis {
    uint32_t size, tile, count;
} ht_axis;

typedef struct ht_tiling {
    ht_axis rows, columns;
    uint32_t in_scale, out_scale; // values per latent along an axis
    uint32_t in_channels, channels;
} ht_tiling;

ht_axis ht_axis_overlapping(uint32_t size, uint32_t tile);
// Side by side, so that no place counts twice in the statistics (but a few where the size is no
// multiple).
ht_axis ht_axis_beside(uint32_t size, uint32_t tile);

// Tile (i, j) of the input, into `piece`.
void ht_tiling_cut(const ht_tiling *t, const float *in, uint32_t i, uint32_t j, float *piece);
// Add its share to the result, which begins as zeros; those of all tiles sum to 1 everywhere.
void ht_tiling_add(const ht_tiling *t, const float *tile, uint32_t i, uint32_t j, float *out);

#endif

// Tiles of one size, evenly spread; the outer parts of what two of them have in common are thrown away.
#include "vae_tiling.h"

#include <string.h>

// Neighbouring tiles have at least this many latents in common, or half a tile: the last layers of a
// decoder of four levels look about eight latents far.
enum { OVERLAP = 16 };

ht_axis ht_axis_overlapping(uint32_t size, uint32_t tile) {
    uint32_t overlap = tile / 4 > OVERLAP ? tile / 4 : OVERLAP;
    overlap = overlap < tile / 2 ? overlap : tile / 2;
    const uint32_t step = tile - overlap;
    return size <= tile ? (ht_axis){size, size, 1}
                        : (ht_axis){size, tile, 1 + (size - overlap - 1) / step};
}

ht_axis ht_axis_beside(uint32_t size, uint32_t tile) {
    const uint32_t count = (size + tile - 1) / tile;
    return (ht_axis){size, (size + count - 1) / count, count};
}

static uint32_t start(const ht_axis *a, uint32_t i) {
    return a->count == 1 ? 0 : (uint32_t)((uint64_t)i * (a->size - a->tile) / (a->count - 1));
}

// How far tile i has come in at a place (in latents): 0 to 1 over the middle half of what it has in
// common with the tile before.
static float rise(const ht_axis *a, uint32_t i, float place) {
    if (i == 0 || i == a->count) {
        return i == 0 ? 1.0f : 0.0f;
    }
    const float begin = (float)start(a, i), end = (float)(start(a, i - 1) + a->tile);
    const float r = (place - begin - (end - begin) / 4) / ((end - begin) / 2);
    return r < 0 ? 0 : r > 1 ? 1 : r;
}

// Share of tile i in the value at `at` of its result; those of all tiles sum to 1.
static float share(const ht_axis *a, uint32_t i, uint32_t at, uint32_t scale) {
    const float place = (float)start(a, i) + ((float)at + 0.5f) / (float)scale;
    return rise(a, i, place) - rise(a, i + 1, place);
}

void ht_tiling_cut(const ht_tiling *t, const float *in, uint32_t i, uint32_t j, float *piece) {
    const uint32_t height = t->rows.tile * t->in_scale, width = t->columns.tile * t->in_scale;
    const size_t y = (size_t)start(&t->rows, i) * t->in_scale,
                 x = (size_t)start(&t->columns, j) * t->in_scale;
    const size_t row = (size_t)t->columns.size * t->in_scale;
    for (uint32_t r = 0; r < height; ++r) {
        memcpy(piece + (size_t)r * width * t->in_channels,
               in + ((y + r) * row + x) * t->in_channels,
               (size_t)width * t->in_channels * sizeof(*piece));
    }
}

void ht_tiling_add(const ht_tiling *t, const float *tile, uint32_t i, uint32_t j, float *out) {
    const uint32_t height = t->rows.tile * t->out_scale, width = t->columns.tile * t->out_scale;
    const size_t y = (size_t)start(&t->rows, i) * t->out_scale,
                 x = (size_t)start(&t->columns, j) * t->out_scale;
    const size_t row = (size_t)t->columns.size * t->out_scale;
    for (uint32_t r = 0; r < height; ++r) {
        const float down = share(&t->rows, i, r, t->out_scale);
        for (uint32_t c = 0; c < width && down > 0; ++c) {
            const float w = down * share(&t->columns, j, c, t->out_scale);
            const float *from = tile + ((size_t)r * width + c) * t->channels;
            float *to = out + ((y + r) * row + x + c) * t->channels;
            for (uint32_t k = 0; k < t->channels && w > 0; ++k) {
                to[k] += w * from[k];
            }
        }
    }
}

// Overlapping tiles as diffusers lays them: steps of three quarters, the overlap blended linearly
// with the tile above, then with the tile to the left.
#include "pipeline_internal.h"

#include <string.h>

// Everything in the units of its side: "in" is what the VAE reads, "out" what it writes.
typedef struct tiling {
    bool encoder;
    uint32_t height, width; // of the input
    uint32_t tile, step;    // of the input
    uint32_t factor;
    uint32_t blend, keep;           // of the output
    uint32_t in_channels, channels; // of input and output
    uint32_t out_width;
} tiling;

// One finished tile.
typedef struct tile {
    uint32_t height, width;
    float *values;
} tile;

static uint32_t out_size(const tiling *t, uint32_t in) {
    return t->encoder ? in / t->factor : in * t->factor;
}

static tiling plan(const ht_vae_config *vae, bool encoder, uint32_t height, uint32_t width) {
    uint32_t factor = ht_vae_factor(vae), z = vae->latent_channels;
    uint32_t pixels = vae->sample_size, latents = pixels / factor;
    uint32_t in = encoder ? pixels : latents, out = encoder ? latents : pixels;
    tiling t = {
        .encoder = encoder,
        .height = height,
        .width = width,
        .tile = in,
        .step = in * 3 / 4,
        .factor = factor,
        .blend = out / 4,
        .in_channels = encoder ? 3 : z,
        .channels = encoder ? ht_vae_moments(vae) : 3,
    };
    t.keep = out - t.blend;
    t.out_width = out_size(&t, width);
    return t;
}

// b[y] = a[end - blend + y] * (1 - y / blend) + b[y] * y / blend, along rows or columns.
static void blend(const tiling *t, const tile *a, tile *b, bool rows) {
    uint32_t extent = t->blend, along = rows ? b->height : b->width;
    uint32_t before = rows ? a->height : a->width;
    extent = extent < along ? extent : along;
    extent = extent < before ? extent : before;
    for (uint32_t i = 0; i < extent; ++i) {
        float w = (float)i / (float)extent;
        uint32_t across = rows ? b->width : b->height;
        for (uint32_t j = 0; j < across; ++j) {
            uint32_t ay = rows ? before - extent + i : j, ax = rows ? j : before - extent + i;
            uint32_t by = rows ? i : j, bx = rows ? j : i;
            const float *from = a->values + ((size_t)ay * a->width + ax) * t->channels;
            float *to = b->values + ((size_t)by * b->width + bx) * t->channels;
            for (uint32_t c = 0; c < t->channels; ++c) {
                to[c] = from[c] * (1 - w) + to[c] * w;
            }
        }
    }
}

static ht_status run_tile(ht_pipeline *p, ht_vae_stage *s, const tiling *t, const float *in,
                          uint32_t y, uint32_t x, float *piece, tile *out) {
    uint32_t height = t->height - y < t->tile ? t->height - y : t->tile;
    uint32_t width = t->width - x < t->tile ? t->width - x : t->tile;
    for (uint32_t r = 0; r < height; ++r) {
        memcpy(piece + (size_t)r * width * t->in_channels,
               in + ((size_t)(y + r) * t->width + x) * t->in_channels,
               (size_t)width * t->in_channels * sizeof(*piece));
    }
    out->height = out_size(t, height);
    out->width = out_size(t, width);
    return ht_vae_whole(p, s, t->encoder, piece, height, width, out->values);
}

// The part of a tile that stays, into the result.
static void place(const tiling *t, const tile *from, uint32_t row, uint32_t column, float *out) {
    uint32_t height = from->height < t->keep ? from->height : t->keep;
    uint32_t width = from->width < t->keep ? from->width : t->keep;
    for (uint32_t r = 0; r < height; ++r) {
        memcpy(out + ((size_t)(row * t->keep + r) * t->out_width + column * t->keep) * t->channels,
               from->values + (size_t)r * from->width * t->channels,
               (size_t)width * t->channels * sizeof(*out));
    }
}

static ht_status run_rows(ht_pipeline *p, ht_vae_stage *s, const tiling *t, const float *in,
                          float *piece, tile *rows[2], uint32_t columns, float *out) {
    for (uint32_t y = 0, row = 0; y < t->height; y += t->step, ++row) {
        tile *above = rows[(row + 1) % 2], *here = rows[row % 2];
        for (uint32_t i = 0; i < columns; ++i) {
            ht_status status = run_tile(p, s, t, in, y, i * t->step, piece, &here[i]);
            if (status != HT_OK) {
                return status;
            }
        }
        for (uint32_t i = 0; i < columns; ++i) { // in place: neighbours are blended already
            if (row > 0) {
                blend(t, &above[i], &here[i], true);
            }
            if (i > 0) {
                blend(t, &here[i - 1], &here[i], false);
            }
            place(t, &here[i], row, i, out);
        }
    }
    return HT_OK;
}

ht_status ht_vae_tiled(ht_pipeline *p, ht_vae_stage *s, bool encoder, const float *in,
                       uint32_t height, uint32_t width, float *out) {
    const tiling t = plan(&s->config, encoder, height, width);
    uint32_t columns = (width + t.step - 1) / t.step;
    uint32_t edge = out_size(&t, t.tile);
    size_t tile_values = (size_t)edge * edge * t.channels;
    size_t piece_values = (size_t)t.tile * t.tile * t.in_channels;
    tile *tiles = ht_alloc(p->context, 2 * columns * sizeof(*tiles));
    float *store =
        ht_alloc(p->context, (2 * columns * tile_values + piece_values) * sizeof(*store));
    ht_status status = HT_ERR_NO_MEMORY;
    if (tiles && store) {
        for (uint32_t i = 0; i < 2 * columns; ++i) {
            tiles[i].values = store + piece_values + i * tile_values;
        }
        status = run_rows(p, s, &t, in, store, (tile *[]){tiles, tiles + columns}, columns, out);
    }
    ht_free(p->context, tiles);
    ht_free(p->context, store);
    return status;
}

// Clips through a video autoencoder by overlapping tiles. Its global layers run over the whole of each
// latent frame, the local ones by tiles, each of which goes through the whole clip: what its convolutions
// remember of the frames before is of one tile only, so that memory grows neither with the clip nor with
// its pictures. Norms are of one place each, so what tiles do not see beyond their edges is all that
// differs from one run, and those edges are thrown away. Not so of CogVideoX's, which has local layers only,
// but group norms: those of a tile are its own, as in the reference where it tiles.
#include "vae_tiling.h"

#include <string.h>

enum { LARGEST = 3 }; // times the usual tile's edge

// Edge in latents of the largest tiles that fit.
static uint32_t choose_tile(const ht_run *run, const ht_vae_stage *stage) {
    const uint32_t tile = stage->config.sample_size / ht_vae_factor(&stage->config);
    uint32_t times = LARGEST;
    while (times > 1 && !ht_vae_fits(run->pipeline, stage, tile * times, tile * times)) {
        --times;
    }
    return tile * times;
}

bool ht_clip_can_tile(const ht_run *run, const ht_vae_stage *stage) {
    const uint32_t tile = stage->config.sample_size / ht_vae_factor(&stage->config);
    return !stage->config.tiny && // which is made to be small
           (run->latent_height > tile || run->latent_width > tile);
}

bool ht_clip_fits(const ht_run *run, const ht_vae_stage *stage) {
    return !ht_clip_can_tile(run, stage) ||
           ht_vae_fits(run->pipeline, stage, run->latent_height, run->latent_width);
}

// One piece of the VAE over all latent frames.
typedef struct pass {
    ht_run *run;
    ht_vae_stage *stage;
    ht_vae_work work; // its size is a tile's
    ht_tiling tiling;
    bool spreads_in, spreads_out; // frames in, or out, are four of all latent frames but the first
    uint32_t latent_frames;
} pass;

static pass plan(ht_run *run, ht_vae_stage *stage, bool encoder, ht_vae_piece piece,
                 uint32_t latent_frames) {
    const ht_vae_config *c = &stage->config;
    const bool local = piece != VAE_GLOBAL;
    const uint32_t tile = local ? choose_tile(run, stage) : UINT32_MAX;
    pass p = {.run = run,
              .stage = stage,
              .work = {.piece = piece, .encoder = encoder},
              .spreads_in = local && encoder,
              .spreads_out = local && !encoder,
              .latent_frames = latent_frames};
    p.tiling = (ht_tiling){.rows = ht_axis_overlapping(run->latent_height, tile),
                           .columns = ht_axis_overlapping(run->latent_width, tile),
                           .in_scale = p.spreads_in ? ht_vae_factor(c) : 1,
                           .out_scale = p.spreads_out ? ht_vae_factor(c) : 1,
                           .in_channels = ht_vae_channels_in(c, &p.work),
                           .channels = ht_vae_channels_out(c, &p.work)};
    p.work.height = p.tiling.rows.tile;
    p.work.width = p.tiling.columns.tile;
    return p;
}

static size_t area(const ht_axis *rows, const ht_axis *columns, bool tile, uint32_t scale) {
    return (tile ? (size_t)rows->tile * columns->tile : (size_t)rows->size * columns->size) *
           scale * scale;
}

// Of a piece.
static uint32_t most_frames(const ht_vae_config *c) {
    return HT_CLIP_TIMES * (c->piece > 1 ? c->piece + 1 : 1);
}

// Tile (i, j) of all latent frames; `work` holds a tile's frames in and out.
static ht_status run_tile(const pass *p, ht_clip_stage *clip, uint32_t i, uint32_t j,
                          const float *const *pieces, float *work, float *out) {
    const ht_tiling *t = &p->tiling;
    const size_t in_tile = area(&t->rows, &t->columns, true, t->in_scale) * t->in_channels;
    const size_t out_tile = area(&t->rows, &t->columns, true, t->out_scale) * t->channels;
    const size_t in_frame = area(&t->rows, &t->columns, false, t->in_scale) * t->in_channels;
    const size_t out_frame = area(&t->rows, &t->columns, false, t->out_scale) * t->channels;
    const ht_vae_config *c = &p->stage->config;
    float *results = work + in_tile * most_frames(c);
    ht_status status =
        ht_clip_restart(clip, &p->work, ht_clip_piece_latents(c, p->latent_frames, 0));
    for (uint32_t done = 0; done < p->latent_frames && status == HT_OK;) {
        const uint32_t latents = ht_clip_piece_latents(c, p->latent_frames, done);
        const uint32_t frames = ht_clip_piece_frames(latents, done == 0);
        const uint32_t in_count = p->spreads_in ? frames : latents;
        const uint32_t out_count = p->spreads_out ? frames : latents;
        for (uint32_t f = 0; f < in_count; ++f) {
            const float *frame = p->spreads_in ? pieces[done] + f * in_frame : pieces[done + f];
            ht_tiling_cut(t, frame, i, j, work + f * in_tile);
        }
        status = ht_clip_run_piece(p->run, p->stage, clip, done == 0, work, results);
        done += latents;
        for (uint32_t f = 0; f < out_count && status == HT_OK; ++f) {
            ht_tiling_add(t, results + f * out_tile, i, j, out);
            out += out_frame;
        }
    }
    return status;
}

// `out`: all frames, one after another.
static ht_status run_pass(const pass *p, const float *const *pieces, float *out) {
    const ht_tiling *t = &p->tiling;
    ht_context *context = p->run->pipeline->context;
    const uint32_t tiles = t->rows.count * t->columns.count, n = p->latent_frames;
    const uint32_t frames = p->spreads_out ? (n - 1) * HT_CLIP_TIMES + 1 : n;
    const size_t in_tile = area(&t->rows, &t->columns, true, t->in_scale) * t->in_channels;
    const size_t out_tile = area(&t->rows, &t->columns, true, t->out_scale) * t->channels;
    const size_t out_frame = area(&t->rows, &t->columns, false, t->out_scale) * t->channels;
    ht_clip_stage clip = {0}; // released at once: it is large
    const uint32_t most = most_frames(&p->stage->config);
    float *work = ht_alloc(context, (in_tile + out_tile) * most * sizeof(*work));
    ht_status status = work ? HT_OK : HT_ERR_NO_MEMORY;
    memset(out, 0, frames * out_frame * sizeof(*out));
    for (uint32_t tile = 0; tile < tiles && status == HT_OK; ++tile) {
        status =
            run_tile(p, &clip, tile / t->columns.count, tile % t->columns.count, pieces, work, out);
        if (status == HT_OK && p->spreads_out && p->run->phase == HT_PHASE_DECODE) {
            status = ht_run_step(p->run, frames * (tile + 1) / tiles, frames, NULL);
        }
    }
    ht_clip_release(&clip);
    ht_free(context, work);
    return status;
}

static void announce(const pass *p) {
    const ht_tiling *t = &p->tiling;
    const uint32_t factor = ht_vae_factor(&p->stage->config);
    ht_log(p->run->pipeline->context, HT_LOG_INFO,
           "vae: %u x %u in %u tiles of %u x %u pixels to save memory", p->run->width,
           p->run->height, t->rows.count * t->columns.count, t->columns.tile * factor,
           t->rows.tile * factor);
    p->run->report->tiled = true;
}

// A clip's local layers by tiles, and its global ones before or behind them.
static ht_status run_both(ht_run *run, ht_vae_stage *stage, bool encoder,
                          const float *const *pieces, uint32_t latent_frames, float *out) {
    ht_context *context = run->pipeline->context;
    const pass first = plan(run, stage, encoder, encoder ? VAE_LOCAL : VAE_GLOBAL, latent_frames);
    const pass second = plan(run, stage, encoder, encoder ? VAE_GLOBAL : VAE_LOCAL, latent_frames);
    const size_t frame =
        (size_t)run->latent_height * run->latent_width * ht_vae_features(&stage->config);
    const float **between = ht_alloc(context, latent_frames * sizeof(*between));
    float *features = ht_alloc(context, latent_frames * frame * sizeof(*features));
    ht_status status = between && features ? HT_OK : HT_ERR_NO_MEMORY;
    announce(encoder ? &first : &second);
    for (uint32_t i = 0; i < latent_frames && status == HT_OK; ++i) {
        between[i] = features + i * frame;
    }
    if (status == HT_OK) {
        status = run_pass(&first, pieces, features);
    }
    if (status == HT_OK) {
        status = run_pass(&second, between, out);
    }
    ht_free(context, between);
    ht_free(context, features);
    return status;
}

ht_status ht_clip_tiled(ht_run *run, ht_vae_stage *stage, bool encoder, const float *const *pieces,
                        uint32_t latent_frames, float *out) {
    if (stage->config.piece == 1) {
        return run_both(run, stage, encoder, pieces, latent_frames, out);
    }
    const pass all = plan(run, stage, encoder, VAE_WHOLE, latent_frames);
    announce(&all);
    return run_pass(&all, pieces, out);
}

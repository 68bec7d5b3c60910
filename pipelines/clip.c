// Clips: what a run of a video model can be, and its latent frames to pictures, piece by piece.
#include "pipeline_internal.h"

#include "autoencoder_tiny.h"

#include <math.h>
#include <string.h>

uint32_t ht_clip_latent_frames(uint32_t frames) {
    return (frames - 1) / HT_CLIP_TIMES + 1;
}

// A clip is its first frame and whole pieces.
static uint32_t frames_at_once(const ht_pipeline *p) {
    return HT_CLIP_TIMES * (p->vae.config.piece > 0 ? p->vae.config.piece : 1);
}

uint32_t ht_clip_frames(const ht_pipeline *p, uint32_t asked) {
    return (asked - 1) / frames_at_once(p) * frames_at_once(p) + 1;
}

ht_status ht_pipeline_frames(ht_pipeline *p, uint32_t *frames) {
    uint32_t asked = *frames > 0 ? *frames : 1;
    if (asked > 1 && p->info.frames == 0) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "this model (%s) makes pictures, not clips; give --model a video model "
                       "(WanPipeline, CogVideoXPipeline)",
                       p->info.class_name);
    }
    if (asked > HT_MAX_FRAMES) {
        return ht_fail(p->context, HT_ERR_INVALID, "%u frames, at most %d are possible", asked,
                       HT_MAX_FRAMES);
    }
    *frames = ht_clip_frames(p, asked);
    if (*frames != asked) {
        ht_log(p->context, HT_LOG_WARN, "%u frames rounded to %u, one more than a multiple of %u",
               asked, *frames, frames_at_once(p));
    }
    return HT_OK;
}

ht_status ht_clip_check(ht_run *run) {
    const ht_generate_params *params = run->params;
    const ht_hires *hires = &params->hires;
    const char *class_name = run->pipeline->info.class_name;
    ht_context *context = run->pipeline->context;
    const bool second = hires->scale > 0 || hires->width > 0 || hires->height > 0;
    const bool begins = ht_clip_needs_picture(run->pipeline);
    const char *what = params->init && !run->pipeline->info.begins_with_picture
                           ? "an initial picture"
                       : params->mask    ? "a mask"
                       : params->control ? "a ControlNet"
                       : second          ? "a second pass"
                                         : NULL;
    if (what) {
        return ht_fail(context, HT_ERR_INVALID,
                       "%s is not possible with this model (%s), which makes clips", what,
                       class_name);
    }
    if (begins && !params->init) {
        return ht_fail(context, HT_ERR_INVALID,
                       "this model (%s) makes clips that begin with a picture: it needs an initial "
                       "picture (--init-image)",
                       class_name);
    }
    return HT_OK;
}

// Latent frame `index` as the VAE has it, [h, w, C].
static void pick_latent(const ht_run *run, const ht_vae_config *c, const float *latent,
                        uint32_t index, float *out) {
    size_t positions = (size_t)run->latent_height * run->latent_width;
    for (uint32_t k = 0; k < c->latent_channels; ++k) {
        const float *plane = latent + ht_latent_plane(run, k, index);
        for (size_t i = 0; i < positions; ++i) {
            out[i * c->latent_channels + k] = plane[i] * c->deviation[k] + c->mean[k];
        }
    }
    if (c->tiny) {
        ht_tiny_clamp(out, positions * c->latent_channels);
    }
}

// A piece's frames to pictures, `count` of them; *finite: are all values numbers?
static ht_status take_frames(ht_run *run, const float *frames, uint32_t count, ht_image *images,
                             bool *finite) {
    size_t values = (size_t)run->width * run->height * 3;
    ht_status status = HT_OK;
    for (uint32_t f = 0; f < count && status == HT_OK; ++f) {
        const float *frame = frames + f * values;
        for (size_t i = 0; i < values; ++i) {
            *finite = *finite && isfinite(frame[i]);
        }
        status = ht_image_create(run->pipeline->context, run->width, run->height, &images[f]);
        if (status == HT_OK) {
            ht_image_from_floats(frame, &images[f]);
        }
    }
    return status;
}

// One piece after the other. `work` holds the latents of a piece and behind them its frames.
static ht_status decode_pieces(ht_run *run, ht_vae_stage *stage, const float *latent,
                               uint32_t count, float *work, ht_image *images, bool *finite) {
    const ht_vae_config *c = &stage->config;
    const size_t plane = (size_t)run->latent_height * run->latent_width * c->latent_channels;
    const uint32_t all = ht_clip_latent_frames(count), first = ht_clip_piece_latents(c, all, 0);
    float *frames = work + first * plane;
    uint32_t made = 0;
    const ht_vae_work whole = {VAE_WHOLE, false, run->latent_height, run->latent_width};
    ht_status status = ht_clip_restart(&stage->clip, &whole, first);
    for (uint32_t done = 0; done < all && status == HT_OK;) {
        const uint32_t latents = ht_clip_piece_latents(c, all, done);
        for (uint32_t i = 0; i < latents; ++i) {
            pick_latent(run, c, latent, done + i, work + i * plane);
        }
        status = ht_clip_run_piece(run, stage, &stage->clip, done == 0, work, frames);
        if (status == HT_OK) {
            const uint32_t more = ht_clip_piece_frames(latents, done == 0);
            status = take_frames(run, frames, more, images + made, finite);
            made += more;
            done += latents;
        }
        if (status == HT_OK && run->phase == HT_PHASE_DECODE) {
            status = ht_run_step(run, made, count, NULL);
        }
    }
    return status;
}

// All frames at once, by tiles.
static ht_status decode_tiles(ht_run *run, ht_vae_stage *stage, const float *latent, uint32_t count,
                              ht_image *images, bool *finite) {
    ht_context *context = run->pipeline->context;
    const size_t frame = (size_t)run->width * run->height * 3;
    const uint32_t pieces = ht_clip_latent_frames(count);
    const size_t plane =
        (size_t)run->latent_height * run->latent_width * stage->config.latent_channels;
    float *work = ht_alloc(context, (pieces * plane + count * frame) * sizeof(*work));
    const float **in = ht_alloc(context, pieces * sizeof(*in));
    ht_status status = work && in ? HT_OK : HT_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < pieces && status == HT_OK; ++i) {
        in[i] = work + i * plane;
        pick_latent(run, &stage->config, latent, i, work + i * plane);
    }
    if (status == HT_OK) {
        status = ht_clip_tiled(run, stage, false, in, pieces, work + pieces * plane);
    }
    if (status == HT_OK) {
        status = take_frames(run, work + pieces * plane, count, images, finite);
    }
    ht_free(context, in);
    ht_free(context, work);
    return status;
}

static ht_status decode_whole(ht_run *run, ht_vae_stage *stage, const float *latent, uint32_t count,
                              ht_image *images, bool *finite) {
    ht_context *context = run->pipeline->context;
    const uint32_t most = stage->config.piece > 1 ? stage->config.piece + 1 : 1; // of the first
    const size_t pixels = (size_t)run->width * run->height * 3 * HT_CLIP_TIMES * most;
    const size_t latents =
        (size_t)run->latent_height * run->latent_width * stage->config.latent_channels * most;
    float *work = ht_alloc(context, (pixels + latents) * sizeof(*work));
    ht_status status =
        work ? decode_pieces(run, stage, latent, count, work, images, finite) : HT_ERR_NO_MEMORY;
    ht_free(context, work);
    if (status != HT_OK || !*finite) {
        ht_clip_release(&stage->clip);
    }
    return status;
}

const float *ht_clip_channels_first(ht_run *run, const float *latent) {
    const size_t plane = (size_t)run->latent_height * run->latent_width;
    const uint32_t channels = run->pipeline->vae.config.latent_channels;
    for (uint32_t i = 0; i < channels * run->latent_frames; ++i) {
        const uint32_t channel = i / run->latent_frames, frame = i % run->latent_frames;
        memcpy(run->work + i * plane, latent + ht_latent_plane(run, channel, frame),
               plane * sizeof(*latent));
    }
    return run->work;
}

static void clear(ht_run *run, uint32_t count, ht_image *images) {
    for (uint32_t i = 0; i < count; ++i) {
        ht_image_clear(run->pipeline->context, &images[i]);
    }
}

// In one run when it fits, else, or when memory runs out all the same, by tiles.
ht_status ht_clip_decode(ht_run *run, ht_vae_stage *stage, const float *latent, uint32_t count,
                         ht_image *images) {
    ht_pipeline *p = run->pipeline;
    bool finite = true;
    memset(images, 0, count * sizeof(*images)); // what is cleared below may not have been made yet
    ht_status status = ht_part_open(p, stage->part);
    if (status != HT_OK) {
        return status;
    }
    const bool whole = ht_clip_fits(run, stage);
    if (whole) {
        status = decode_whole(run, stage, latent, count, images, &finite);
    }
    if ((status == HT_ERR_NO_MEMORY && ht_clip_can_tile(run, stage)) || !whole) {
        clear(run, count, images);
        finite = true;
        status = decode_tiles(run, stage, latent, count, images, &finite);
    }
    if (status == HT_OK && finite) {
        return status;
    }
    clear(run, count, images);
    if (status != HT_OK) {
        return status;
    }
    if (stage->activations == HT_FORMAT_F16 && p->options.activations == HT_FORMAT_NONE) {
        ht_log(p->context, HT_LOG_INFO, "the VAE leaves the range of f16; again in f32");
        stage->activations = HT_FORMAT_F32;
        return ht_clip_decode(run, stage, latent, count, images);
    }
    return ht_fail(p->context, HT_ERR_UNSUPPORTED, "the VAE gave values that are not numbers");
}

ht_status ht_clip_preview(ht_run *run, ht_vae_stage *stage, const float *latent, ht_image *image) {
    ht_context *context = run->pipeline->context;
    if (!stage->config.tiny) { // the first costs least
        return ht_clip_decode(run, stage, latent, 1, image);
    }
    const uint32_t count = ht_clip_frames(run->pipeline, run->frames / 2 + 1);
    ht_image *frames = ht_alloc(context, count * sizeof(*frames));
    ht_status status =
        frames ? ht_clip_decode(run, stage, latent, count, frames) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        *image = frames[count - 1];
        clear(run, count - 1, frames);
    }
    ht_free(context, frames);
    return status;
}

// Clips: what a run of a video model can be, and its latent frames to pictures, piece by piece.
#include "pipeline_internal.h"

#include <math.h>

uint32_t ht_clip_latent_frames(uint32_t frames) {
    return (frames - 1) / HT_WAN_VAE_TIMES + 1;
}

uint32_t ht_clip_frames(uint32_t asked) {
    return (asked - 1) / HT_WAN_VAE_TIMES * HT_WAN_VAE_TIMES + 1;
}

ht_status ht_pipeline_frames(ht_pipeline *p, uint32_t *frames) {
    uint32_t asked = *frames > 0 ? *frames : 1;
    if (asked > 1 && p->info.frames == 0) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "this model (%s) makes pictures, not clips; give --model a video model "
                       "(WanPipeline)",
                       p->info.class_name);
    }
    if (asked > HT_MAX_FRAMES) {
        return ht_fail(p->context, HT_ERR_INVALID, "%u frames, at most %d are possible", asked,
                       HT_MAX_FRAMES);
    }
    *frames = ht_clip_frames(asked);
    if (*frames != asked) {
        ht_log(p->context, HT_LOG_WARN, "%u frames rounded to %u, one more than a multiple of %d",
               asked, *frames, HT_WAN_VAE_TIMES);
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
    const char *what = params->mask      ? "a mask"
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

// Latent frame `index` of z [C, frames, h, w] as the VAE has it, [h, w, C].
static void pick_latent(const ht_run *run, const ht_vae_config *c, const float *latent,
                        uint32_t index, float *out) {
    size_t positions = (size_t)run->latent_height * run->latent_width;
    for (uint32_t k = 0; k < c->latent_channels; ++k) {
        const float *plane = latent + ((size_t)k * run->latent_frames + index) * positions;
        for (size_t i = 0; i < positions; ++i) {
            out[i * c->latent_channels + k] = plane[i] * c->deviation[k] + c->mean[k];
        }
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

// One piece after the other. `work` holds a latent frame and behind it the frames of a piece.
static ht_status decode_pieces(ht_run *run, ht_vae_stage *stage, const float *latent,
                               uint32_t count, float *work, ht_image *images, bool *finite) {
    float *frames =
        work + (size_t)run->latent_height * run->latent_width * stage->config.latent_channels;
    uint32_t made = 0;
    ht_status status =
        ht_clip_restart(stage, &stage->clip, false, run->latent_height, run->latent_width);
    for (uint32_t i = 0; made < count && status == HT_OK; ++i) {
        const uint32_t more = i > 0 ? HT_WAN_VAE_TIMES : 1;
        pick_latent(run, &stage->config, latent, i, work);
        status = ht_clip_run_piece(run, stage, &stage->clip, i == 0, work, frames);
        if (status == HT_OK) {
            status = take_frames(run, frames, more, images + made, finite);
            made += more;
        }
        if (status == HT_OK && run->phase == HT_PHASE_DECODE) {
            status = ht_run_step(run, made, count, NULL);
        }
    }
    return status;
}

static ht_status decode_all(ht_run *run, ht_vae_stage *stage, const float *latent, uint32_t count,
                            float *work, ht_image *images) {
    ht_pipeline *p = run->pipeline;
    bool finite = true;
    ht_status status = ht_part_open(p, stage->part);
    if (status == HT_OK) {
        status = decode_pieces(run, stage, latent, count, work, images, &finite);
    }
    for (uint32_t i = 0; i < count && (status != HT_OK || !finite); ++i) {
        ht_image_clear(p->context, &images[i]);
    }
    if (status != HT_OK || !finite) {
        ht_clip_release(&stage->clip);
    }
    if (status != HT_OK || finite) {
        return status;
    }
    if (stage->activations == HT_FORMAT_F16 && p->options.activations == HT_FORMAT_NONE) {
        ht_log(p->context, HT_LOG_INFO, "the VAE leaves the range of f16; again in f32");
        stage->activations = HT_FORMAT_F32;
        return decode_all(run, stage, latent, count, work, images);
    }
    return ht_fail(p->context, HT_ERR_UNSUPPORTED, "the VAE gave values that are not numbers");
}

ht_status ht_clip_decode(ht_run *run, ht_vae_stage *stage, const float *latent, uint32_t count,
                         ht_image *images) {
    ht_pipeline *p = run->pipeline;
    size_t pixels = (size_t)run->width * run->height * 3 * HT_WAN_VAE_TIMES;
    size_t latents = (size_t)run->latent_height * run->latent_width * stage->config.latent_channels;
    float *work = ht_alloc(p->context, (pixels + latents) * sizeof(*work));
    ht_status status =
        work ? decode_all(run, stage, latent, count, work, images) : HT_ERR_NO_MEMORY;
    ht_free(p->context, work);
    return status;
}

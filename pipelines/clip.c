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
    bool second = hires->scale > 0 || hires->width > 0 || hires->height > 0;
    const char *what = params->init      ? "an initial picture"
                       : params->mask    ? "a mask"
                       : params->control ? "a ControlNet"
                       : second          ? "a second pass"
                                         : NULL;
    return what ? ht_fail(run->pipeline->context, HT_ERR_INVALID,
                          "%s is not possible with this model (%s), which makes clips from texts",
                          what, run->pipeline->info.class_name)
                : HT_OK;
}

void ht_clip_release(ht_clip_stage *clip) {
    for (int i = 0; i < 2; ++i) {
        ht_vae_graph_clear(&clip->pieces[i]);
    }
    ht_wan_memory_release(&clip->memory);
    *clip = (ht_clip_stage){0};
}

static ht_status build(ht_pipeline *p, ht_vae_stage *stage, bool first) {
    ht_clip_stage *clip = &stage->clip;
    ht_vae_graph *piece = &clip->pieces[first ? 0 : 1];
    uint32_t factor = ht_vae_factor(&stage->config);
    uint32_t in[6] = {1, clip->height, clip->width, stage->config.latent_channels};
    uint32_t out[6] = {first ? 1 : HT_WAN_VAE_TIMES, clip->height * factor, clip->width * factor,
                       3};
    ht_status status = ht_stage_tensor(p, HT_FORMAT_F32, in, "latent frame", &piece->in);
    if (status == HT_OK) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, out, "frames", &piece->out);
    }
    if (status == HT_OK) {
        status = ht_stage_graph(p, first ? "vae decoder, first frame" : "vae decoder",
                                stage->activations, &piece->graph);
    }
    if (status == HT_OK) {
        ht_value frames =
            ht_wan_vae_decode(piece->graph, &stage->config, p->parts[stage->part].weights,
                              ht_graph_tensor(piece->graph, piece->in), &clip->memory, first);
        ht_graph_output(piece->graph, frames, piece->out);
        status = ht_graph_finish(piece->graph);
    }
    return status;
}

// Latent frame `index` of z [C, frames, h, w] as the VAE has it, into its piece's tensor.
static ht_status write_latent(const ht_run *run, const ht_vae_stage *stage, const float *latent,
                              uint32_t index, float *work, const ht_vae_graph *piece) {
    const ht_vae_config *c = &stage->config;
    size_t positions = (size_t)run->latent_height * run->latent_width;
    for (uint32_t k = 0; k < c->latent_channels; ++k) {
        const float *plane = latent + ((size_t)k * run->latent_frames + index) * positions;
        for (size_t i = 0; i < positions; ++i) {
            work[i * c->latent_channels + k] = plane[i] * c->deviation[k] + c->mean[k];
        }
    }
    return ht_tensor_write_f32(piece->in, work, positions * c->latent_channels);
}

// A piece's frames to pictures, `count` of them; *finite: are all values numbers?
static ht_status read_frames(ht_run *run, const ht_vae_graph *piece, uint32_t count, float *work,
                             ht_image *images, bool *finite) {
    ht_context *context = run->pipeline->context;
    size_t values = (size_t)run->width * run->height * 3;
    ht_status status =
        ht_tensor_read_f32(piece->out, work, ht_desc_count(ht_tensor_get_desc(piece->out)));
    for (uint32_t f = 0; f < count && status == HT_OK; ++f) {
        float *frame = work + f * values;
        for (size_t i = 0; i < values; ++i) {
            *finite = *finite && isfinite(frame[i]);
        }
        status = ht_image_create(context, run->width, run->height, &images[f]);
        if (status == HT_OK) {
            ht_image_from_floats(frame, &images[f]);
        }
    }
    return status;
}

// One piece after the other; what they remember begins with zeros.
static ht_status decode_pieces(ht_run *run, ht_vae_stage *stage, const float *latent,
                               uint32_t count, float *work, ht_image *images, bool *finite) {
    ht_pipeline *p = run->pipeline;
    ht_clip_stage *clip = &stage->clip;
    uint32_t made = 0;
    ht_status status = ht_wan_memory_restart(&clip->memory);
    for (uint32_t i = 0; made < count && status == HT_OK; ++i) {
        ht_vae_graph *piece = &clip->pieces[i > 0];
        bool fresh = piece->graph == NULL;
        uint32_t frames = i > 0 ? HT_WAN_VAE_TIMES : 1;
        if (fresh) {
            status = build(p, stage, i == 0);
        }
        if (status == HT_OK) {
            status = write_latent(run, stage, latent, i, work, piece);
        }
        if (status == HT_OK) {
            status = ht_stage_run(p, piece->graph, fresh);
        }
        if (status == HT_OK) {
            status = read_frames(run, piece, frames, work, images + made, finite);
            made += frames;
        }
        if (status == HT_OK && run->phase == HT_PHASE_DECODE) {
            status = ht_run_step(run, made, count, NULL);
        }
        if (status == HT_OK) {
            ht_part_account(p, stage->part, piece->graph, run->report);
        }
    }
    return status;
}

static ht_status decode_all(ht_run *run, ht_vae_stage *stage, const float *latent, uint32_t count,
                            float *work, ht_image *images) {
    ht_pipeline *p = run->pipeline;
    ht_clip_stage *clip = &stage->clip;
    bool finite = true;
    ht_status status = ht_part_open(p, stage->part);
    if (clip->height != run->latent_height || clip->width != run->latent_width) {
        ht_clip_release(clip);
        clip->height = run->latent_height;
        clip->width = run->latent_width;
    }
    if (status == HT_OK) {
        status = decode_pieces(run, stage, latent, count, work, images, &finite);
    }
    for (uint32_t i = 0; i < count && (status != HT_OK || !finite); ++i) {
        ht_image_clear(p->context, &images[i]);
    }
    if (status != HT_OK) {
        ht_clip_release(clip);
    }
    if (status != HT_OK || finite) {
        return status;
    }
    ht_clip_release(clip);
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
    float *work = ht_alloc(p->context, (pixels > latents ? pixels : latents) * sizeof(*work));
    ht_status status =
        work ? decode_all(run, stage, latent, count, work, images) : HT_ERR_NO_MEMORY;
    ht_free(p->context, work);
    return status;
}

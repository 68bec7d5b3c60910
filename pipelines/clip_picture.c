// Clips that begin with a picture. Of a model that was trained for it, the picture goes through the
// video autoencoder as the first frame of a clip that is grey otherwise, whose latent stands beside the
// latent that is denoised, with a mask that says which frames are given; and through an image encoder,
// whose tokens are read like those of the text. Of any other, the first latent frame is held at the
// picture's, noised to the level of each step.
#include "pipeline_internal.h"

#include <string.h>

// Channels beside the latent: the mask has one for each of the frames of a latent frame.
static uint32_t channels_beside(const ht_pipeline *p) {
    return HT_CLIP_TIMES + p->vae.config.latent_channels;
}

bool ht_clip_needs_picture(const ht_pipeline *p) {
    return p->shape.frames > 0 &&
           p->shape.in_channels == p->vae.config.latent_channels + channels_beside(p);
}

ht_status ht_clip_picture_read(ht_pipeline *p, const char *folder) {
    const ht_part *part = &p->parts[PART_IMAGE];
    if (p->shape.image_layers > 0 && !part->name) {
        return ht_fail(p->context, HT_ERR_IO,
                       "'%s' names no image_encoder, whose tokens its transformer reads", folder);
    }
    if (p->shape.image_layers == 0) { // Wan 2.2's transformers read none
        p->parts[PART_IMAGE].name = NULL;
        return HT_OK;
    }
    char *processor = ht_path_join(p->context, folder, "image_processor");
    ht_status status =
        processor ? ht_clip_vision_config_read(p->context, part->path, processor, &p->vision)
                  : HT_ERR_NO_MEMORY;
    ht_free(p->context, processor);
    if (status == HT_OK && p->vision.layers.width != p->shape.image_width) {
        status = ht_fail(
            p->context, HT_ERR_IO, "the image encoder gives tokens of %u values, the %s reads %u",
            p->vision.layers.width, p->parts[PART_DENOISER].name, p->shape.image_width);
    }
    return status;
}

void ht_clip_picture_release(ht_pipeline *p) {
    ht_picture_stage *s = &p->picture;
    ht_graph_destroy(&s->graph);
    ht_tensor_destroy(&s->pixels);
    ht_tensor_destroy(&s->tokens);
}

// ---- the autoencoder's part

// The picture at the run's size, and behind it as many grey frames as a piece has.
static ht_status read_frames(const ht_run *run, float *frames) {
    ht_context *context = run->pipeline->context;
    const size_t values = (size_t)run->width * run->height * 3;
    ht_image resized;
    ht_status status = ht_image_create(context, run->width, run->height, &resized);
    if (status == HT_OK) {
        status = ht_image_resize(context, run->params->init, &resized);
    }
    if (status == HT_OK) {
        ht_image_to_floats(&resized, frames);
    }
    for (size_t i = values; i < values * (1 + HT_CLIP_TIMES); ++i) {
        frames[i] = 0;
    }
    ht_image_clear(context, &resized);
    return status;
}

// Latent frame `index` of the condition, from the moments [h, w, 2 C] of its piece.
static void put_condition(ht_run *run, uint32_t index, const float *moments) {
    const ht_vae_config *c = &run->pipeline->vae.config;
    const size_t positions = (size_t)run->latent_height * run->latent_width;
    for (uint32_t k = 0; k < HT_CLIP_TIMES + c->latent_channels; ++k) {
        float *plane = run->condition + ((size_t)k * run->latent_frames + index) * positions;
        const uint32_t channel = k - HT_CLIP_TIMES; // of the mean
        for (size_t i = 0; i < positions; ++i) {
            plane[i] = k < HT_CLIP_TIMES
                           ? (index == 0 ? 1.0f : 0.0f)
                           : (moments[i * 2 * c->latent_channels + channel] - c->mean[channel]) /
                                 c->deviation[channel];
        }
    }
}

// One piece after another through the whole encoder.
static ht_status encode_whole(ht_run *run, const float *const *pieces, uint32_t count,
                              float *moments) {
    const ht_vae_work work = {VAE_WHOLE, true, run->latent_height, run->latent_width};
    const size_t values =
        (size_t)run->latent_height * run->latent_width * ht_vae_moments(&run->pipeline->vae.config);
    ht_clip_stage clip = {0}; // released at once: what it remembers is large
    ht_status status = ht_clip_restart(&clip, &work, 1);
    for (uint32_t i = 0; i < count && status == HT_OK; ++i) {
        status = ht_clip_run_piece(run, &run->pipeline->vae, &clip, i == 0, pieces[i],
                                   moments + i * values);
    }
    ht_clip_release(&clip);
    return status;
}

// The latent frames of the condition, or the first alone.
static ht_status encode_frames(ht_run *run, const float **pieces, float *frames, float *moments) {
    ht_pipeline *p = run->pipeline;
    const size_t values = (size_t)run->width * run->height * 3;
    const size_t latent =
        (size_t)run->latent_height * run->latent_width * ht_vae_moments(&p->vae.config);
    const uint32_t count = ht_clip_needs_picture(p) ? run->latent_frames : 1;
    ht_status status = read_frames(run, frames);
    if (status == HT_OK) {
        status = ht_part_open(p, PART_VAE);
    }
    for (uint32_t i = 0; i < count; ++i) {
        pieces[i] = i == 0 ? frames : frames + values;
    }
    if (status != HT_OK) {
        return status;
    }
    const bool whole = ht_clip_fits(run, &p->vae);
    if (whole) {
        status = encode_whole(run, pieces, count, moments);
    }
    if ((status == HT_ERR_NO_MEMORY && ht_clip_can_tile(run, &p->vae)) || !whole) {
        status = ht_clip_tiled(run, &p->vae, true, pieces, count, moments);
    }
    for (uint32_t i = 0; i < count && status == HT_OK; ++i) {
        put_condition(run, i, moments + i * latent);
    }
    return status;
}

static ht_status encode_clip(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    const size_t positions = (size_t)run->latent_height * run->latent_width * run->latent_frames;
    const size_t pixels = (size_t)run->width * run->height * 3 * (1 + HT_CLIP_TIMES);
    const size_t moments = positions * ht_vae_moments(&p->vae.config);
    const float **pieces = ht_alloc(p->context, run->latent_frames * sizeof(*pieces));
    float *work = ht_alloc(p->context, (pixels + moments) * sizeof(*work));
    ht_free(p->context, run->condition);
    run->condition = ht_alloc(p->context, channels_beside(p) * positions * sizeof(*run->condition));
    ht_status status = pieces && work && run->condition
                           ? encode_frames(run, pieces, work, work + pixels)
                           : HT_ERR_NO_MEMORY;
    ht_free(p->context, work);
    ht_free(p->context, pieces);
    return status;
}

// ---- a model that takes no picture

// Keep the item's first latent frame: what ht_inpaint_step needs for it, and its noise in place.
static ht_status hold_first_frame(ht_run *run, ht_item *item) {
    ht_inpaint *s = &item->inpaint;
    const size_t all = run->latent_count;
    const size_t positions = (size_t)run->latent_height * run->latent_width;
    const size_t plane = positions * run->latent_frames;
    const float scale = ht_sampler_initial_scale(item->sampler);
    s->beside = ht_alloc(run->pipeline->context, (plane + 2 * all) * sizeof(*s->beside));
    if (!s->beside) {
        return HT_ERR_NO_MEMORY;
    }
    s->clean = s->beside + plane;
    s->noise = s->clean + all;
    for (size_t i = 0; i < plane; ++i) {
        s->beside[i] = i < positions ? 0.0f : 1.0f;
    }
    memcpy(s->clean, run->condition + HT_CLIP_TIMES * plane, all * sizeof(*s->clean));
    for (size_t i = 0; i < all; ++i) {
        s->noise[i] = item->latent[i] / scale;
    }
    ht_inpaint_step(run, item, 0, run->work);
    return HT_OK;
}

static ht_status hold_first_frames(ht_run *run) {
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < run->count && status == HT_OK; ++i) {
        status = hold_first_frame(run, &run->items[i]);
    }
    ht_free(run->pipeline->context, run->condition);
    run->condition = NULL;
    return status;
}

// ---- the image encoder's part

// The middle of the picture, as the encoder reads it.
static ht_status read_pixels(const ht_run *run, float *pixels) {
    ht_context *context = run->pipeline->context;
    const ht_clip_vision_config *c = &run->pipeline->vision;
    ht_image small;
    ht_status status = ht_image_create(context, c->edge, c->edge, &small);
    if (status == HT_OK) {
        status = ht_image_resize_by(context, run->params->init, HT_FILTER_BICUBIC, &small);
    }
    for (size_t i = 0; i < (size_t)c->edge * c->edge * 3 && status == HT_OK; ++i) {
        pixels[i] = ((float)small.rgb[i] / 255.0f - c->mean[i % 3]) / c->deviation[i % 3];
    }
    ht_image_clear(context, &small);
    return status;
}

static ht_status build_encoder(ht_pipeline *p) {
    ht_picture_stage *s = &p->picture;
    const ht_clip_vision_config *c = &p->vision;
    const uint32_t pixels[HT_MAX_RANK] = {1, c->edge, c->edge, 3};
    const uint32_t tokens[HT_MAX_RANK] = {1, ht_clip_vision_tokens(c), c->layers.width};
    ht_status status =
        s->pixels ? HT_OK : ht_stage_tensor(p, HT_FORMAT_F32, pixels, "picture", &s->pixels);
    if (status == HT_OK && !s->tokens) { // stays: the denoiser's graphs read it
        status = ht_stage_tensor(p, HT_FORMAT_F32, tokens, "tokens of the picture", &s->tokens);
    }
    if (status == HT_OK) {
        status = ht_stage_graph(p, "image encoder", p->activations, &s->graph);
    }
    if (status != HT_OK) {
        return status;
    }
    ht_value x = ht_graph_tensor(s->graph, s->pixels);
    x = ht_clip_vision_build(s->graph, c, p->parts[PART_IMAGE].weights, x);
    ht_graph_output(s->graph, x, s->tokens);
    return ht_graph_finish(s->graph);
}

static ht_status encode_tokens(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    ht_picture_stage *s = &p->picture;
    const size_t values = (size_t)p->vision.edge * p->vision.edge * 3;
    float *pixels = ht_alloc(p->context, values * sizeof(*pixels));
    ht_status status = pixels ? read_pixels(run, pixels) : HT_ERR_NO_MEMORY;
    const bool fresh = s->graph == NULL;
    if (status == HT_OK) {
        status = ht_part_open(p, PART_IMAGE);
    }
    if (status == HT_OK && fresh) {
        status = build_encoder(p);
    }
    if (status == HT_OK) {
        status = ht_tensor_write_f32(s->pixels, pixels, values);
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, s->graph, fresh);
    }
    if (status == HT_OK) {
        ht_part_account(p, PART_IMAGE, s->graph, run->report);
    }
    if (status != HT_OK || !p->options.keep_loaded) {
        ht_graph_destroy(&s->graph);
        ht_tensor_destroy(&s->pixels);
        ht_part_close(p, PART_IMAGE);
    }
    p->denoise.context_ready = false; // it has the keys and values of another picture
    ht_free(p->context, pixels);
    return status;
}

ht_status ht_clip_picture_start(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    ht_status status = encode_clip(run);
    if (status == HT_OK && !ht_clip_needs_picture(p)) {
        return hold_first_frames(run);
    }
    return status == HT_OK && p->shape.image_layers > 0 ? encode_tokens(run) : status;
}

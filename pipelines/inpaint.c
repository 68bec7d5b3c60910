// Repainting the part of a picture that a mask names, as diffusers' inpainting pipelines do: with
// any denoiser by putting the noised picture back around the mask after each step, or with one that
// takes the mask and the rest of the picture as inputs.
#include "pipeline_internal.h"

#include <string.h>

// Denoisers of inpainting models take [latent, mask, latent of what is kept].
static bool takes_mask(const ht_pipeline *p) {
    return p->shape.frames == 0 && p->shape.in_channels != p->vae.config.latent_channels;
}

ht_status ht_inpaint_check(ht_run *run) {
    const ht_generate_params *params = run->params;
    ht_context *context = run->pipeline->context;
    const ht_image *init = params->init, *mask = params->mask;
    if (takes_mask(run->pipeline) && !(init && mask)) {
        return ht_fail(context, HT_ERR_INVALID,
                       "this model repaints part of a picture: it needs an initial picture and a "
                       "mask");
    }
    if (mask && !init) {
        return ht_fail(context, HT_ERR_INVALID,
                       "a mask needs an initial picture, of which it says what is repainted");
    }
    if (mask && (mask->width != init->width || mask->height != init->height)) {
        return ht_fail(context, HT_ERR_INVALID,
                       "the mask has %u x %u pixels, the initial picture %u x %u; they must be of "
                       "one size",
                       mask->width, mask->height, init->width, init->height);
    }
    if (mask && params->mask_blur > HT_MAX_MASK_BLUR) {
        return ht_fail(context, HT_ERR_INVALID, "a mask blur of %u pixels, expected 0 to %d",
                       params->mask_blur, HT_MAX_MASK_BLUR);
    }
    return HT_OK;
}

void ht_inpaint_clear(ht_run *run, ht_item *item) {
    ht_inpaint *s = &item->inpaint;
    ht_context *context = run->pipeline->context;
    ht_free(context, s->beside);
    ht_free(context, s->pixels);
    ht_image_clear(context, &s->picture);
    ht_image_clear(context, &s->mask);
    *s = (ht_inpaint){0};
}

// Grey as in ITU-R BT.601; from one half on, a pixel is repainted.
static bool is_repainted(const uint8_t *rgb) {
    return 299u * rgb[0] + 587u * rgb[1] + 114u * rgb[2] >= 127500;
}

// Picture and mask at the run's size; the mask's first byte per pixel becomes 255 or 0.
static ht_status resize(ht_run *run, ht_inpaint *s) {
    ht_context *context = run->pipeline->context;
    size_t latent = run->latent_count, pixels = (size_t)run->width * run->height;
    size_t positions = (size_t)run->latent_height * run->latent_width;
    s->beside = ht_alloc(context, (positions + 3 * latent) * sizeof(float));
    s->pixels = ht_alloc(context, pixels * 3 * sizeof(float));
    if (!s->beside || !s->pixels) {
        return HT_ERR_NO_MEMORY;
    }
    s->clean = s->beside + positions + latent;
    s->noise = s->clean + latent;
    ht_status status = ht_image_create(context, run->width, run->height, &s->picture);
    if (status == HT_OK) {
        status = ht_image_create(context, run->width, run->height, &s->mask);
    }
    if (status == HT_OK) {
        status = ht_image_resize(context, run->params->init, &s->picture);
    }
    if (status == HT_OK) {
        status = ht_image_resize(context, run->params->mask, &s->mask);
    }
    if (status != HT_OK) {
        return status;
    }
    for (size_t i = 0; i < pixels; ++i) {
        s->mask.rgb[3 * i] = is_repainted(s->mask.rgb + 3 * i) ? 255 : 0;
    }
    uint32_t factor = ht_vae_factor(&run->pipeline->vae.config); // the nearest pixel, up and left
    for (size_t i = 0; i < positions; ++i) {
        size_t y = i / run->latent_width * factor, x = i % run->latent_width * factor;
        s->beside[i] = s->mask.rgb[3 * (y * run->width + x)] ? 1.0f : 0.0f;
    }
    return HT_OK;
}

// The picture's latent, the noise, and the latent of what is kept, drawn in this order.
static ht_status encode(ht_run *run, ht_item *item, bool picture) {
    ht_inpaint *s = &item->inpaint;
    size_t positions = (size_t)run->latent_height * run->latent_width;
    float *kept = s->beside + positions;
    ht_image_to_floats(&s->picture, s->pixels);
    ht_status status = picture ? ht_vae_stage_encode(run, &item->random, s->pixels, s->clean) : HT_OK;
    ht_random_normal(&item->random, s->noise, run->latent_count);
    if (status != HT_OK) {
        return status;
    }
    if (!takes_mask(run->pipeline)) { // diffusers encodes it all the same, and draws
        ht_random_normal(&item->random, kept, run->latent_count);
        return HT_OK;
    }
    for (size_t i = 0; i < (size_t)run->width * run->height * 3; ++i) {
        s->pixels[i] = s->mask.rgb[i / 3 * 3] ? 0.0f : s->pixels[i];
    }
    return ht_vae_stage_encode(run, &item->random, s->pixels, kept);
}

ht_status ht_inpaint_start(ht_run *run, ht_item *item, uint32_t first) {
    ht_inpaint *s = &item->inpaint;
    bool all_noise = run->params->strength >= 1 && first == 0;
    ht_status status = resize(run, s);
    if (status == HT_OK) {
        status = encode(run, item, !takes_mask(run->pipeline) || !all_noise);
    }
    if (status != HT_OK) {
        return status;
    }
    const float *from = all_noise ? s->noise : s->clean;
    float scale = all_noise ? ht_sampler_initial_scale(item->sampler) : 1;
    for (size_t i = 0; i < run->latent_count; ++i) {
        item->latent[i] = scale * from[i];
    }
    if (!all_noise && first < run->steps) {
        ht_sampler_add_noise(item->sampler, first, s->noise, item->latent);
    }
    return HT_OK;
}

void ht_inpaint_step(ht_run *run, ht_item *item, uint32_t next, float *work) {
    const ht_inpaint *s = &item->inpaint;
    size_t positions = run->latent_count / run->pipeline->vae.config.latent_channels;
    if (!s->clean || takes_mask(run->pipeline)) {
        return;
    }
    memcpy(work, s->clean, run->latent_count * sizeof(*work));
    if (next < run->steps) {
        ht_sampler_add_noise(item->sampler, next, s->noise, work);
    }
    for (size_t i = 0; i < run->latent_count; ++i) {
        item->latent[i] = s->beside[i % positions] > 0 ? item->latent[i] : work[i];
    }
}

// Mean of byte 0 of the pixels within `radius` along one axis, into byte 1 (then of 1 into 2).
static void average(ht_image *mask, uint32_t radius, bool down) {
    uint32_t length = down ? mask->height : mask->width, lines = down ? mask->width : mask->height;
    size_t stride = down ? 3 * (size_t)mask->width : 3,
           line_stride = down ? 3 : 3 * (size_t)mask->width;
    for (uint32_t line = 0; line < lines; ++line) {
        uint8_t *pixel = mask->rgb + line * line_stride + (down ? 1 : 0);
        for (uint32_t i = 0; i < length; ++i) {
            uint32_t first = i < radius ? 0 : i - radius;
            uint32_t last = i + radius < length ? i + radius : length - 1, sum = 0;
            for (uint32_t j = first; j <= last; ++j) {
                sum += pixel[j * stride];
            }
            uint32_t count = last - first + 1;
            pixel[i * stride + 1] = (uint8_t)((sum + count / 2) / count);
        }
    }
}

void ht_inpaint_paste(ht_run *run, ht_item *item, ht_image *image) {
    ht_inpaint *s = &item->inpaint;
    const ht_generate_params *params = run->params;
    if (!params->mask || params->no_paste) {
        return;
    }
    average(&s->mask, params->mask_blur, false);
    average(&s->mask, params->mask_blur, true);
    for (size_t i = 0; i < (size_t)run->width * run->height * 3; ++i) {
        uint32_t share = s->mask.rgb[i / 3 * 3 + 2];
        uint32_t sum = share * image->rgb[i] + (255 - share) * s->picture.rgb[i];
        image->rgb[i] = (uint8_t)((sum + 127) / 255);
    }
}

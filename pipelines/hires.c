// The second pass over an enlarged picture ("hires fix"): its size, and the start it gets from the
// first pass.
#include "pipeline_internal.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name, *label;
    bool latent;
    ht_filter filter;
} upscalers[HT_UPSCALERS] = {
    [HT_UPSCALE_LATENT] = {"latent", "Latent", true, 0},
    [HT_UPSCALE_LATENT_NEAREST] = {"latent-nearest", "Latent (nearest)", true, 0},
    [HT_UPSCALE_LANCZOS] = {"lanczos", "Lanczos", false, HT_FILTER_LANCZOS},
    [HT_UPSCALE_BICUBIC] = {"bicubic", "Bicubic", false, HT_FILTER_BICUBIC},
};

const char *ht_upscaler_name(ht_upscaler upscaler) {
    return upscalers[upscaler].name;
}

const char *ht_upscaler_label(ht_upscaler upscaler) {
    return upscalers[upscaler].label;
}

bool ht_upscaler_find(const char *name, ht_upscaler *out) {
    for (uint32_t i = 0; i < HT_UPSCALERS; ++i) {
        if (strcasecmp(upscalers[i].name, name) == 0 || strcasecmp(upscalers[i].label, name) == 0) {
            *out = (ht_upscaler)i;
            return true;
        }
    }
    return false;
}

static ht_status check_values(ht_run *run) {
    ht_context *context = run->pipeline->context;
    const ht_hires *h = &run->params->hires;
    if (h->scale != 0 && !(h->scale > 1 && h->scale <= 8)) {
        return ht_fail(context, HT_ERR_INVALID,
                       "an enlargement by %g for the second pass, expected above 1, at most 8",
                       h->scale);
    }
    if (!(h->strength >= 0 && h->strength <= 1)) {
        return ht_fail(context, HT_ERR_INVALID, "second pass: strength %g, expected 0 to 1",
                       h->strength);
    }
    if ((uint32_t)h->upscaler >= HT_UPSCALERS || h->steps > HT_MAX_STEPS) {
        return ht_fail(context, HT_ERR_INVALID,
                       "second pass: upscaler %d of %d, %u steps of at most %d", (int)h->upscaler,
                       HT_UPSCALERS, h->steps, HT_MAX_STEPS);
    }
    if (run->params->mask) {
        return ht_fail(context, HT_ERR_INVALID,
                       "a second pass and a mask exclude each other: enlarge first, then repaint");
    }
    return HT_OK;
}

ht_status ht_hires_check(ht_run *run, uint32_t *width, uint32_t *height) {
    ht_pipeline *p = run->pipeline;
    const ht_hires *h = &run->params->hires;
    *width = *height = 0;
    if (h->scale == 0 && h->width == 0 && h->height == 0) {
        return HT_OK;
    }
    ht_status status = check_values(run);
    if (status != HT_OK) {
        return status;
    }
    double across = h->scale > 0 ? h->scale * run->width : h->width;
    double down = h->scale > 0 ? h->scale * run->height : h->height;
    across = across > 0 ? across : down * run->width / run->height;
    down = down > 0 ? down : across * run->height / run->width;
    uint32_t w = (uint32_t)fmin(rint(across), UINT32_MAX);
    uint32_t t = (uint32_t)fmin(rint(down), UINT32_MAX);
    if (!upscalers[h->upscaler].latent) {
        status = ht_vae_stage_check(p);
    }
    if (status == HT_OK) {
        status = ht_pipeline_size(p, &w, &t);
    }
    if (status == HT_OK && (w < run->width || t < run->height)) {
        status = ht_fail(p->context, HT_ERR_INVALID,
                         "the second pass has %u x %u pixels, the first %u x %u; expected more", w,
                         t, run->width, run->height);
    }
    *width = w;
    *height = t;
    return status;
}

static ht_status enlarge_latents(ht_run *run, uint32_t width, uint32_t height) {
    ht_pipeline *p = run->pipeline;
    float *old = run->latents;
    size_t old_count = run->latent_count;
    const uint32_t from[2] = {run->latent_height, run->latent_width};
    run->latents = NULL;
    ht_status status = ht_run_resize(run, width, height);
    const uint32_t to[2] = {run->latent_height, run->latent_width};
    for (uint32_t i = 0; i < run->count && status == HT_OK; ++i) {
        ht_planes_resize(old + i * old_count, p->vae.config.latent_channels, from, to,
                         run->params->hires.upscaler == HT_UPSCALE_LATENT_NEAREST,
                         run->items[i].latent);
    }
    ht_free(p->context, old);
    return status;
}

// One small picture -> the item's latent at the run's size.
static ht_status encode(ht_run *run, const ht_image *small, ht_item *item) {
    ht_context *context = run->pipeline->context;
    ht_image large;
    float *pixels = ht_alloc(context, (size_t)run->width * run->height * 3 * sizeof(*pixels));
    ht_status status = ht_image_create(context, run->width, run->height, &large);
    status = pixels ? status : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_image_resize_by(context, small, upscalers[run->params->hires.upscaler].filter,
                                    &large);
    }
    if (status == HT_OK) {
        ht_image_to_floats(&large, pixels);
        status = ht_vae_stage_encode(run, &item->random, pixels, item->latent);
    }
    ht_image_clear(context, &large);
    ht_free(context, pixels);
    return status;
}

static ht_status enlarge_pictures(ht_run *run, uint32_t width, uint32_t height) {
    ht_pipeline *p = run->pipeline;
    ht_image small[HT_MAX_BATCH] = {{0}};
    ht_status status = ht_run_phase(run, HT_PHASE_PICTURE, 0);
    if (status == HT_OK && !p->options.keep_loaded) { // room for the VAE
        ht_denoise_release(p);
        ht_part_close(p, PART_DENOISER);
        ht_part_close(p, PART_CONTROL);
    }
    for (uint32_t i = 0; i < run->count && status == HT_OK; ++i) {
        status = ht_run_decode(run, &p->vae, run->items[i].latent, &small[i]);
    }
    if (status == HT_OK) {
        status = ht_run_resize(run, width, height);
    }
    for (uint32_t i = 0; i < run->count; ++i) {
        if (status == HT_OK) {
            status = encode(run, &small[i], &run->items[i]);
        }
        ht_image_clear(p->context, &small[i]);
    }
    if (!p->options.keep_loaded) {
        ht_vae_stage_release(&p->vae);
        ht_part_close(p, PART_VAE);
    }
    return status;
}

ht_status ht_hires_enlarge(ht_run *run, uint32_t width, uint32_t height) {
    return upscalers[run->params->hires.upscaler].latent ? enlarge_latents(run, width, height)
                                                         : enlarge_pictures(run, width, height);
}

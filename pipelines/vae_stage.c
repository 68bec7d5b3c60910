// The VAE between latents and pixels, in one run or by tiles.
#include "pipeline_internal.h"

#include "autoencoder_tiny.h"

#include <math.h>

bool ht_vae_fits(const ht_pipeline *p, const ht_vae_stage *stage, uint32_t height, uint32_t width) {
    uint64_t limit = p->options.max_device_bytes;
    ht_memory_use use;
    ht_context_memory(p->context, &use);
    if (limit == 0) {
        limit = ht_context_device(p->context)->memory_bytes / 2;
    }
    uint64_t needed = ht_vae_decode_bytes(&stage->config, height, width, stage->activations);
    return use.allocated < limit && needed <= limit - use.allocated;
}

// In one run when it fits, else, or when memory runs out all the same, by tiles.
static ht_status convert(ht_run *run, ht_vae_stage *stage, bool encoder, const float *in,
                         uint32_t height, uint32_t width, float *out) {
    ht_pipeline *p = run->pipeline;
    uint32_t factor = ht_vae_factor(&stage->config);
    uint32_t rows = encoder ? height / factor : height;
    uint32_t columns = encoder ? width / factor : width, tile = stage->config.sample_size / factor;
    bool can_tile = rows > tile || columns > tile;
    ht_status status = HT_ERR_NO_MEMORY;
    if (!can_tile || ht_vae_fits(p, stage, rows, columns)) {
        const ht_vae_work whole = {VAE_WHOLE, encoder, height, width};
        status = ht_vae_run(p, stage, &whole, in, NULL, out);
    }
    if (status == HT_ERR_NO_MEMORY && can_tile) {
        ht_log(p->context, HT_LOG_INFO, "vae: %u x %u in tiles of %u pixels to save memory",
               columns * factor, rows * factor, stage->config.sample_size);
        run->report->tiled = true;
        status = ht_vae_tiled(p, stage, encoder, in, height, width, out);
    }
    return status;
}

// Account the graphs used last.
static void account(ht_run *run, const ht_vae_stage *stage) {
    for (uint32_t i = 0; i < VAE_GRAPHS; ++i) {
        if (stage->graphs[i].graph) {
            ht_part_account(run->pipeline, stage->part, stage->graphs[i].graph, run->report);
        }
    }
}

ht_status ht_vae_stage_decode(ht_run *run, ht_vae_stage *stage, const float *latent,
                              float *pixels) {
    ht_pipeline *p = run->pipeline;
    const ht_vae_config *vae = &stage->config;
    size_t positions = (size_t)run->latent_height * run->latent_width;
    float *z = ht_alloc(p->context, run->latent_count * sizeof(*z));
    if (!z) {
        return HT_ERR_NO_MEMORY;
    }
    ht_planes_to_pixels(latent, vae->latent_channels, positions, z);
    for (size_t i = 0; i < run->latent_count; ++i) {
        z[i] = z[i] / vae->scaling_factor + vae->shift_factor;
    }
    if (vae->tiny) {
        ht_tiny_clamp(z, run->latent_count);
    }
    ht_status status = ht_part_open(p, stage->part);
    if (status == HT_OK) {
        status = convert(run, stage, false, z, run->latent_height, run->latent_width, pixels);
    }
    if (status == HT_OK) {
        account(run, stage);
    }
    ht_free(p->context, z);
    return status;
}

ht_status ht_vae_stage_check(ht_pipeline *p) {
    if (p->vae.config.missing & HT_VAE_ENCODER) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "'%s' has a decoder only: a run that starts from a picture needs an "
                       "autoencoder that can encode, too",
                       p->parts[PART_VAE].path);
    }
    return HT_OK;
}

// Draw from the distribution that the moments describe; a tiny one's are the latent.
static void draw(ht_run *run, const float *moments, const float *noise, float *latent) {
    const ht_vae_config *vae = &run->pipeline->vae.config;
    uint32_t channels = vae->latent_channels, stride = ht_vae_moments(vae);
    size_t positions = (size_t)run->latent_height * run->latent_width;
    for (uint32_t c = 0; c < channels; ++c) {
        for (size_t i = 0; i < positions; ++i) {
            const float *m = moments + i * stride;
            float z = m[c];
            if (!vae->tiny) {
                float log_variance = m[channels + c];
                log_variance = log_variance < -30 ? -30 : log_variance > 20 ? 20 : log_variance;
                z += expf(0.5f * log_variance) * noise[c * positions + i];
            }
            latent[c * positions + i] = (z - vae->shift_factor) * vae->scaling_factor;
        }
    }
}

ht_status ht_vae_stage_encode(ht_run *run, ht_random *random, const float *pixels, float *latent) {
    ht_pipeline *p = run->pipeline;
    ht_vae_stage *stage = &p->vae;
    size_t count = run->latent_count;
    float *moments = ht_alloc(p->context, 2 * count * sizeof(*moments));
    float *noise = ht_alloc(p->context, count * sizeof(*noise));
    ht_status status = moments && noise ? ht_part_open(p, PART_VAE) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = convert(run, stage, true, pixels, run->height, run->width, moments);
    }
    if (status == HT_OK) {
        account(run, stage);
        if (!stage->config.tiny) {
            ht_random_normal(random, noise, count);
        }
        draw(run, moments, noise, latent);
    }
    ht_free(p->context, moments);
    ht_free(p->context, noise);
    return status;
}

// The VAE between latents and pixels, in one run or by tiles.
#include "pipeline_internal.h"

#include <math.h>

static void clear_graph(ht_vae_graph *s) {
    ht_graph_destroy(&s->graph);
    ht_tensor_destroy(&s->in);
    ht_tensor_destroy(&s->out);
    *s = (ht_vae_graph){0};
}

void ht_vae_stage_release(ht_pipeline *p) {
    for (uint32_t i = 0; i < VAE_GRAPHS; ++i) {
        clear_graph(&p->vae_graphs[i]);
    }
}

static ht_status build(ht_pipeline *p, ht_vae_graph *s) {
    uint32_t factor = ht_vae_factor(&p->vae), z = p->vae.latent_channels;
    uint32_t rows = s->height, columns = s->width;
    uint32_t pixels[6] = {1, s->encoder ? rows : rows * factor,
                          s->encoder ? columns : columns * factor, 3};
    uint32_t latents[6] = {1, s->encoder ? rows / factor : rows,
                           s->encoder ? columns / factor : columns, s->encoder ? 2 * z : z};
    ht_status status =
        ht_stage_tensor(p, HT_FORMAT_F32, s->encoder ? pixels : latents, "vae input", &s->in);
    if (status == HT_OK) {
        status =
            ht_stage_tensor(p, HT_FORMAT_F32, s->encoder ? latents : pixels, "vae output", &s->out);
    }
    if (status == HT_OK) {
        status = ht_stage_graph(p, s->encoder ? "vae encoder" : "vae decoder", p->vae_activations,
                                &s->graph);
    }
    if (status != HT_OK) {
        return status;
    }
    ht_value in = ht_graph_tensor(s->graph, s->in);
    ht_weights *weights = p->parts[PART_VAE].weights;
    ht_value out = s->encoder ? ht_vae_encode(s->graph, &p->vae, weights, in)
                              : ht_vae_decode(s->graph, &p->vae, weights, in);
    ht_graph_output(s->graph, out, s->out);
    return ht_graph_finish(s->graph);
}

static ht_vae_graph *find(ht_pipeline *p, bool encoder, uint32_t height, uint32_t width) {
    for (uint32_t i = 0; i < VAE_GRAPHS; ++i) {
        ht_vae_graph *s = &p->vae_graphs[i];
        if (s->graph && s->encoder == encoder && s->height == height && s->width == width) {
            return s;
        }
    }
    return NULL;
}

ht_status ht_vae_whole(ht_pipeline *p, bool encoder, const float *in, uint32_t height,
                       uint32_t width, float *out) {
    ht_vae_graph *s = find(p, encoder, height, width);
    bool first = s == NULL;
    ht_status status = HT_OK;
    if (first) {
        s = &p->vae_graphs[p->next_vae_graph];
        p->next_vae_graph = (p->next_vae_graph + 1) % VAE_GRAPHS;
        clear_graph(s);
        *s = (ht_vae_graph){.height = height, .width = width, .encoder = encoder};
        status = build(p, s);
    }
    if (status == HT_OK) {
        size_t count = ht_desc_count(ht_tensor_get_desc(s->in));
        status = ht_tensor_write_f32(s->in, in, count);
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, s->graph, first);
    }
    if (status == HT_OK) {
        size_t count = ht_desc_count(ht_tensor_get_desc(s->out));
        status = ht_tensor_read_f32(s->out, out, count);
    }
    if (status != HT_OK) {
        clear_graph(s);
    }
    return status;
}

// Would one run of that size fit beside what is on the device already?
static bool fits(const ht_pipeline *p, uint32_t height, uint32_t width) {
    uint64_t limit = p->options.max_device_bytes;
    ht_memory_use use;
    ht_context_memory(p->context, &use);
    if (limit == 0) {
        limit = ht_context_device(p->context)->memory_bytes / 2;
    }
    uint64_t needed = ht_vae_decode_bytes(&p->vae, height, width, p->vae_activations);
    return use.allocated < limit && needed <= limit - use.allocated;
}

// In one run when it fits, else, or when memory runs out all the same, by tiles.
static ht_status convert(ht_run *run, bool encoder, const float *in, uint32_t height,
                         uint32_t width, float *out) {
    ht_pipeline *p = run->pipeline;
    uint32_t factor = ht_vae_factor(&p->vae);
    uint32_t rows = encoder ? height / factor : height;
    uint32_t columns = encoder ? width / factor : width, tile = p->vae.sample_size / factor;
    bool can_tile = rows > tile || columns > tile;
    ht_status status = HT_ERR_NO_MEMORY;
    if (!can_tile || fits(p, rows, columns)) {
        status = ht_vae_whole(p, encoder, in, height, width, out);
    }
    if (status == HT_ERR_NO_MEMORY && can_tile) {
        ht_log(p->context, HT_LOG_INFO, "vae: %u x %u in tiles of %u pixels to save memory",
               columns * factor, rows * factor, p->vae.sample_size);
        run->report->tiled = true;
        status = ht_vae_tiled(p, encoder, in, height, width, out);
    }
    return status;
}

// Account the graph used last.
static void account(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    for (uint32_t i = 0; i < VAE_GRAPHS; ++i) {
        if (p->vae_graphs[i].graph) {
            ht_part_account(p, PART_VAE, p->vae_graphs[i].graph, run->report);
        }
    }
}

ht_status ht_vae_stage_decode(ht_run *run, const float *latent, float *pixels) {
    ht_pipeline *p = run->pipeline;
    size_t positions = (size_t)run->latent_height * run->latent_width;
    float *z = ht_alloc(p->context, run->latent_count * sizeof(*z));
    if (!z) {
        return HT_ERR_NO_MEMORY;
    }
    ht_planes_to_pixels(latent, p->vae.latent_channels, positions, z);
    for (size_t i = 0; i < run->latent_count; ++i) {
        z[i] = z[i] / p->vae.scaling_factor + p->vae.shift_factor;
    }
    ht_status status = ht_part_open(p, PART_VAE);
    if (status == HT_OK) {
        status = convert(run, false, z, run->latent_height, run->latent_width, pixels);
    }
    if (status == HT_OK) {
        account(run);
    }
    ht_free(p->context, z);
    return status;
}

ht_status ht_vae_stage_encode(ht_run *run, const float *pixels, float *latent) {
    ht_pipeline *p = run->pipeline;
    uint32_t channels = p->vae.latent_channels;
    size_t positions = (size_t)run->latent_height * run->latent_width;
    float *moments = ht_alloc(p->context, 2 * run->latent_count * sizeof(*moments));
    float *noise = ht_alloc(p->context, run->latent_count * sizeof(*noise));
    ht_status status = moments && noise ? ht_part_open(p, PART_VAE) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = convert(run, true, pixels, run->height, run->width, moments);
    }
    if (status == HT_OK) {
        account(run);
        ht_random_normal(&run->random, noise, run->latent_count);
        for (uint32_t c = 0; c < channels; ++c) {
            for (size_t i = 0; i < positions; ++i) {
                const float *m = moments + i * 2 * channels;
                float log_variance = m[channels + c];
                log_variance = log_variance < -30 ? -30 : log_variance > 20 ? 20 : log_variance;
                float z = m[c] + expf(0.5f * log_variance) * noise[c * positions + i];
                latent[c * positions + i] = (z - p->vae.shift_factor) * p->vae.scaling_factor;
            }
        }
    }
    ht_free(p->context, moments);
    ht_free(p->context, noise);
    return status;
}

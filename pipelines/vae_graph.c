// The graphs of a VAE: its halves, and the pieces that they are made of.
#include "pipeline_internal.h"

void ht_vae_graph_clear(ht_vae_graph *s) {
    ht_graph_destroy(&s->graph);
    ht_tensor_destroy(&s->in);
    ht_tensor_destroy(&s->out);
    ht_tensor_destroy(&s->statistics);
    *s = (ht_vae_graph){0};
}

void ht_vae_stage_release(ht_vae_stage *stage) {
    for (uint32_t i = 0; i < VAE_GRAPHS; ++i) {
        ht_vae_graph_clear(&stage->graphs[i]);
    }
    ht_clip_release(&stage->clip);
}

uint32_t ht_vae_moments(const ht_vae_config *config) {
    return config->tiny ? config->latent_channels : 2 * config->latent_channels;
}

uint32_t ht_vae_channels_in(const ht_vae_config *vae, const ht_vae_work *work) {
    if (work->encoder) {
        return work->piece == VAE_GLOBAL ? ht_vae_features(vae) : 3;
    }
    const bool latent = work->piece == VAE_WHOLE || work->piece == VAE_GLOBAL || vae->tiny;
    return latent ? vae->latent_channels : ht_vae_features(vae);
}

uint32_t ht_vae_channels_out(const ht_vae_config *vae, const ht_vae_work *work) {
    if (work->encoder) {
        return work->piece == VAE_LOCAL && !vae->tiny ? ht_vae_features(vae) : ht_vae_moments(vae);
    }
    return work->piece == VAE_GLOBAL ? ht_vae_features(vae) : 3;
}

// Rows or columns that come out.
static uint32_t size_out(const ht_vae_config *vae, const ht_vae_work *work, uint32_t in) {
    const uint32_t factor = work->piece == VAE_GLOBAL ? 1 : ht_vae_factor(vae);
    return work->encoder ? in / factor : in * factor;
}

static bool measures(const ht_vae_work *work) {
    return work->piece == VAE_MEASURE || work->piece == VAE_FIRST;
}

static ht_status make_tensors(ht_pipeline *p, const ht_vae_config *vae, ht_vae_graph *s) {
    const ht_vae_work *work = &s->work;
    const uint32_t groups = ht_vae_local_groups(vae, work->encoder);
    const uint32_t statistics[HT_MAX_RANK] = {1, groups, 2};
    const uint32_t in[HT_MAX_RANK] = {1, work->height, work->width, ht_vae_channels_in(vae, work)};
    const uint32_t out[HT_MAX_RANK] = {1, size_out(vae, work, work->height),
                                       size_out(vae, work, work->width),
                                       ht_vae_channels_out(vae, work)};
    ht_status status = ht_stage_tensor(p, HT_FORMAT_F32, in, "vae input", &s->in);
    if (status == HT_OK) {
        const uint32_t *dims = measures(work) ? statistics : out;
        status = ht_stage_tensor(p, HT_FORMAT_F32, dims, "vae output", &s->out);
    }
    const bool reads = work->piece == VAE_LOCAL || work->piece == VAE_MEASURE;
    if (status == HT_OK && reads && groups > 0) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, statistics, "vae statistics", &s->statistics);
    }
    return status;
}

ht_status ht_vae_graph_build(ht_pipeline *p, const ht_vae_stage *stage, ht_vae_graph *s) {
    const ht_vae_config *vae = &stage->config;
    const ht_vae_work *work = &s->work;
    ht_status status = make_tensors(p, vae, s);
    if (status == HT_OK) {
        status = ht_stage_graph(p, work->encoder ? "vae encoder" : "vae decoder",
                                stage->activations, &s->graph);
    }
    if (status != HT_OK) {
        return status;
    }
    const bool encoder = work->encoder;
    ht_graph *g = s->graph;
    ht_weights *weights = p->parts[stage->part].weights;
    ht_value x = ht_graph_tensor(g, s->in);
    if (work->piece == VAE_WHOLE) {
        x = encoder ? ht_vae_encode(g, vae, weights, x) : ht_vae_decode(g, vae, weights, x);
    } else if (work->piece == VAE_GLOBAL) {
        x = encoder ? ht_vae_encode_global(g, vae, weights, x)
                    : ht_vae_decode_global(g, vae, weights, x);
    } else {
        ht_pooled_norms norms = {.given = HT_NO_VALUE, .measure = measures(work)};
        if (s->statistics) {
            norms.given = ht_graph_tensor(g, s->statistics);
        }
        x = encoder ? ht_vae_encode_local(g, vae, weights, x, &norms)
                    : ht_vae_decode_local(g, vae, weights, x, &norms);
        x = norms.measure ? norms.measured : x;
    }
    ht_graph_output(g, x, s->out);
    return ht_graph_finish(g);
}

static ht_vae_graph *find(ht_vae_stage *stage, const ht_vae_work *work) {
    for (uint32_t i = 0; i < VAE_GRAPHS; ++i) {
        const ht_vae_work *w = &stage->graphs[i].work;
        if (stage->graphs[i].graph && w->piece == work->piece && w->encoder == work->encoder &&
            w->height == work->height && w->width == work->width) {
            return &stage->graphs[i];
        }
    }
    return NULL;
}

// All values of a tensor.
static ht_status write_all(ht_tensor *tensor, const float *values) {
    return ht_tensor_write_f32(tensor, values, ht_desc_count(ht_tensor_get_desc(tensor)));
}

ht_status ht_vae_run(ht_pipeline *p, ht_vae_stage *stage, const ht_vae_work *work, const float *in,
                     const float *statistics, float *out) {
    ht_vae_graph *s = find(stage, work);
    const bool first = s == NULL;
    ht_status status = HT_OK;
    if (first) {
        s = &stage->graphs[stage->next_graph];
        stage->next_graph = (stage->next_graph + 1) % VAE_GRAPHS;
        ht_vae_graph_clear(s);
        s->work = *work;
        status = ht_vae_graph_build(p, stage, s);
    }
    if (status == HT_OK) {
        status = write_all(s->in, in);
    }
    if (status == HT_OK && s->statistics) {
        status = write_all(s->statistics, statistics);
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, s->graph, first);
    }
    if (status == HT_OK) {
        status = ht_tensor_read_f32(s->out, out, ht_desc_count(ht_tensor_get_desc(s->out)));
    }
    if (status != HT_OK) {
        ht_vae_graph_clear(s);
    }
    return status;
}

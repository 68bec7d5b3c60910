// The halves of a video autoencoder, piece by piece through their two graphs.
#include "pipeline_internal.h"

void ht_clip_release(ht_clip_stage *clip) {
    for (int i = 0; i < 2; ++i) {
        ht_vae_graph_clear(&clip->pieces[i]);
    }
    ht_wan_memory_release(&clip->memory);
    *clip = (ht_clip_stage){0};
}

ht_status ht_clip_restart(ht_vae_stage *stage, ht_clip_stage *clip, bool encoder, uint32_t height,
                          uint32_t width) {
    (void)stage;
    if (clip->encoder != encoder || clip->height != height || clip->width != width) {
        ht_clip_release(clip);
        *clip = (ht_clip_stage){.encoder = encoder, .height = height, .width = width};
    }
    return ht_wan_memory_restart(&clip->memory);
}

static ht_status make_tensors(ht_pipeline *p, const ht_vae_config *c, const ht_clip_stage *clip,
                              uint32_t frames, ht_vae_graph *piece) {
    const uint32_t factor = ht_vae_factor(c);
    const uint32_t pixels[HT_MAX_RANK] = {frames, clip->height * factor, clip->width * factor, 3};
    const uint32_t latent[HT_MAX_RANK] = {1, clip->height, clip->width,
                                          c->latent_channels * (clip->encoder ? 2 : 1)};
    const uint32_t *in = clip->encoder ? pixels : latent, *out = clip->encoder ? latent : pixels;
    ht_status status = ht_stage_tensor(p, HT_FORMAT_F32, in, "piece of a clip", &piece->in);
    return status == HT_OK ? ht_stage_tensor(p, HT_FORMAT_F32, out, "piece of a clip", &piece->out)
                           : status;
}

static ht_status build(ht_pipeline *p, ht_vae_stage *stage, ht_clip_stage *clip, bool first) {
    static const char *const labels[2][2] = {{"vae decoder", "vae decoder, first frame"},
                                             {"vae encoder", "vae encoder, first frame"}};
    ht_vae_graph *piece = &clip->pieces[first ? 0 : 1];
    ht_status status =
        make_tensors(p, &stage->config, clip, first ? 1 : HT_WAN_VAE_TIMES, piece);
    if (status == HT_OK) {
        status =
            ht_stage_graph(p, labels[clip->encoder][first], stage->activations, &piece->graph);
    }
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = piece->graph;
    ht_weights *weights = p->parts[stage->part].weights;
    ht_value x = ht_graph_tensor(g, piece->in);
    x = clip->encoder ? ht_wan_vae_encode(g, &stage->config, weights, x, &clip->memory, first)
                      : ht_wan_vae_decode(g, &stage->config, weights, x, &clip->memory, first);
    ht_graph_output(g, x, piece->out);
    return ht_graph_finish(g);
}

static uint64_t values_of(const ht_tensor *tensor) {
    return ht_desc_count(ht_tensor_get_desc(tensor));
}

ht_status ht_clip_run_piece(ht_run *run, ht_vae_stage *stage, ht_clip_stage *clip, bool first,
                        const float *in, float *out) {
    ht_pipeline *p = run->pipeline;
    ht_vae_graph *piece = &clip->pieces[first ? 0 : 1];
    const bool fresh = piece->graph == NULL;
    ht_status status = fresh ? build(p, stage, clip, first) : HT_OK;
    if (status == HT_OK) {
        status = ht_tensor_write_f32(piece->in, in, values_of(piece->in));
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, piece->graph, fresh);
    }
    if (status == HT_OK) {
        status = ht_tensor_read_f32(piece->out, out, values_of(piece->out));
    }
    if (status == HT_OK) {
        ht_part_account(p, stage->part, piece->graph, run->report);
    }
    return status;
}

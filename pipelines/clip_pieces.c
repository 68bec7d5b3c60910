// The halves of a video autoencoder, piece by piece through their two graphs.
#include "pipeline_internal.h"

#include "autoencoder_taehv.h"

void ht_clip_release(ht_clip_stage *clip) {
    for (int i = 0; i < 2; ++i) {
        ht_vae_graph_clear(&clip->pieces[i]);
    }
    ht_clip_memory_release(&clip->memory);
    *clip = (ht_clip_stage){0};
}

ht_status ht_clip_restart(ht_clip_stage *clip, const ht_vae_work *work) {
    const ht_vae_work *now = &clip->work;
    if (now->encoder != work->encoder || now->piece != work->piece || now->height != work->height ||
        now->width != work->width) {
        ht_clip_release(clip);
        clip->work = *work;
    }
    return ht_clip_memory_restart(&clip->memory);
}

static ht_status make_tensors(ht_pipeline *p, const ht_vae_config *c, const ht_vae_work *work,
                              uint32_t frames, ht_vae_graph *piece) {
    const bool global = work->piece == VAE_GLOBAL;
    const uint32_t factor = global ? 1 : ht_vae_factor(c);
    uint32_t outer[HT_MAX_RANK] = {global ? 1 : frames, work->height * factor,
                                   work->width * factor};
    uint32_t inner[HT_MAX_RANK] = {1, work->height, work->width};
    uint32_t *in = work->encoder ? outer : inner, *out = work->encoder ? inner : outer;
    in[3] = ht_vae_channels_in(c, work);
    out[3] = ht_vae_channels_out(c, work);
    ht_status status = ht_stage_tensor(p, HT_FORMAT_F32, in, "piece of a clip", &piece->in);
    return status == HT_OK ? ht_stage_tensor(p, HT_FORMAT_F32, out, "piece of a clip", &piece->out)
                           : status;
}

static ht_status build(ht_pipeline *p, ht_vae_stage *stage, ht_clip_stage *clip, bool first) {
    static const char *const labels[2][2] = {{"vae decoder", "vae decoder, first frame"},
                                             {"vae encoder", "vae encoder, first frame"}};
    const ht_vae_work *work = &clip->work;
    const uint32_t pieces = work->piece == VAE_GLOBAL  ? HT_WAN_VAE_GLOBAL
                            : work->piece == VAE_LOCAL ? HT_WAN_VAE_LOCAL
                                                       : HT_WAN_VAE_WHOLE;
    ht_vae_graph *piece = &clip->pieces[first ? 0 : 1];
    ht_status status = make_tensors(p, &stage->config, work, first ? 1 : HT_CLIP_TIMES, piece);
    if (status == HT_OK) {
        status = ht_stage_graph(p, labels[work->encoder][first], stage->activations, &piece->graph);
    }
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = piece->graph;
    ht_weights *weights = p->parts[stage->part].weights;
    ht_value x = ht_graph_tensor(g, piece->in);
    ht_value (*half)(ht_graph *, const ht_vae_config *, ht_weights *, ht_value, ht_clip_memory *,
                     uint32_t, bool) = work->encoder ? ht_wan_vae_encode : ht_wan_vae_decode;
    x = stage->config.tiny ? ht_taehv_decode(g, &stage->config, weights, x, &clip->memory, first)
                           : half(g, &stage->config, weights, x, &clip->memory, pieces, first);
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

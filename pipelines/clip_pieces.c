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

ht_status ht_clip_restart(ht_clip_stage *clip, const ht_vae_work *work, uint32_t begins) {
    const ht_vae_work *now = &clip->work;
    if (now->encoder != work->encoder || now->piece != work->piece || now->height != work->height ||
        now->width != work->width || clip->begins != begins) {
        ht_clip_release(clip);
        clip->work = *work;
        clip->begins = begins;
    }
    return ht_clip_memory_restart(&clip->memory);
}

uint32_t ht_clip_piece_latents(const ht_vae_config *vae, uint32_t all, uint32_t done) {
    return vae->piece <= 1 || all == 1 ? 1 : done == 0 ? vae->piece + 1 : vae->piece;
}

uint32_t ht_clip_piece_frames(uint32_t latent_frames, bool first) {
    return HT_CLIP_TIMES * latent_frames - (first ? HT_CLIP_TIMES - 1 : 0);
}

static ht_status make_tensors(ht_pipeline *p, const ht_vae_config *c, const ht_clip_stage *clip,
                              bool first, ht_vae_graph *piece) {
    const ht_vae_work *work = &clip->work;
    const bool global = work->piece == VAE_GLOBAL;
    const uint32_t factor = global ? 1 : ht_vae_factor(c);
    const uint32_t latents = first ? clip->begins : c->piece;
    uint32_t outer[HT_MAX_RANK] = {global ? latents : ht_clip_piece_frames(latents, first),
                                   work->height * factor, work->width * factor};
    uint32_t inner[HT_MAX_RANK] = {latents, work->height, work->width};
    uint32_t *in = work->encoder ? outer : inner, *out = work->encoder ? inner : outer;
    in[3] = ht_vae_channels_in(c, work);
    out[3] = ht_vae_channels_out(c, work);
    ht_status status = ht_stage_tensor(p, HT_FORMAT_F32, in, "piece of a clip", &piece->in);
    return status == HT_OK ? ht_stage_tensor(p, HT_FORMAT_F32, out, "piece of a clip", &piece->out)
                           : status;
}

// Half the VAE, or a piece of it, of whatever class.
static ht_value half_of(ht_graph *g, const ht_vae_stage *stage, const ht_vae_work *work,
                        ht_weights *weights, ht_value x, ht_clip_memory *memory, bool first) {
    const ht_vae_config *c = &stage->config;
    const uint32_t pieces = work->piece == VAE_GLOBAL  ? HT_WAN_VAE_GLOBAL
                            : work->piece == VAE_LOCAL ? HT_WAN_VAE_LOCAL
                                                       : HT_WAN_VAE_WHOLE;
    if (c->tiny) {
        return ht_taehv_decode(g, c, weights, x, memory, first);
    }
    if (c->piece > 1) {
        return (work->encoder ? ht_cogvideox_vae_encode : ht_cogvideox_vae_decode)(g, c, weights, x,
                                                                                   memory, first);
    }
    return (work->encoder ? ht_wan_vae_encode : ht_wan_vae_decode)(g, c, weights, x, memory, pieces,
                                                                   first);
}

static ht_status build(ht_pipeline *p, ht_vae_stage *stage, ht_clip_stage *clip, bool first) {
    static const char *const labels[2][2] = {{"vae decoder", "vae decoder, first frame"},
                                             {"vae encoder", "vae encoder, first frame"}};
    const ht_vae_work *work = &clip->work;
    ht_vae_graph *piece = &clip->pieces[first ? 0 : 1];
    ht_status status = make_tensors(p, &stage->config, clip, first, piece);
    if (status == HT_OK) {
        status = ht_stage_graph(p, labels[work->encoder][first], stage->activations, &piece->graph);
    }
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = piece->graph;
    ht_value x = ht_graph_tensor(g, piece->in);
    x = half_of(g, stage, work, p->parts[stage->part].weights, x, &clip->memory, first);
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
    if (first && clip->begins > 1) { // larger than all others, and run once a clip
        ht_vae_graph_clear(piece);
    }
    return status;
}

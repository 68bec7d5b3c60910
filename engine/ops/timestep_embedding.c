// timestep_embedding: sines and cosines of t at falling frequencies, as in get_timestep_embedding
// of diffusers.
#include "op_util.h"

#include "timestep_embedding.shared.h"

#include <math.h>

typedef struct params {
    uint32_t dim;
    uint32_t flip_sin_to_cos;
} params;

enum { T, FREQS };

static const ht_op_def TIMESTEP_EMBEDDING;

// The frequencies are computed here, in f32 and in the order of the original: a difference in the
// last place of one moves the sine of a large argument by 3e-5.
static ht_value frequencies(ht_graph *g, const ht_timestep_embedding_args *args) {
    const uint32_t half = args->dim / 2;
    const double period = args->max_period != 0.0f ? (double)args->max_period : 10000.0;
    const float log_period = (float)-log(period);
    const float divisor = (float)((double)half - (double)args->downscale_freq_shift);
    const ht_tensor_desc desc = {.format = HT_FORMAT_F32, .rank = 1, .dims = {half}};
    float *freqs = ht_alloc(ht_graph_context(g), half * sizeof *freqs);
    if (freqs == NULL) {
        ht_graph_fail(g, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    for (uint32_t i = 0; i < half; i++) {
        const float numerator = log_period * (float)i;
        const float exponent = numerator / divisor;
        freqs[i] = (float)exp((double)exponent);
    }
    const ht_value value = ht_graph_constant(g, &desc, freqs);
    ht_free(ht_graph_context(g), freqs);
    return value;
}

ht_value ht_op_timestep_embedding(ht_graph *g, ht_value t, const ht_timestep_embedding_args *args) {
    const params p = {args->dim, args->flip_sin_to_cos};
    const bool sound =
        args->dim >= 2 && args->dim % 2 == 0 && (float)(args->dim / 2) > args->downscale_freq_shift;
    if (ht_graph_status(g) == HT_OK && !sound) {
        ht_graph_fail(g, ht_fail(ht_graph_context(g), HT_ERR_INVALID,
                                 "timestep_embedding: dim must be even and more than twice the "
                                 "frequency shift (%g), is %u",
                                 (double)args->downscale_freq_shift, args->dim));
    }
    if (ht_graph_status(g) != HT_OK) {
        return (ht_value){0};
    }
    const ht_value inputs[] = {t, frequencies(g, args)};
    return ht_op_add_node(g, &TIMESTEP_EMBEDDING, inputs, 2, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    char text[128];
    if (call->in[T].format != HT_FORMAT_F32 || call->in[T].rank != 1) {
        return ht_op_fail(call, &TIMESTEP_EMBEDDING, "t must be f32 [n], not %s",
                          ht_desc_text(&call->in[T], text, sizeof text));
    }
    call->out.rank = 2;
    call->out.dims[0] = call->in[T].dims[0];
    call->out.dims[1] = p->dim;
    return HT_OK;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    const ht_push_timestep_embedding push = {
        .t = call->in_address[T],
        .freqs = call->in_address[FREQS],
        .result = call->out_address,
        .count = call->in[T].dims[0] * (p->dim / 2),
        .half_dim = p->dim / 2,
        .sin_at = p->flip_sin_to_cos ? p->dim / 2 : 0,
    };
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_timestep_embedding,
        .constants = {[1] = call->out.format},
        .n_constants = 2,
        .push = &push,
        .push_bytes = sizeof push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, push.count);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    ht_ref_timestep_embedding(inputs[T], call->in[T].dims[0], inputs[FREQS], p->dim,
                              p->flip_sin_to_cos != 0, out);
    return HT_OK;
}

static const ht_op_def TIMESTEP_EMBEDDING = {
    .name = "timestep_embedding", .infer = infer, .record = record, .reference = reference};

// The parts of PixArt that do not change from step to step: timestep modulation and text context.
#include "pixart.h"

#include "common/adaln.h"

uint32_t ht_pixart_modulations(const ht_pixart_config *config) {
    return 6 * config->layers + 2;
}

// Sinusoid of 256 -> linear -> silu -> linear.   numbers [n] -> [n, outputs]
static ht_value embed_numbers(const ht_nn *nn, const char *prefix, ht_value numbers,
                              uint32_t outputs) {
    char name[HT_NAME_BYTES];
    ht_timestep_embedding_args args = {.dim = 256, .flip_sin_to_cos = true};
    ht_value waves = ht_op_timestep_embedding(nn->graph, numbers, &args);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = HT_ACT_SILU;
    ht_value x = ht_nn_linear(nn, ht_nn_name(name, "%s.linear_1", prefix), waves, outputs, &rest);
    return ht_nn_linear(nn, ht_nn_name(name, "%s.linear_2", prefix), x, outputs, NULL);
}

// The embedded timestep with what else it is conditioned on.  -> [R, C]
static ht_value embed_time(const ht_nn *nn, const ht_pixart_config *c, ht_value timesteps,
                           ht_value resolution, ht_value aspect) {
    uint32_t width = c->heads * c->head_dim, third = width / 3;
    uint32_t rows = ht_nn_width(nn, timesteps);
    ht_value e = embed_numbers(nn, "adaln_single.emb.timestep_embedder", timesteps, width);
    if (!c->additional_conditions) {
        return e;
    }
    ht_value size =
        embed_numbers(nn, "adaln_single.emb.resolution_embedder", resolution, third); // [2R, C/3]
    size = ht_nn_view(nn, size, (uint32_t[6]){rows, 2 * third});
    ht_value ratio = embed_numbers(nn, "adaln_single.emb.aspect_ratio_embedder", aspect, third);
    return ht_op_add(nn->graph, e, ht_op_concat(nn->graph, size, ratio, 1));
}

ht_value ht_pixart_time(ht_graph *graph, const ht_pixart_config *config, ht_weights *weights,
                        ht_value timesteps, ht_value resolution, ht_value aspect) {
    const ht_nn nn = {
        .graph = graph, .weights = weights, .recipe = config->recipe, .lora = config->lora};
    uint32_t width = config->heads * config->head_dim;
    ht_value e = embed_time(&nn, config, timesteps, resolution, aspect); // [R, C]
    ht_value six = ht_nn_linear(&nn, "adaln_single.linear", ht_op_activation(graph, e, HT_ACT_SILU),
                                6 * width, NULL);
    return ht_adaln_table(&nn, "transformer_blocks", config->layers, 2, six, e);
}

void ht_pixart_context(ht_graph *graph, const ht_pixart_config *config, ht_weights *weights,
                       ht_value text, ht_value *keys, ht_value *values) {
    const ht_nn nn = {
        .graph = graph, .weights = weights, .recipe = config->recipe, .lora = config->lora};
    uint32_t width = config->heads * config->head_dim;
    if (config->caption_channels > 0) {
        ht_epilogue rest = HT_EPILOGUE_NONE;
        rest.act = HT_ACT_GELU_TANH;
        text = ht_nn_linear(&nn, "caption_projection.linear_1", text, width, &rest);
        text = ht_nn_linear(&nn, "caption_projection.linear_2", text, width, NULL); // [B, T, C]
    }
    for (uint32_t i = 0; i < config->layers; ++i) {
        char name[HT_NAME_BYTES];
        ht_nn_name(name, "transformer_blocks.%u.attn2.to_k", i);
        keys[i] = ht_nn_linear(&nn, name, text, width, NULL);
        ht_nn_name(name, "transformer_blocks.%u.attn2.to_v", i);
        values[i] = ht_nn_linear(&nn, name, text, width, NULL);
    }
}

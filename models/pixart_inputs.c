// The parts of PixArt that do not change from step to step: timestep modulation and text context.
#include "pixart.h"

#include "common/layers.h"

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

// All scale_shift_table tensors of the blocks as one constant.  -> [layers, 6C] f32
static ht_value block_tables(const ht_nn *nn, const ht_pixart_config *c) {
    ht_context *context = ht_graph_context(nn->graph);
    uint32_t width = 6 * c->heads * c->head_dim;
    float *table = ht_alloc(context, (size_t)c->layers * width * sizeof(*table));
    ht_status status = table ? HT_OK : HT_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < c->layers && status == HT_OK; ++i) {
        char name[HT_NAME_BYTES];
        ht_nn_name(name, "transformer_blocks.%u.scale_shift_table", i);
        status = ht_weights_read_f32(nn->weights, name, table + (size_t)i * width, width);
    }
    ht_value value = {0};
    if (status == HT_OK) {
        ht_tensor_desc desc = {.format = HT_FORMAT_F32,
                               .rank = 2,
                               .dims = {c->layers, width},
                               .label = "scale_shift_table of all blocks"};
        value = ht_graph_constant(nn->graph, &desc, table);
    } else {
        ht_graph_fail(nn->graph, status);
    }
    ht_free(context, table);
    return value;
}

// x [R, n] -> [R, count, n], every row `count` times: a gather with repeated ids.
static ht_value repeat_rows(const ht_nn *nn, ht_value x, uint32_t rows, uint32_t count) {
    ht_context *context = ht_graph_context(nn->graph);
    int32_t *ids = ht_alloc(context, (size_t)rows * count * sizeof(*ids));
    if (!ids) {
        ht_graph_fail(nn->graph, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    for (uint32_t i = 0; i < rows * count; ++i) {
        ids[i] = (int32_t)(i / count);
    }
    ht_tensor_desc desc = {
        .format = HT_FORMAT_I32, .rank = 2, .dims = {rows, count}, .label = "repeat"};
    ht_value repeated = ht_op_embedding(nn->graph, x, ht_graph_constant(nn->graph, &desc, ids));
    ht_free(context, ids);
    return repeated;
}

ht_value ht_pixart_time(ht_graph *graph, const ht_pixart_config *config, ht_weights *weights,
                        ht_value timesteps, ht_value resolution, ht_value aspect) {
    const ht_nn nn = {
        .graph = graph, .weights = weights, .recipe = config->recipe, .lora = config->lora};
    uint32_t width = config->heads * config->head_dim;
    uint32_t rows = ht_nn_width(&nn, timesteps), layers = config->layers;
    if (rows == 0) {
        return (ht_value){0};
    }
    ht_value e = embed_time(&nn, config, timesteps, resolution, aspect); // [R, C]
    ht_value six = ht_nn_linear(&nn, "adaln_single.linear", ht_op_activation(graph, e, HT_ACT_SILU),
                                6 * width, NULL);
    ht_value blocks = ht_op_add(graph, repeat_rows(&nn, six, rows, layers),
                                block_tables(&nn, config)); // [R, layers, 6C]
    blocks = ht_nn_view(&nn, blocks, (uint32_t[6]){rows, 6 * layers, width});
    // The last norm adds the embedded timestep itself, not what the blocks get.
    uint32_t dims[2] = {2, width};
    ht_value table =
        ht_graph_weight(graph, weights, "scale_shift_table", HT_WEIGHT_VECTOR, 2, dims);
    ht_value last = ht_op_add(graph, repeat_rows(&nn, e, rows, 2), table); // [R, 2, C]
    return ht_op_concat(graph, blocks, last, 1);
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

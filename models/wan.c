// Wan's transformers: blocks of self-attention with rotary positions in three dimensions, of
// cross-attention to the text, and a feed-forward.
#include "wan.h"

#include "common/adaln.h"
#include "common/positions.h"

uint32_t ht_wan_modulations(const ht_wan_config *config) {
    return 6 * config->layers + 2;
}

static ht_nn layers_of(ht_graph *graph, const ht_wan_config *config, ht_weights *weights) {
    return (ht_nn){
        .graph = graph, .weights = weights, .recipe = config->recipe, .lora = config->lora};
}

static uint32_t width_of(const ht_wan_config *c) {
    return c->heads * c->head_dim;
}

ht_value ht_wan_time(ht_graph *graph, const ht_wan_config *config, ht_weights *weights,
                     ht_value timesteps) {
    const ht_nn nn = layers_of(graph, config, weights);
    uint32_t width = width_of(config);
    ht_timestep_embedding_args args = {.dim = config->frequencies, .flip_sin_to_cos = true};
    ht_value waves = ht_op_timestep_embedding(graph, timesteps, &args);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = HT_ACT_SILU;
    ht_value e =
        ht_nn_linear(&nn, "condition_embedder.time_embedder.linear_1", waves, width, &rest);
    e = ht_nn_linear(&nn, "condition_embedder.time_embedder.linear_2", e, width, NULL); // [R, C]
    ht_value six = ht_nn_linear(&nn, "condition_embedder.time_proj",
                                ht_op_activation(graph, e, HT_ACT_SILU), 6 * width, NULL);
    return ht_adaln_table(&nn, "blocks", config->layers, 3, six, e);
}

void ht_wan_context(ht_graph *graph, const ht_wan_config *config, ht_weights *weights,
                    ht_value text, ht_value *keys, ht_value *values) {
    const ht_nn nn = layers_of(graph, config, weights);
    uint32_t width = width_of(config);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = HT_ACT_GELU_TANH;
    text = ht_nn_linear(&nn, "condition_embedder.text_embedder.linear_1", text, width, &rest);
    text = ht_nn_linear(&nn, "condition_embedder.text_embedder.linear_2", text, width, NULL);
    for (uint32_t i = 0; i < config->layers; ++i) {
        char name[HT_NAME_BYTES];
        keys[i] = ht_nn_linear(&nn, ht_nn_name(name, "blocks.%u.attn2.to_k", i), text, width, NULL);
        keys[i] = ht_nn_rms_norm(&nn, ht_nn_name(name, "blocks.%u.attn2.norm_k", i), keys[i],
                                 config->eps);
        values[i] =
            ht_nn_linear(&nn, ht_nn_name(name, "blocks.%u.attn2.to_v", i), text, width, NULL);
    }
}

// tokens [1, T, image_channels] -> [1, T, C]
static ht_value embed_image(const ht_nn *nn, const ht_wan_config *c, ht_value image) {
    static const float eps = 1e-5f; // of these norms alone, whatever the configuration says
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = HT_ACT_GELU_ERF;
    image = ht_nn_layer_norm(nn, "condition_embedder.image_embedder.norm1", image, eps);
    image = ht_nn_linear(nn, "condition_embedder.image_embedder.ff.net.0.proj", image,
                         c->image_channels, &rest);
    image =
        ht_nn_linear(nn, "condition_embedder.image_embedder.ff.net.2", image, width_of(c), NULL);
    return ht_nn_layer_norm(nn, "condition_embedder.image_embedder.norm2", image, eps);
}

void ht_wan_image_context(ht_graph *graph, const ht_wan_config *config, ht_weights *weights,
                          ht_value image, ht_value *keys, ht_value *values) {
    const ht_nn nn = layers_of(graph, config, weights);
    image = embed_image(&nn, config, image);
    for (uint32_t i = 0; i < config->layers; ++i) {
        char name[HT_NAME_BYTES];
        ht_nn_name(name, "blocks.%u.attn2.add_k_proj", i);
        keys[i] = ht_nn_linear(&nn, name, image, width_of(config), NULL);
        ht_nn_name(name, "blocks.%u.attn2.norm_added_k", i);
        keys[i] = ht_nn_rms_norm(&nn, name, keys[i], config->eps);
        ht_nn_name(name, "blocks.%u.attn2.add_v_proj", i);
        values[i] = ht_nn_linear(&nn, name, image, width_of(config), NULL);
    }
}

void ht_wan_positions(const ht_wan_config *config, uint32_t frames, uint32_t rows, uint32_t columns,
                      float *table) {
    // Values of a head for each axis: the frame gets what rows and columns leave.
    const uint32_t across = 2 * (config->head_dim / 6);
    const ht_rotary_axis axes[3] = {{0, 1, frames, config->head_dim - 2 * across},
                                    {0, 1, rows, across},
                                    {0, 1, columns, across}};
    ht_rotary_grid(axes, table);
}

// latent [B, frames * H, W, in] -> tokens [B, frames * H/p * W/p, C]
static ht_value embed_patches(const ht_nn *nn, const ht_wan_config *c, const ht_wan_inputs *in,
                              ht_tensor_desc *d) {
    uint32_t p = c->patch, frames = in->frames, width = width_of(c);
    if (d->rank != 4 || frames == 0 || d->dims[1] % (frames * p) != 0 || d->dims[2] % p != 0 ||
        frames > c->max_positions || d->dims[1] / frames / p > c->max_positions ||
        d->dims[2] / p > c->max_positions) {
        ht_graph_fail(nn->graph,
                      d->rank == 0
                          ? ht_graph_status(nn->graph)
                          : ht_fail(ht_graph_context(nn->graph), HT_ERR_INVALID,
                                    "wan: %u frames, together a latent of %u x %u: sizes must be "
                                    "multiples of %u, and at most %u tokens along each axis",
                                    frames, d->dims[1], d->dims[2], p, c->max_positions));
        return (ht_value){0};
    }
    uint32_t batch = d->dims[0], h = d->dims[1] / frames, w = d->dims[2];
    ht_value x = ht_nn_view(nn, in->latent, (uint32_t[6]){batch * frames, h, w, c->in_channels});
    ht_conv2d_args args = {.stride = p, .upsample = 1, .epilogue = HT_EPILOGUE_NONE};
    args.epilogue.bias = ht_nn_bias(nn, "patch_embedding", width);
    x = ht_nn_conv_moment(nn, "patch_embedding", x, width, 1, 0, p, args);
    return ht_nn_view(nn, x, (uint32_t[6]){batch, frames * (h / p) * (w / p), width});
}

static ht_value positions(const ht_nn *nn, const ht_wan_config *c, uint32_t frames,
                          const ht_tensor_desc *latent) {
    ht_context *context = ht_graph_context(nn->graph);
    uint32_t rows = latent->dims[1] / frames / c->patch, columns = latent->dims[2] / c->patch;
    ht_tensor_desc desc = {.format = HT_FORMAT_F32,
                           .rank = 2,
                           .dims = {frames * rows * columns, c->head_dim},
                           .label = "positions"};
    float *table = ht_alloc(context, ht_desc_bytes(&desc));
    if (!table) {
        ht_graph_fail(nn->graph, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    ht_wan_positions(c, frames, rows, columns, table);
    ht_value value = ht_graph_constant(nn->graph, &desc, table);
    ht_free(context, table);
    return value;
}

// prefix.to_<what>, and for queries and keys the norm over all heads.
static ht_value projection(const ht_nn *nn, const ht_wan_config *c, const char *prefix,
                           const char *what, ht_value x, bool normalised) {
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s.to_%s", prefix, what);
    ht_value y = ht_nn_linear(nn, name, x, width_of(c), NULL);
    ht_nn_name(name, "%s.norm_%s", prefix, what);
    return normalised ? ht_nn_rms_norm(nn, name, y, c->eps) : y;
}

// x [B, T, C] -> [B, T, C]; `first` is the block's first modulation row.
static ht_value self_attention(const ht_nn *nn, const ht_wan_config *c, const char *block,
                               const ht_attention_grid *grid, ht_value x, ht_value turns,
                               const ht_adaln *m, uint32_t first) {
    char prefix[HT_NAME_BYTES], name[HT_NAME_BYTES];
    ht_nn_name(prefix, "%s.attn1", block);
    ht_value n = ht_adaln_norm(nn, m, first, x, c->eps);
    ht_value q = ht_op_rope(nn->graph, projection(nn, c, prefix, "q", n, true), turns);
    ht_value k = ht_op_rope(nn->graph, projection(nn, c, prefix, "k", n, true), turns);
    ht_value v = projection(nn, c, prefix, "v", n, false);
    ht_value mixed = ht_self_attention(nn->graph, nn->attention, prefix, grid, q, k, v, c->heads);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.gate = ht_adaln_row(nn, m, first + 2);
    rest.residual = x;
    return ht_nn_linear(nn, ht_nn_name(name, "%s.to_out.0", prefix), mixed, width_of(c), &rest);
}

// Of block i, to the text and, where there is one, to the picture.   x [B, T, C] -> [B, T, C]
static ht_value cross_attention(const ht_nn *nn, const ht_wan_config *c, uint32_t i, ht_value x,
                                const ht_wan_inputs *in) {
    char prefix[HT_NAME_BYTES], name[HT_NAME_BYTES];
    ht_nn_name(prefix, "blocks.%u.attn2", i);
    ht_nn_name(name, "blocks.%u.norm2", i);
    ht_value n = c->cross_norm ? ht_nn_layer_norm(nn, name, x, c->eps) : x;
    ht_value q = projection(nn, c, prefix, "q", n, true);
    ht_attention_args args = {.heads = c->heads, .rel_bias = HT_NO_VALUE, .mask = HT_NO_VALUE};
    ht_value mixed = ht_op_attention(nn->graph, q, in->keys[i], in->values[i], &args);
    if (in->image_keys) {
        ht_value seen =
            ht_op_attention(nn->graph, q, in->image_keys[i], in->image_values[i], &args);
        mixed = ht_op_add(nn->graph, mixed, seen);
    }
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = x;
    return ht_nn_linear(nn, ht_nn_name(name, "%s.to_out.0", prefix), mixed, width_of(c), &rest);
}

// x [B, T, C] -> [B, T, C]
static ht_value feed_forward(const ht_nn *nn, const ht_wan_config *c, const char *block, ht_value x,
                             const ht_adaln *m, uint32_t first) {
    char name[HT_NAME_BYTES];
    ht_value n = ht_adaln_norm(nn, m, first, x, c->eps);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = HT_ACT_GELU_TANH;
    ht_value inner =
        ht_nn_linear(nn, ht_nn_name(name, "%s.ffn.net.0.proj", block), n, c->ffn, &rest);
    rest = HT_EPILOGUE_NONE;
    rest.gate = ht_adaln_row(nn, m, first + 2);
    rest.residual = x;
    return ht_nn_linear(nn, ht_nn_name(name, "%s.ffn.net.2", block), inner, width_of(c), &rest);
}

ht_value ht_wan_step(ht_graph *graph, const ht_wan_config *config, ht_weights *weights,
                     const ht_wan_inputs *in) {
    ht_nn nn = layers_of(graph, config, weights);
    nn.scales = in->scales;
    ht_tensor_desc latent = ht_graph_value_desc(graph, in->latent);
    ht_value x = embed_patches(&nn, config, in, &latent);
    if (x.id == 0) {
        return x;
    }
    const ht_attention_grid grid = {0, in->frames, latent.dims[1] / config->patch / in->frames,
                                    latent.dims[2] / config->patch};
    nn.attention = config->attention;
    ht_value turns = positions(&nn, config, in->frames, &latent);
    ht_adaln m = ht_adaln_pick(&nn, in->modulation, in->step);
    for (uint32_t i = 0; i < config->layers; ++i) {
        char block[HT_NAME_BYTES], scope[HT_NAME_BYTES];
        ht_nn_name(block, "blocks.%u", i);
        ht_graph_scope(graph, ht_nn_name(scope, "block %u", i));
        x = self_attention(&nn, config, block, &grid, x, turns, &m, 6 * i);
        x = cross_attention(&nn, config, i, x, in);
        x = feed_forward(&nn, config, block, x, &m, 6 * i + 3);
    }
    ht_graph_scope(graph, "");
    x = ht_adaln_norm(&nn, &m, 6 * config->layers, x, config->eps);
    x = ht_nn_linear(&nn, "proj_out", x, config->patch * config->patch * config->out_channels,
                     NULL);
    return ht_nn_unpatchify(&nn, x, &latent, config->patch, config->out_channels,
                            HT_PATCH_CHANNEL_LAST);
}

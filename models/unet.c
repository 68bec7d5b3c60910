// UNet2DConditionModel: its three graphs.
#include "unet_internal.h"

#define TRANSFORMER_NORM_EPS 1e-6f
#define LAYER_NORM_EPS 1e-5f

static bool given(ht_value value) {
    return value.id != HT_NO_VALUE.id;
}

// linear_2(silu(linear_1(x)))   x [R, K] -> [R, 4 C]
static ht_value two_layers(const ht_nn *nn, const char *prefix, ht_value x, uint32_t width) {
    char name[HT_NAME_BYTES];
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = HT_ACT_SILU;
    x = ht_nn_linear(nn, ht_nn_name(name, "%s.linear_1", prefix), x, width, &rest);
    return ht_nn_linear(nn, ht_nn_name(name, "%s.linear_2", prefix), x, width, NULL);
}

// SDXL: pooled text and embedded size numbers.   -> [B, 4 C]
static ht_value added(const ht_nn *nn, const ht_unet_config *c, const ht_unet_conditions *in) {
    ht_tensor_desc pooled = ht_graph_value_desc(nn->graph, in->pooled);
    ht_timestep_embedding_args args = {.dim = c->time_ids_dim, .flip_sin_to_cos = true};
    ht_value sizes = ht_op_timestep_embedding(nn->graph, in->time_ids, &args); // [6 B, dim]
    if (pooled.rank != 2) {
        return (ht_value){0};
    }
    uint32_t dims[6] = {pooled.dims[0], HT_UNET_TIME_IDS * c->time_ids_dim};
    ht_value all = ht_op_concat(nn->graph, in->pooled, ht_nn_view(nn, sizes, dims), 1);
    return two_layers(nn, "add_embedding", all, 4 * c->channels[0]);
}

// -> silu of the embedding of every timestep, [R, 4 C]
static ht_value embed_time(const ht_nn *nn, const ht_unet_config *c, const ht_unet_conditions *in) {
    ht_graph *g = nn->graph;
    ht_timestep_embedding_args args = {.dim = c->channels[0], .flip_sin_to_cos = true};
    ht_value x = ht_op_timestep_embedding(g, in->timesteps, &args); // [R, C]
    if (given(in->guidance)) {
        args = (ht_timestep_embedding_args){.dim = c->guidance_dim, .downscale_freq_shift = 1};
        ht_value w = ht_op_timestep_embedding(g, in->guidance, &args);
        ht_epilogue rest = HT_EPILOGUE_NONE;
        rest.residual = x;
        x = ht_nn_linear(nn, "time_embedding.cond_proj", w, c->channels[0], &rest);
    }
    uint32_t width = 4 * c->channels[0];
    x = two_layers(nn, "time_embedding", x, width);
    if (given(in->pooled)) {
        ht_value more = added(nn, c, in);
        ht_tensor_desc all = ht_graph_value_desc(g, x), item = ht_graph_value_desc(g, more);
        if (all.rank == 2 && item.rank == 2) {
            uint32_t items = item.dims[0];
            x = ht_nn_view(nn, x, (uint32_t[6]){all.dims[0] / items, items, width});
            x = ht_nn_view(nn, ht_op_add(g, x, more), (uint32_t[6]){all.dims[0], width});
        }
    }
    return ht_op_activation(g, x, HT_ACT_SILU);
}

ht_value ht_unet_time(ht_graph *graph, const ht_unet_config *config, ht_weights *weights,
                      const ht_unet_conditions *conditions) {
    const ht_nn nn = {
        .graph = graph, .weights = weights, .recipe = config->recipe, .lora = config->lora};
    ht_unet_plan *plan = ht_alloc(ht_graph_context(graph), sizeof(*plan));
    if (!plan) {
        ht_graph_fail(graph, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    ht_unet_plan_make(config, plan);
    ht_value e = embed_time(&nn, config, conditions), table = HT_NO_VALUE;
    for (uint32_t i = 0; i < plan->count; ++i) {
        const ht_unet_part *part = &plan->parts[i];
        char name[HT_NAME_BYTES];
        if (part->kind != HT_UNET_RESNET) {
            continue;
        }
        ht_nn_name(name, "%s.time_emb_proj", part->prefix);
        ht_value row = ht_nn_linear(&nn, name, e, part->out, NULL);
        ht_nn_name(name, "%s.conv1", part->prefix);
        row = ht_op_add(graph, row, ht_nn_vector(&nn, name, "bias", part->out));
        table = given(table) ? ht_op_concat(graph, table, row, 1) : row;
    }
    ht_free(ht_graph_context(graph), plan);
    return table;
}

void ht_unet_context(ht_graph *graph, const ht_unet_config *config, ht_weights *weights,
                     ht_value text, ht_value *keys, ht_value *values) {
    const ht_nn nn = {
        .graph = graph, .weights = weights, .recipe = config->recipe, .lora = config->lora};
    ht_unet_plan *plan = ht_alloc(ht_graph_context(graph), sizeof(*plan));
    if (!plan) {
        ht_graph_fail(graph, HT_ERR_NO_MEMORY);
        return;
    }
    ht_unet_plan_make(config, plan);
    for (uint32_t i = 0; i < plan->count; ++i) {
        const ht_unet_part *part = &plan->parts[i];
        for (uint32_t j = 0; j < part->depth; ++j) {
            char layer[HT_NAME_BYTES], name[HT_NAME_BYTES];
            ht_nn_name(layer, "%.64s.transformer_blocks.%u.attn2", part->prefix, j);
            ht_graph_scope(graph, layer);
            ht_unet_text_layer(plan, part->first_layer + j, "to_k", name);
            keys[part->first_layer + j] = ht_nn_linear(&nn, name, text, part->out, NULL);
            ht_unet_text_layer(plan, part->first_layer + j, "to_v", name);
            values[part->first_layer + j] = ht_nn_linear(&nn, name, text, part->out, NULL);
        }
    }
    ht_graph_scope(graph, "");
    ht_free(ht_graph_context(graph), plan);
}

// What the resnets add after their first convolution, this step.
typedef struct time_rows {
    ht_value all; // [rows], or [B, rows] when the items differ
    bool shared;
} time_rows;

static time_rows pick_rows(const ht_nn *nn, const ht_unet_inputs *in) {
    ht_value rows = ht_op_embedding(nn->graph, in->table, in->step); // [n, rows]
    ht_tensor_desc d = ht_graph_value_desc(nn->graph, rows);
    time_rows out = {.shared = d.rank == 2 && d.dims[0] == 1};
    out.all = ht_op_cast(nn->graph, rows, HT_FORMAT_F32);
    if (out.shared) {
        out.all = ht_nn_view(nn, out.all, (uint32_t[6]){d.dims[1]});
    }
    return out;
}

// [B, H, W, in] -> [B, H, W, out]
static ht_value resnet(const ht_nn *nn, const ht_unet_config *c, const ht_unet_part *part,
                       ht_value x, const time_rows *rows) {
    char name[HT_NAME_BYTES];
    ht_value skip = x;
    if (part->in != part->out) { // a 1 x 1 convolution
        skip = ht_nn_linear(nn, ht_nn_name(name, "%s.conv_shortcut", part->prefix), x, part->out,
                            NULL);
    }
    ht_value row =
        ht_op_slice(nn->graph, rows->all, rows->shared ? 0 : 1, part->first_row, part->out);
    ht_conv2d_args args = ht_nn_same_size;
    ht_nn_name(name, "%s.norm1", part->prefix);
    ht_value y = ht_nn_group_norm(nn, name, x, c->groups, c->eps, HT_ACT_SILU);
    if (rows->shared) { // the row has the convolution's own bias
        args.epilogue.bias = row;
    }
    y = ht_nn_conv_plain(nn, ht_nn_name(name, "%s.conv1", part->prefix), y, part->out, 3, args);
    if (!rows->shared) {
        uint32_t items = ht_graph_value_desc(nn->graph, x).dims[0];
        y = ht_op_add(nn->graph, y, ht_nn_view(nn, row, (uint32_t[6]){items, 1, 1, part->out}));
    }
    ht_nn_name(name, "%s.norm2", part->prefix);
    y = ht_nn_group_norm(nn, name, y, c->groups, c->eps, HT_ACT_SILU);
    args = ht_nn_same_size;
    args.epilogue.residual = skip;
    return ht_nn_conv(nn, ht_nn_name(name, "%s.conv2", part->prefix), y, part->out, 3, args);
}

// n [B, T, C] normed; key and value [B, Tk, C] -> x + [B, T, C]. `grid`: of the tokens, where they
// attend to themselves; NULL: to a text.
static ht_value attend(const ht_nn *nn, const ht_unet_part *part, const char *prefix,
                       const ht_attention_grid *grid, ht_value n, ht_value key, ht_value value,
                       ht_value x) {
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s.to_q", prefix);
    ht_value query = ht_nn_linear(nn, name, n, part->out, NULL);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = x;
    ht_value mixed = ht_self_attention(nn->graph, grid ? nn->attention : NULL, prefix, grid, query,
                                       key, value, part->heads);
    return ht_nn_linear(nn, ht_nn_name(name, "%s.to_out.0", prefix), mixed, part->out, &rest);
}

// x [B, T, C] -> [B, T, C]
static ht_value transformer_layer(const ht_nn *nn, const ht_unet_part *part, uint32_t index,
                                  const ht_attention_grid *grid, ht_value x, ht_value key,
                                  ht_value value) {
    char layer[HT_NAME_BYTES], name[HT_NAME_BYTES];
    uint32_t width = part->out;
    ht_nn_name(layer, "%.64s.transformer_blocks.%u", part->prefix, index);
    ht_value n = ht_nn_layer_norm(nn, ht_nn_name(name, "%.100s.norm1", layer), x, LAYER_NORM_EPS);
    ht_nn_name(name, "%.100s.attn1.to_k", layer);
    ht_value own_key = ht_nn_linear(nn, name, n, width, NULL);
    ht_nn_name(name, "%.100s.attn1.to_v", layer);
    ht_value own_value = ht_nn_linear(nn, name, n, width, NULL);
    ht_nn_name(name, "%.100s.attn1", layer);
    x = attend(nn, part, name, grid, n, own_key, own_value, x);
    n = ht_nn_layer_norm(nn, ht_nn_name(name, "%.100s.norm2", layer), x, LAYER_NORM_EPS);
    x = attend(nn, part, ht_nn_name(name, "%.100s.attn2", layer), NULL, n, key, value, x);
    n = ht_nn_layer_norm(nn, ht_nn_name(name, "%.100s.norm3", layer), x, LAYER_NORM_EPS);
    ht_nn_name(name, "%.100s.ff.net.0.proj", layer);
    n = ht_nn_linear(nn, name, n, 8 * width, NULL);
    n = ht_op_gated_activation(nn->graph, n, HT_ACT_GELU_ERF);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = x;
    return ht_nn_linear(nn, ht_nn_name(name, "%.100s.ff.net.2", layer), n, width, &rest);
}

// [B, H, W, C] -> [B, H, W, C]
static ht_value transformer(const ht_nn *nn, const ht_unet_config *c, const ht_unet_part *part,
                            ht_value x, const ht_unet_inputs *in) {
    char name[HT_NAME_BYTES];
    ht_tensor_desc d = ht_graph_value_desc(nn->graph, x);
    if (d.rank != 4) {
        return (ht_value){0};
    }
    const ht_attention_grid grid = {0, 1, d.dims[1], d.dims[2]};
    uint32_t tokens[6] = {d.dims[0], d.dims[1] * d.dims[2], d.dims[3]};
    ht_nn_name(name, "%s.norm", part->prefix);
    ht_value y = ht_nn_group_norm(nn, name, x, c->groups, TRANSFORMER_NORM_EPS, HT_ACT_NONE);
    y = ht_nn_linear(nn, ht_nn_name(name, "%s.proj_in", part->prefix), ht_nn_view(nn, y, tokens),
                     part->out, NULL);
    for (uint32_t i = 0; i < part->depth; ++i) {
        uint32_t layer = part->first_layer + i;
        y = transformer_layer(nn, part, i, &grid, y, in->keys[layer], in->values[layer]);
    }
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = ht_nn_view(nn, x, tokens);
    y = ht_nn_linear(nn, ht_nn_name(name, "%s.proj_out", part->prefix), y, part->out, &rest);
    return ht_nn_view(nn, y, d.dims);
}

static ht_value run_part(const ht_nn *nn, const ht_unet_config *c, const ht_unet_part *part,
                         ht_value x, const time_rows *rows, const ht_unet_inputs *in) {
    ht_conv2d_args args = ht_nn_same_size;
    switch (part->kind) {
    case HT_UNET_RESNET: return resnet(nn, c, part, x, rows);
    case HT_UNET_TRANSFORMER: return transformer(nn, c, part, x, in);
    case HT_UNET_DOWN: args.stride = 2; break;
    case HT_UNET_UP: args.upsample = 2; break;
    }
    return ht_nn_conv(nn, part->prefix, x, part->out, 3, args);
}

static bool check_latent(ht_graph *graph, const ht_unet_config *c, ht_value latent) {
    ht_tensor_desc d = ht_graph_value_desc(graph, latent);
    uint32_t grid = 1u << (c->levels - 1);
    if (d.rank == 4 && d.dims[1] % grid == 0 && d.dims[2] % grid == 0) {
        return true;
    }
    ht_graph_fail(graph, d.rank == 0 ? ht_graph_status(graph)
                                     : ht_fail(ht_graph_context(graph), HT_ERR_INVALID,
                                               "unet: a latent of %u x %u is not a multiple of %u",
                                               d.dims[1], d.dims[2], grid));
    return false;
}

ht_value ht_unet_trunk(const ht_nn *nn, const ht_unet_config *config, const ht_unet_inputs *in,
                       ht_value hint, ht_value *kept, uint32_t *n_kept) {
    ht_graph *graph = nn->graph;
    bool middle = in->control != NULL; // not added to yet
    *n_kept = 0;
    ht_unet_plan *plan = ht_alloc(ht_graph_context(graph), sizeof(*plan));
    if (!plan || !check_latent(graph, config, in->latent)) {
        ht_graph_fail(graph, plan ? ht_graph_status(graph) : HT_ERR_NO_MEMORY);
        ht_free(ht_graph_context(graph), plan);
        return (ht_value){0};
    }
    ht_unet_plan_make(config, plan);
    time_rows rows = pick_rows(nn, in);
    ht_value x = ht_nn_conv(nn, "conv_in", in->latent, config->channels[0], 3, ht_nn_same_size);
    x = given(hint) ? ht_op_add(graph, x, hint) : x;
    kept[(*n_kept)++] = x;
    for (uint32_t i = 0; i < plan->count; ++i) {
        const ht_unet_part *part = &plan->parts[i];
        ht_graph_scope(graph, part->prefix);
        if (part->pop) {
            uint32_t last = --*n_kept;
            x = middle ? ht_op_add(graph, x, in->control[last + 1]) : x;
            middle = false;
            ht_value skip = kept[last];
            skip = in->control ? ht_op_add(graph, skip, in->control[last]) : skip;
            x = ht_op_concat(graph, x, skip, 3);
        }
        x = run_part(nn, config, part, x, &rows, in);
        if (part->push) {
            kept[(*n_kept)++] = x;
        }
    }
    ht_graph_scope(graph, "");
    ht_free(ht_graph_context(graph), plan);
    return x;
}

ht_value ht_unet_step(ht_graph *graph, const ht_unet_config *config, ht_weights *weights,
                      const ht_unet_inputs *in) {
    const ht_nn nn = {.graph = graph,
                      .weights = weights,
                      .recipe = config->recipe,
                      .lora = config->lora,
                      .scales = in->scales,
                      .attention = config->attention};
    ht_value kept[HT_UNET_MAX_PARTS];
    uint32_t n_kept;
    ht_value x = ht_unet_trunk(&nn, config, in, HT_NO_VALUE, kept, &n_kept);
    x = ht_nn_group_norm(&nn, "conv_norm_out", x, config->groups, config->eps, HT_ACT_SILU);
    return ht_nn_conv(&nn, "conv_out", x, config->out_channels, 3, ht_nn_same_size);
}

// PixArt transformers: the step graph, its configuration and its weights.
#include "pixart.h"

#include "common/adaln.h"
#include "common/config.h"

#include <math.h>
#include <string.h>

#define RESOLUTION "adaln_single.emb.resolution_embedder.linear_1.weight"

static ht_status check_kind(ht_context *context, const char *folder, ht_config *json) {
    const char *class_name = ht_config_text(json, "_class_name", "PixArtTransformer2DModel");
    const char *norm = ht_config_text(json, "norm_type", "ada_norm_single");
    const char *act = ht_config_text(json, "activation_fn", "gelu-approximate");
    if (json->status != HT_OK) {
        return json->status;
    }
    // Early folders call it by the name of the generic class.
    if (strcmp(class_name, "PixArtTransformer2DModel") != 0 &&
        strcmp(class_name, "Transformer2DModel") != 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json' describes a %s; supported: PixArtTransformer2DModel, "
                       "Transformer2DModel with ada_norm_single",
                       folder, class_name);
    }
    if (strcmp(norm, "ada_norm_single") != 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': norm_type '%s', expected ada_norm_single", folder, norm);
    }
    if (ht_config_bool(json, "norm_elementwise_affine", false)) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': norm_elementwise_affine is not supported", folder);
    }
    if (strcmp(act, "gelu-approximate") != 0 && strcmp(act, "gelu") != 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': activation_fn '%s' is not supported", folder, act);
    }
    return HT_OK;
}

ht_status ht_pixart_config_read(ht_context *context, const char *folder, const ht_weights *weights,
                                ht_pixart_config *out) {
    ht_config json;
    ht_status status = ht_config_open(context, folder, "config.json", &json);
    if (status != HT_OK) {
        return status;
    }
    uint32_t sample = ht_config_u32(&json, "sample_size", 128, 1, 4096);
    uint32_t in = ht_config_u32(&json, "in_channels", 4, 1, 1024);
    uint32_t out_default = ht_config_is_null(&json, "out_channels") ? in : 8;
    *out = (ht_pixart_config){
        .heads = ht_config_u32(&json, "num_attention_heads", 16, 1, 256),
        .head_dim = ht_config_u32(&json, "attention_head_dim", 72, 1, 1024),
        .in_channels = in,
        .out_channels = ht_config_u32(&json, "out_channels", out_default, 1, 2048),
        .layers = ht_config_u32(&json, "num_layers", 28, 1, HT_PIXART_MAX_LAYERS),
        .caption_channels = ht_config_u32(&json, "caption_channels", 0, 1, 1 << 16),
        .sample_size = sample,
        .patch = ht_config_u32(&json, "patch_size", 2, 1, 64),
        .interpolation_scale = ht_config_real(&json, "interpolation_scale",
                                              sample >= 128 ? sample / 64 : 1, 1e-3, 1e3),
        .eps = (float)ht_config_real(&json, "norm_eps", 1e-6, 0, 1),
        .attention_bias = ht_config_bool(&json, "attention_bias", true),
        .additional_conditions = ht_config_bool(&json, "use_additional_conditions", sample == 128),
        .act = strcmp(ht_config_text(&json, "activation_fn", ""), "gelu") == 0 ? HT_ACT_GELU_ERF
                                                                               : HT_ACT_GELU_TANH,
    };
    uint32_t inner = out->heads * out->head_dim;
    uint32_t cross = ht_config_u32(&json, "cross_attention_dim", inner, 1, 1 << 18);
    status = json.status == HT_OK ? check_kind(context, folder, &json) : json.status;
    if (status == HT_OK && (cross != inner || inner % 4 != 0)) {
        status = ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s/config.json': cross_attention_dim %u, expected heads x head width = "
                         "%u, a multiple of 4",
                         folder, cross, inner);
    }
    if (weights) {
        out->additional_conditions = ht_weights_find(weights, RESOLUTION) != NULL;
    }
    if (status == HT_OK && out->additional_conditions && inner % 3 != 0) {
        status = ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s/config.json': width %u cannot be split in three embeddings", folder,
                         inner);
    }
    ht_config_close(&json);
    return status;
}

enum {
    ONE,
    C,
    C3,
    C6,
    FF,
    IN,
    PATCH,
    FREQUENCIES,
    OUT,
    CAPTION,
    TWO,
    SIX,
    THIRD,
    BIAS,
    MORE,
    SIZES
};

static const ht_weight_row once_rows[] = {
    {"pos_embed.proj.weight", NULL, ONE, 4, {C, IN, PATCH, PATCH}},
    {"pos_embed.proj.bias", NULL, ONE, 1, {C}},
    {"adaln_single.emb.timestep_embedder.linear_1.weight", NULL, ONE, 2, {C, FREQUENCIES}},
    {"adaln_single.emb.timestep_embedder.linear_1.bias", NULL, ONE, 1, {C}},
    {"adaln_single.emb.timestep_embedder.linear_2.weight", NULL, ONE, 2, {C, C}},
    {"adaln_single.emb.timestep_embedder.linear_2.bias", NULL, ONE, 1, {C}},
    {"adaln_single.emb.resolution_embedder.linear_1.weight", NULL, MORE, 2, {C3, FREQUENCIES}},
    {"adaln_single.emb.resolution_embedder.linear_1.bias", NULL, MORE, 1, {C3}},
    {"adaln_single.emb.resolution_embedder.linear_2.weight", NULL, MORE, 2, {C3, C3}},
    {"adaln_single.emb.resolution_embedder.linear_2.bias", NULL, MORE, 1, {C3}},
    {"adaln_single.emb.aspect_ratio_embedder.linear_1.weight", NULL, MORE, 2, {C3, FREQUENCIES}},
    {"adaln_single.emb.aspect_ratio_embedder.linear_1.bias", NULL, MORE, 1, {C3}},
    {"adaln_single.emb.aspect_ratio_embedder.linear_2.weight", NULL, MORE, 2, {C3, C3}},
    {"adaln_single.emb.aspect_ratio_embedder.linear_2.bias", NULL, MORE, 1, {C3}},
    {"adaln_single.linear.weight", NULL, ONE, 2, {C6, C}},
    {"adaln_single.linear.bias", NULL, ONE, 1, {C6}},
    {"caption_projection.linear_1.weight", NULL, CAPTION, 2, {C, CAPTION}},
    {"caption_projection.linear_1.bias", NULL, CAPTION, 1, {C}},
    {"caption_projection.linear_2.weight", NULL, CAPTION, 2, {C, C}},
    {"caption_projection.linear_2.bias", NULL, CAPTION, 1, {C}},
    {"scale_shift_table", NULL, ONE, 2, {TWO, C}},
    {"proj_out.weight", NULL, ONE, 2, {OUT, C}},
    {"proj_out.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row block_rows[] = {
    {"scale_shift_table", NULL, ONE, 2, {SIX, C}}, {"attn1.to_q.weight", NULL, ONE, 2, {C, C}},
    {"attn1.to_q.bias", NULL, BIAS, 1, {C}},       {"attn1.to_k.weight", NULL, ONE, 2, {C, C}},
    {"attn1.to_k.bias", NULL, BIAS, 1, {C}},       {"attn1.to_v.weight", NULL, ONE, 2, {C, C}},
    {"attn1.to_v.bias", NULL, BIAS, 1, {C}},       {"attn1.to_out.0.weight", NULL, ONE, 2, {C, C}},
    {"attn1.to_out.0.bias", NULL, ONE, 1, {C}},    {"attn2.to_q.weight", NULL, ONE, 2, {C, C}},
    {"attn2.to_q.bias", NULL, BIAS, 1, {C}},       {"attn2.to_k.weight", NULL, ONE, 2, {C, C}},
    {"attn2.to_k.bias", NULL, BIAS, 1, {C}},       {"attn2.to_v.weight", NULL, ONE, 2, {C, C}},
    {"attn2.to_v.bias", NULL, BIAS, 1, {C}},       {"attn2.to_out.0.weight", NULL, ONE, 2, {C, C}},
    {"attn2.to_out.0.bias", NULL, ONE, 1, {C}},    {"ff.net.0.proj.weight", NULL, ONE, 2, {FF, C}},
    {"ff.net.0.proj.bias", NULL, ONE, 1, {FF}},    {"ff.net.2.weight", NULL, ONE, 2, {C, FF}},
    {"ff.net.2.bias", NULL, ONE, 1, {C}},
};

ht_status ht_pixart_weight_map(ht_context *context, const ht_pixart_config *config,
                               ht_weight_map *out) {
    *out = (ht_weight_map){.context = context};
    uint32_t width = config->heads * config->head_dim;
    uint32_t sizes[SIZES] = {
        [ONE] = 1,
        [TWO] = 2,
        [SIX] = 6,
        [C] = width,
        [C3] = width / 3,
        [C6] = width * 6,
        [FF] = width * 4,
        [IN] = config->in_channels,
        [PATCH] = config->patch,
        [FREQUENCIES] = 256,
        [OUT] = config->patch * config->patch * config->out_channels,
        [CAPTION] = config->caption_channels,
        [BIAS] = config->attention_bias,
        [MORE] = config->additional_conditions,
    };
    ht_weight_map_add(out, "", once_rows, sizeof(once_rows) / sizeof(*once_rows), sizes);
    ht_weight_map_add_layers(out, "transformer_blocks", config->layers, block_rows,
                             sizeof(block_rows) / sizeof(*block_rows), sizes);
    return out->status;
}

void ht_pixart_positions(const ht_pixart_config *config, uint32_t rows, uint32_t columns,
                         float *table) {
    uint32_t width = config->heads * config->head_dim, quarter = width / 4;
    double base = config->sample_size / config->patch;
    for (uint32_t i = 0; i < rows; ++i) {
        // Positions in f32 and waves in f64, as in the reference.
        double y = (float)i / (float)(rows / base) / (float)config->interpolation_scale;
        for (uint32_t j = 0; j < columns; ++j) {
            double x = (float)j / (float)(columns / base) / (float)config->interpolation_scale;
            float *row = table + ((size_t)i * columns + j) * width;
            for (uint32_t k = 0; k < quarter; ++k) {
                double omega = pow(10000.0, -(double)k / quarter);
                // The column comes first, although the grid is named rows x columns.
                row[k] = (float)sin(x * omega);
                row[quarter + k] = (float)cos(x * omega);
                row[2 * quarter + k] = (float)sin(y * omega);
                row[3 * quarter + k] = (float)cos(y * omega);
            }
        }
    }
}

// latent [B, H, W, in] -> tokens [B, H/p * W/p, C] with positions added
static ht_value embed_patches(const ht_nn *nn, const ht_pixart_config *c, ht_value latent) {
    ht_graph *g = nn->graph;
    ht_tensor_desc in = ht_graph_value_desc(g, latent);
    uint32_t width = c->heads * c->head_dim;
    if (in.rank != 4 || in.dims[1] % c->patch != 0 || in.dims[2] % c->patch != 0) {
        ht_graph_fail(g, in.rank == 0 ? ht_graph_status(g)
                                      : ht_fail(ht_graph_context(g), HT_ERR_INVALID,
                                                "pixart: a latent of %u x %u is not a multiple of "
                                                "the patch size %u",
                                                in.dims[1], in.dims[2], c->patch));
        return (ht_value){0};
    }
    uint32_t rows = in.dims[1] / c->patch, columns = in.dims[2] / c->patch;
    size_t count = (size_t)rows * columns * width;
    float *table = ht_alloc(ht_graph_context(g), count * sizeof(*table));
    if (!table) {
        ht_graph_fail(g, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    ht_pixart_positions(c, rows, columns, table);
    ht_tensor_desc desc = {.format = HT_FORMAT_F32,
                           .rank = 4,
                           .dims = {1, rows, columns, width},
                           .label = "positions"};
    ht_value positions = ht_graph_constant(g, &desc, table);
    ht_free(ht_graph_context(g), table);
    ht_conv2d_args args = {.stride = c->patch, .upsample = 1, .epilogue = HT_EPILOGUE_NONE};
    bool single = in.dims[0] == 1;
    if (single) {
        args.epilogue.residual = positions;
    }
    ht_value x = ht_nn_conv(nn, "pos_embed.proj", latent, width, c->patch, args);
    if (!single) {
        x = ht_op_add(g, x, ht_nn_view(nn, positions, (uint32_t[6]){rows, columns, width}));
    }
    return ht_nn_view(nn, x, (uint32_t[6]){in.dims[0], rows * columns, width});
}

// x [B, T, C] -> [B, T, C]; `first` is the block's first modulation row.
static ht_value self_attention(const ht_nn *nn, const ht_pixart_config *c, const char *block,
                               const ht_attention_grid *grid, ht_value x, const ht_adaln *m,
                               uint32_t first) {
    char name[HT_NAME_BYTES];
    uint32_t width = c->heads * c->head_dim;
    ht_value n = ht_adaln_norm(nn, m, first, x, c->eps);
    ht_value q =
        ht_nn_linear(nn, ht_nn_name(name, "%s.attn1.to_q", block), n, width, NULL); // [B, T, C]
    ht_value k = ht_nn_linear(nn, ht_nn_name(name, "%s.attn1.to_k", block), n, width, NULL);
    ht_value v = ht_nn_linear(nn, ht_nn_name(name, "%s.attn1.to_v", block), n, width, NULL);
    ht_value mixed = ht_self_attention(
        nn->graph, nn->attention, ht_nn_name(name, "%s.attn1", block), grid, q, k, v, c->heads);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.gate = ht_adaln_row(nn, m, first + 2);
    rest.residual = x;
    return ht_nn_linear(nn, ht_nn_name(name, "%s.attn1.to_out.0", block), mixed, width, &rest);
}

// x [B, T, C], key and value [B, Tk, C] -> [B, T, C]. No norm before it, and no gate.
static ht_value cross_attention(const ht_nn *nn, const ht_pixart_config *c, const char *block,
                                ht_value x, ht_value key, ht_value value, ht_value mask) {
    char name[HT_NAME_BYTES];
    uint32_t width = c->heads * c->head_dim;
    ht_value q = ht_nn_linear(nn, ht_nn_name(name, "%s.attn2.to_q", block), x, width, NULL);
    ht_attention_args args = {.heads = c->heads, .rel_bias = HT_NO_VALUE, .mask = mask};
    ht_value mixed = ht_op_attention(nn->graph, q, key, value, &args);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = x;
    return ht_nn_linear(nn, ht_nn_name(name, "%s.attn2.to_out.0", block), mixed, width, &rest);
}

// x [B, T, C] -> [B, T, C]
static ht_value feed_forward(const ht_nn *nn, const ht_pixart_config *c, const char *block,
                             ht_value x, const ht_adaln *m, uint32_t first) {
    char name[HT_NAME_BYTES];
    uint32_t width = c->heads * c->head_dim;
    ht_value n = ht_adaln_norm(nn, m, first, x, c->eps);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = c->act;
    ht_value inner =
        ht_nn_linear(nn, ht_nn_name(name, "%s.ff.net.0.proj", block), n, 4 * width, &rest);
    rest = HT_EPILOGUE_NONE;
    rest.gate = ht_adaln_row(nn, m, first + 2);
    rest.residual = x;
    return ht_nn_linear(nn, ht_nn_name(name, "%s.ff.net.2", block), inner, width, &rest);
}

ht_value ht_pixart_step(ht_graph *graph, const ht_pixart_config *config, ht_weights *weights,
                        const ht_pixart_inputs *in) {
    const ht_nn nn = {.graph = graph,
                      .weights = weights,
                      .recipe = config->recipe,
                      .lora = config->lora,
                      .scales = in->scales,
                      .attention = config->attention};
    const ht_tensor_desc latent = ht_graph_value_desc(graph, in->latent);
    const ht_attention_grid grid = {0, 1, latent.dims[1] / config->patch,
                                    latent.dims[2] / config->patch};
    ht_value x = embed_patches(&nn, config, in->latent);
    ht_adaln m = ht_adaln_pick(&nn, in->modulation, in->step);
    for (uint32_t i = 0; i < config->layers; ++i) {
        char block[HT_NAME_BYTES], scope[HT_NAME_BYTES];
        ht_nn_name(block, "transformer_blocks.%u", i);
        ht_graph_scope(graph, ht_nn_name(scope, "block %u", i));
        x = self_attention(&nn, config, block, &grid, x, &m, 6 * i);
        x = cross_attention(&nn, config, block, x, in->keys[i], in->values[i], in->mask);
        x = feed_forward(&nn, config, block, x, &m, 6 * i + 3);
    }
    ht_graph_scope(graph, "");
    uint32_t last = 6 * config->layers;
    x = ht_adaln_norm(&nn, &m, last, x, 1e-6f);
    x = ht_nn_linear(&nn, "proj_out", x, config->patch * config->patch * config->out_channels,
                     NULL);
    if (latent.rank != 4) {
        return (ht_value){0};
    }
    return ht_nn_unpatchify(&nn, x, &latent, config->patch, config->out_channels,
                            HT_PATCH_CHANNEL_LAST);
}

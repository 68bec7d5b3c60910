// CLIP text encoders.
#include "clip.h"

#include "clip_layers.h"

#include <string.h>

ht_status ht_clip_read_activation(ht_context *context, const char *folder, ht_config *json,
                                  ht_activation *act) {
    static const struct {
        const char *name;
        ht_activation act;
    } rows[] = {{"quick_gelu", HT_ACT_QUICK_GELU},
                {"gelu", HT_ACT_GELU_ERF},
                {"gelu_new", HT_ACT_GELU_TANH},
                {"gelu_pytorch_tanh", HT_ACT_GELU_TANH}};
    const char *name = ht_config_text(json, "hidden_act", "quick_gelu");
    for (size_t i = 0; json->status == HT_OK && i < sizeof(rows) / sizeof(*rows); ++i) {
        if (strcmp(rows[i].name, name) == 0) {
            *act = rows[i].act;
            return HT_OK;
        }
    }
    return json->status != HT_OK
               ? json->status
               : ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s/config.json': hidden_act '%s', supported: quick_gelu, gelu", folder,
                         name);
}

ht_status ht_clip_config_read(ht_context *context, const char *folder, ht_clip_config *out) {
    ht_config json;
    ht_status status = ht_config_open(context, folder, "config.json", &json);
    if (status != HT_OK) {
        return status;
    }
    const char *class_name = ht_config_text_item(&json, "architectures", 0);
    bool projects = class_name && strcmp(class_name, "CLIPTextModelWithProjection") == 0;
    *out = (ht_clip_config){
        .vocab_size = ht_config_u32(&json, "vocab_size", 49408, 4, 1 << 22),
        .width = ht_config_u32(&json, "hidden_size", 512, 4, 1 << 14),
        .intermediate = ht_config_u32(&json, "intermediate_size", 2048, 4, 1 << 16),
        .layers = ht_config_u32(&json, "num_hidden_layers", 12, 1, 256),
        .heads = ht_config_u32(&json, "num_attention_heads", 8, 1, 256),
        .positions = ht_config_u32(&json, "max_position_embeddings", 77, 3, 4096),
        .projection = projects ? ht_config_u32(&json, "projection_dim", 512, 1, 1 << 14) : 0,
        .eps = (float)ht_config_real(&json, "layer_norm_eps", 1e-5, 0, 1),
    };
    status = ht_clip_read_activation(context, folder, &json, &out->act);
    if (status == HT_OK && class_name && !projects && strcmp(class_name, "CLIPTextModel") != 0) {
        status = ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s/config.json' describes a %s; supported: CLIPTextModel, "
                         "CLIPTextModelWithProjection",
                         folder, class_name);
    }
    if (status == HT_OK && out->width % out->heads != 0) {
        status =
            ht_fail(context, HT_ERR_IO, "'%s/config.json': width %u cannot be split in %u heads",
                    folder, out->width, out->heads);
    }
    ht_config_close(&json);
    return status;
}

enum { ONE, VOCAB, WIDTH, POSITIONS, INNER, PROJECTION, SIZES };

// Some files leave out the "text_model." in front.
static const ht_weight_row once_rows[] = {
    {"text_model.embeddings.token_embedding.weight",
     "embeddings.token_embedding.weight",
     ONE,
     2,
     {VOCAB, WIDTH}},
    {"text_model.embeddings.position_embedding.weight",
     "embeddings.position_embedding.weight",
     ONE,
     2,
     {POSITIONS, WIDTH}},
    {"text_model.final_layer_norm.weight", "final_layer_norm.weight", ONE, 1, {WIDTH}},
    {"text_model.final_layer_norm.bias", "final_layer_norm.bias", ONE, 1, {WIDTH}},
    {"text_projection.weight", NULL, PROJECTION, 2, {PROJECTION, WIDTH}},
};
static const ht_weight_row layer_rows[] = {
    {"layer_norm1.weight", NULL, ONE, 1, {WIDTH}},
    {"layer_norm1.bias", NULL, ONE, 1, {WIDTH}},
    {"self_attn.q_proj.weight", NULL, ONE, 2, {WIDTH, WIDTH}},
    {"self_attn.q_proj.bias", NULL, ONE, 1, {WIDTH}},
    {"self_attn.k_proj.weight", NULL, ONE, 2, {WIDTH, WIDTH}},
    {"self_attn.k_proj.bias", NULL, ONE, 1, {WIDTH}},
    {"self_attn.v_proj.weight", NULL, ONE, 2, {WIDTH, WIDTH}},
    {"self_attn.v_proj.bias", NULL, ONE, 1, {WIDTH}},
    {"self_attn.out_proj.weight", NULL, ONE, 2, {WIDTH, WIDTH}},
    {"self_attn.out_proj.bias", NULL, ONE, 1, {WIDTH}},
    {"layer_norm2.weight", NULL, ONE, 1, {WIDTH}},
    {"layer_norm2.bias", NULL, ONE, 1, {WIDTH}},
    {"mlp.fc1.weight", NULL, ONE, 2, {INNER, WIDTH}},
    {"mlp.fc1.bias", NULL, ONE, 1, {INNER}},
    {"mlp.fc2.weight", NULL, ONE, 2, {WIDTH, INNER}},
    {"mlp.fc2.bias", NULL, ONE, 1, {WIDTH}},
};

void ht_clip_add_layers(ht_weight_map *out, const ht_clip_config *config, const char *base) {
    const uint32_t sizes[SIZES] = {
        [ONE] = 1, [WIDTH] = config->width, [INNER] = config->intermediate};
    for (uint32_t i = 0; i < config->layers; ++i) {
        char prefix[HT_NAME_BYTES], old[HT_NAME_BYTES];
        ht_nn_name(prefix, "%sencoder.layers.%u.", base, i);
        ht_weight_map_add_renamed(out, prefix, ht_nn_name(old, "encoder.layers.%u.", i), layer_rows,
                                  sizeof(layer_rows) / sizeof(*layer_rows), sizes);
    }
}

ht_status ht_clip_weight_map(ht_context *context, const ht_clip_config *config,
                             ht_weight_map *out) {
    *out = (ht_weight_map){.context = context};
    uint32_t sizes[SIZES] = {
        [ONE] = 1,
        [VOCAB] = config->vocab_size,
        [WIDTH] = config->width,
        [POSITIONS] = config->positions,
        [PROJECTION] = config->projection,
    };
    ht_weight_map_add(out, "", once_rows, sizeof(once_rows) / sizeof(*once_rows), sizes);
    ht_clip_add_layers(out, config, "text_model.");
    return out->status;
}

// Row k - q + T - 1 is added to the score of (q, k): later tokens are out of sight.
static ht_value causal_bias(ht_graph *graph, uint32_t tokens, uint32_t heads) {
    size_t rows = 2 * (size_t)tokens - 1;
    float *values = ht_alloc(ht_graph_context(graph), rows * heads * sizeof(*values));
    if (!values) {
        ht_graph_fail(graph, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    for (size_t i = 0; i < rows * heads; ++i) {
        values[i] = i / heads < tokens ? 0.0f : -1e9f;
    }
    ht_tensor_desc desc = {.format = HT_FORMAT_F32,
                           .rank = 2,
                           .dims = {(uint32_t)rows, heads},
                           .label = "causal mask"};
    ht_value bias = ht_graph_constant(graph, &desc, values);
    ht_free(ht_graph_context(graph), values);
    return bias;
}

// h [B, T, width] -> [B, T, width]
static ht_value attention(const ht_nn *nn, const ht_clip_config *c, const char *layer, ht_value h,
                          ht_value causal) {
    char name[HT_NAME_BYTES];
    ht_value x = ht_nn_layer_norm(nn, ht_nn_name(name, "%s.layer_norm1", layer), h, c->eps);
    ht_nn_name(name, "%s.self_attn.q_proj", layer);
    ht_value q = ht_nn_linear(nn, name, x, c->width, NULL); // [B, T, width]
    ht_nn_name(name, "%s.self_attn.k_proj", layer);
    ht_value k = ht_nn_linear(nn, name, x, c->width, NULL);
    ht_nn_name(name, "%s.self_attn.v_proj", layer);
    ht_value v = ht_nn_linear(nn, name, x, c->width, NULL);
    ht_attention_args args = {.heads = c->heads, .rel_bias = causal, .mask = HT_NO_VALUE};
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = h;
    ht_nn_name(name, "%s.self_attn.out_proj", layer);
    return ht_nn_linear(nn, name, ht_op_attention(nn->graph, q, k, v, &args), c->width, &rest);
}

// h [B, T, width] -> [B, T, width]
static ht_value feed_forward(const ht_nn *nn, const ht_clip_config *c, const char *layer,
                             ht_value h) {
    char name[HT_NAME_BYTES];
    ht_value x = ht_nn_layer_norm(nn, ht_nn_name(name, "%s.layer_norm2", layer), h, c->eps);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = c->act;
    x = ht_nn_linear(nn, ht_nn_name(name, "%s.mlp.fc1", layer), x, c->intermediate, &rest);
    rest = HT_EPILOGUE_NONE;
    rest.residual = h;
    return ht_nn_linear(nn, ht_nn_name(name, "%s.mlp.fc2", layer), x, c->width, &rest);
}

ht_value ht_clip_layer(const ht_nn *nn, const ht_clip_config *c, const char *layer, ht_value h,
                       ht_value bias) {
    return feed_forward(nn, c, layer, attention(nn, c, layer, h, bias));
}

// Some of the words [B, T, width] replaced by vectors of textual inversion.
static ht_value replace(const ht_nn *nn, const ht_clip_inputs *in, ht_value words) {
    ht_tensor_desc d = ht_graph_value_desc(nn->graph, words);
    if (in->extra.id == HT_NO_VALUE.id || d.rank != 3) {
        return words;
    }
    ht_value rows = ht_nn_view(nn, words, (uint32_t[6]){d.dims[0] * d.dims[1], d.dims[2]});
    return ht_op_embedding(nn->graph, ht_op_concat(nn->graph, rows, in->extra, 0), in->picks);
}

// ids [B, T] -> [B, T, width]
static ht_value embed(const ht_nn *nn, const ht_clip_config *c, const char *base,
                      const ht_clip_inputs *in, uint32_t tokens) {
    char name[HT_NAME_BYTES];
    uint32_t words[2] = {c->vocab_size, c->width}, places[2] = {c->positions, c->width};
    ht_nn_name(name, "%sembeddings.token_embedding.weight", base);
    ht_value table = ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_TABLE, 2, words);
    ht_nn_name(name, "%sembeddings.position_embedding.weight", base);
    ht_value positions = ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_VECTOR, 2, places);
    if (tokens < c->positions) {
        positions = ht_op_slice(nn->graph, positions, 0, 0, tokens);
    }
    ht_value found = ht_op_embedding(nn->graph, table, in->ids);
    return ht_op_add(nn->graph, replace(nn, in, found), positions);
}

// The row at the end of each text, normed and projected.   h [B, T, width] -> [B, projection]
static ht_value pool(const ht_nn *nn, const ht_clip_config *c, const char *norm, ht_value h,
                     ht_value ends) {
    ht_tensor_desc d = ht_graph_value_desc(nn->graph, h);
    if (d.rank != 3) {
        return (ht_value){0};
    }
    ht_value rows = ht_nn_view(nn, h, (uint32_t[6]){d.dims[0] * d.dims[1], d.dims[2]});
    rows = ht_nn_layer_norm(nn, norm, ht_op_embedding(nn->graph, rows, ends), c->eps);
    return c->projection > 0 ? ht_nn_linear(nn, "text_projection", rows, c->projection, NULL)
                             : rows;
}

ht_clip_outputs ht_clip_build(ht_graph *graph, const ht_clip_config *config, ht_weights *weights,
                              const ht_clip_inputs *in) {
    const ht_nn nn = {.graph = graph, .weights = weights, .lora = config->lora};
    ht_clip_outputs out = {.hidden = {0}, .pooled = HT_NO_VALUE};
    uint32_t tokens = ht_nn_width(&nn, in->ids);
    if (tokens == 0 || tokens > config->positions || in->skip >= config->layers) {
        ht_graph_fail(graph, tokens == 0
                                 ? ht_graph_status(graph)
                                 : ht_fail(ht_graph_context(graph), HT_ERR_INVALID,
                                           "clip: %u tokens of %u, %u layers skipped of %u", tokens,
                                           config->positions, in->skip, config->layers));
        return out;
    }
    char norm[HT_NAME_BYTES];
    const char *base = ht_weights_find(weights, once_rows[2].name) ? "text_model." : "";
    ht_nn_name(norm, "%sfinal_layer_norm", base);
    bool pooled = in->ends.id != HT_NO_VALUE.id;
    uint32_t handed_on = config->layers - in->skip, last = pooled ? config->layers : handed_on;
    ht_value causal = causal_bias(graph, tokens, config->heads);
    ht_value h = embed(&nn, config, base, in, tokens);
    for (uint32_t i = 0; i < last; ++i) {
        char layer[HT_NAME_BYTES], scope[HT_NAME_BYTES];
        ht_nn_name(layer, "%sencoder.layers.%u", base, i);
        ht_graph_scope(graph, ht_nn_name(scope, "layer %u", i));
        h = ht_clip_layer(&nn, config, layer, h, causal);
        if (i + 1 == handed_on) {
            out.hidden = h;
        }
    }
    ht_graph_scope(graph, "");
    out.pooled = pooled ? pool(&nn, config, norm, h, in->ends) : HT_NO_VALUE;
    if (in->final_norm) {
        out.hidden = ht_nn_layer_norm(&nn, norm, out.hidden, config->eps);
    }
    return out;
}

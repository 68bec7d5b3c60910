// CLIP image encoders: patches of the picture behind a token of their own, and CLIP's layers.
#include "clip_vision.h"

#include "clip_layers.h"

#include <string.h>

// Of the pictures that CLIP was trained on.
static const float usual_mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
static const float usual_deviation[3] = {0.26862954f, 0.26130258f, 0.27577711f};

static ht_status read_processor(ht_context *context, const char *folder,
                                ht_clip_vision_config *out) {
    static const char file[] = "preprocessor_config.json";
    ht_config json;
    memcpy(out->mean, usual_mean, sizeof(usual_mean));
    memcpy(out->deviation, usual_deviation, sizeof(usual_deviation));
    if (!folder || !ht_config_exists(folder, file)) {
        return HT_OK;
    }
    ht_status status = ht_config_open(context, folder, file, &json);
    if (status != HT_OK) {
        return status;
    }
    const uint32_t means = ht_config_real_list(&json, "image_mean", out->mean, 3);
    const uint32_t deviations = ht_config_real_list(&json, "image_std", out->deviation, 3);
    bool good = means % 3 == 0 && deviations % 3 == 0;
    for (int c = 0; c < 3; ++c) {
        good = good && out->deviation[c] > 0;
    }
    status = json.status;
    if (status == HT_OK && !good) {
        status = ht_fail(context, HT_ERR_IO,
                         "'%s/%s': \"image_mean\" and \"image_std\" need three numbers, those of "
                         "the second above 0",
                         folder, file);
    }
    ht_config_close(&json);
    return status;
}

static ht_status check(ht_context *context, const char *folder, ht_config *json,
                       const ht_clip_vision_config *c) {
    const char *name = ht_config_text_item(json, "architectures", 0);
    if (json->status != HT_OK) {
        return json->status;
    }
    if (name && strncmp(name, "CLIPVisionModel", strlen("CLIPVisionModel")) != 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json' describes a %s; supported: CLIPVisionModel", folder, name);
    }
    if (c->edge % c->patch != 0 || c->layers.width % c->layers.heads != 0 || c->layers.layers < 2) {
        return ht_fail(context, HT_ERR_IO,
                       "'%s/config.json': a picture of %u pixels in patches of %u, %u values in %u "
                       "heads, %u layers; expected multiples, and at least two layers",
                       folder, c->edge, c->patch, c->layers.width, c->layers.heads,
                       c->layers.layers);
    }
    return HT_OK;
}

ht_status ht_clip_vision_config_read(ht_context *context, const char *folder, const char *processor,
                                     ht_clip_vision_config *out) {
    ht_config json;
    ht_status status = ht_config_open(context, folder, "config.json", &json);
    if (status != HT_OK) {
        return status;
    }
    *out = (ht_clip_vision_config){
        .layers = {.width = ht_config_u32(&json, "hidden_size", 768, 4, 1 << 14),
                   .intermediate = ht_config_u32(&json, "intermediate_size", 3072, 4, 1 << 16),
                   .layers = ht_config_u32(&json, "num_hidden_layers", 12, 1, 256),
                   .heads = ht_config_u32(&json, "num_attention_heads", 12, 1, 256),
                   .eps = (float)ht_config_real(&json, "layer_norm_eps", 1e-5, 0, 1)},
        .edge = ht_config_u32(&json, "image_size", 224, 1, 4096),
        .patch = ht_config_u32(&json, "patch_size", 32, 1, 256),
    };
    ht_config_u32(&json, "num_channels", 3, 3, 3);
    status = ht_clip_read_activation(context, folder, &json, &out->layers.act);
    if (status == HT_OK) {
        status = check(context, folder, &json, out);
    }
    ht_config_close(&json);
    return status == HT_OK ? read_processor(context, processor, out) : status;
}

uint32_t ht_clip_vision_tokens(const ht_clip_vision_config *config) {
    return config->edge / config->patch * (config->edge / config->patch) + 1;
}

enum { ONE, THREE, WIDTH, PATCH, TOKENS, SIZES };

// Some files leave out the "vision_model." in front. The typing error is in all of them.
static const ht_weight_row once_rows[] = {
    {"vision_model.embeddings.class_embedding", "embeddings.class_embedding", ONE, 1, {WIDTH}},
    {"vision_model.embeddings.patch_embedding.weight",
     "embeddings.patch_embedding.weight",
     ONE,
     4,
     {WIDTH, THREE, PATCH, PATCH}},
    {"vision_model.embeddings.position_embedding.weight",
     "embeddings.position_embedding.weight",
     ONE,
     2,
     {TOKENS, WIDTH}},
    {"vision_model.pre_layrnorm.weight", "pre_layrnorm.weight", ONE, 1, {WIDTH}},
    {"vision_model.pre_layrnorm.bias", "pre_layrnorm.bias", ONE, 1, {WIDTH}},
    {"vision_model.post_layernorm.weight", "post_layernorm.weight", ONE, 1, {WIDTH}},
    {"vision_model.post_layernorm.bias", "post_layernorm.bias", ONE, 1, {WIDTH}},
};

ht_status ht_clip_vision_weight_map(ht_context *context, const ht_clip_vision_config *config,
                                    ht_weight_map *out) {
    *out = (ht_weight_map){.context = context};
    const uint32_t sizes[SIZES] = {
        [ONE] = 1,
        [THREE] = 3,
        [WIDTH] = config->layers.width,
        [PATCH] = config->patch,
        [TOKENS] = ht_clip_vision_tokens(config),
    };
    ht_weight_map_add(out, "", once_rows, sizeof(once_rows) / sizeof(*once_rows), sizes);
    ht_clip_add_layers(out, &config->layers, "vision_model.");
    return out->status;
}

// pixels [1, edge, edge, 3] -> [1, tokens, width]
static ht_value embed(const ht_nn *nn, const ht_clip_vision_config *c, const char *base,
                      ht_value pixels) {
    char name[HT_NAME_BYTES];
    const uint32_t width = c->layers.width, tokens = ht_clip_vision_tokens(c);
    const ht_conv2d_args args = {.stride = c->patch, .upsample = 1, .epilogue = HT_EPILOGUE_NONE};
    ht_nn_name(name, "%sembeddings.patch_embedding", base);
    ht_value patches = ht_nn_conv_plain(nn, name, pixels, width, c->patch, args);
    patches = ht_nn_view(nn, patches, (uint32_t[HT_MAX_RANK]){1, tokens - 1, width});
    ht_nn_name(name, "%sembeddings", base);
    ht_value class = ht_nn_vector(nn, name, "class_embedding", width);
    class = ht_nn_view(nn, class, (uint32_t[HT_MAX_RANK]){1, 1, width});
    const uint32_t places[2] = {tokens, width};
    ht_nn_name(name, "%sembeddings.position_embedding.weight", base);
    ht_value positions = ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_VECTOR, 2, places);
    return ht_op_add(nn->graph, ht_op_concat(nn->graph, class, patches, 1), positions);
}

ht_value ht_clip_vision_build(ht_graph *graph, const ht_clip_vision_config *config,
                              ht_weights *weights, ht_value pixels) {
    const ht_nn nn = {.graph = graph, .weights = weights};
    const char *base = ht_weights_find(weights, once_rows[0].name) ? "vision_model." : "";
    char name[HT_NAME_BYTES], scope[HT_NAME_BYTES];
    ht_value h = embed(&nn, config, base, pixels);
    h = ht_nn_layer_norm(&nn, ht_nn_name(name, "%spre_layrnorm", base), h, config->layers.eps);
    for (uint32_t i = 0; i + 1 < config->layers.layers; ++i) {
        ht_nn_name(name, "%sencoder.layers.%u", base, i);
        ht_graph_scope(graph, ht_nn_name(scope, "layer %u", i));
        h = ht_clip_layer(&nn, &config->layers, name, h, HT_NO_VALUE);
    }
    ht_graph_scope(graph, "");
    return h;
}

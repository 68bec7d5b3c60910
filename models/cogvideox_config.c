// Configuration and weights of CogVideoX's transformers.
#include "cogvideox.h"

#include "common/config.h"
#include "common/layers.h"

#include <string.h>

// What the models of other versions have, and these graphs do not.
static ht_status refuse_others(ht_context *context, const char *folder, ht_config *json) {
    const char *reason =
        ht_config_has(json, "patch_size_t") ? "\"patch_size_t\", as CogVideoX 1.5 has it"
        : ht_config_has(json, "ofs_embed_dim")
            ? "\"ofs_embed_dim\", as CogVideoX 1.5 from a picture has it"
        : ht_config_bool(json, "use_learned_positional_embeddings", false)
            ? "\"use_learned_positional_embeddings\", as CogVideoX from a picture has it"
        : !ht_config_bool(json, "norm_elementwise_affine", true)
            ? "\"norm_elementwise_affine\" = false"
            : NULL;
    return reason ? ht_fail(
                        context, HT_ERR_UNSUPPORTED,
                        "'%s/config.json': %s, is not supported; text to video of CogVideoX 2B and "
                        "5B is",
                        folder, reason)
                  : HT_OK;
}

static ht_status check_text(ht_context *context, const char *folder, ht_config *json,
                            const char *key, const char *only) {
    const char *text = ht_config_text(json, key, only);
    if (json->status == HT_OK && strcmp(text, only) != 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': \"%s\" is '%s'; supported: %s", folder, key, text, only);
    }
    return json->status;
}

static ht_status check(ht_context *context, const char *folder, ht_config *json,
                       const ht_cogvideox_config *c) {
    static const char *const texts[][2] = {{"_class_name", "CogVideoXTransformer3DModel"},
                                           {"activation_fn", "gelu-approximate"},
                                           {"timestep_activation_fn", "silu"}};
    ht_status status = HT_OK;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts) && status == HT_OK; ++i) {
        status = check_text(context, folder, json, texts[i][0], texts[i][1]);
    }
    if (status == HT_OK) {
        status = refuse_others(context, folder, json);
    }
    const uint32_t split = c->rotary ? c->head_dim : c->heads * c->head_dim;
    if (status == HT_OK && (split % 16 != 0 || c->head_dim % 4 != 0)) {
        status =
            ht_fail(context, HT_ERR_UNSUPPORTED,
                    "'%s/config.json': %u heads of %u values: %u cannot be split among frames, "
                    "rows and columns; supported: multiples of 16",
                    folder, c->heads, c->head_dim, split);
    }
    if (status == HT_OK && (c->sample_rows < c->patch || c->sample_columns < c->patch)) {
        status = ht_fail(context, HT_ERR_IO,
                         "'%s/config.json': samples of %u x %u are smaller than a patch of %u",
                         folder, c->sample_columns, c->sample_rows, c->patch);
    }
    return status == HT_OK ? json->status : status;
}

ht_status ht_cogvideox_config_read(ht_context *context, const char *folder,
                                   ht_cogvideox_config *out) {
    ht_config json;
    ht_status status = ht_config_open(context, folder, "config.json", &json);
    if (status != HT_OK) {
        return status;
    }
    *out = (ht_cogvideox_config){
        .heads = ht_config_u32(&json, "num_attention_heads", 30, 1, 256),
        .head_dim = ht_config_u32(&json, "attention_head_dim", 64, 1, 1024),
        .in_channels = ht_config_u32(&json, "in_channels", 16, 1, 1024),
        .out_channels = ht_config_u32(&json, "out_channels", 16, 1, 1024),
        .layers = ht_config_u32(&json, "num_layers", 30, 1, HT_COGVIDEOX_MAX_LAYERS),
        .text_channels = ht_config_u32(&json, "text_embed_dim", 4096, 1, 1 << 16),
        .text_tokens = ht_config_u32(&json, "max_text_seq_length", 226, 1, 4096),
        .time_channels = ht_config_u32(&json, "time_embed_dim", 512, 1, 1 << 14),
        .patch = ht_config_u32(&json, "patch_size", 2, 1, 64),
        .sample_rows = ht_config_u32(&json, "sample_height", 60, 1, 4096),
        .sample_columns = ht_config_u32(&json, "sample_width", 90, 1, 4096),
        .sample_frames = ht_config_u32(&json, "sample_frames", 49, 1, 4096),
        .eps = (float)ht_config_real(&json, "norm_eps", 1e-5, 0, 1),
        .rotary = ht_config_bool(&json, "use_rotary_positional_embeddings", false),
        .space_scale = ht_config_real(&json, "spatial_interpolation_scale", 1.875, 1e-3, 1e3),
        .time_scale = ht_config_real(&json, "temporal_interpolation_scale", 1.0, 1e-3, 1e3),
        .attention_bias = ht_config_bool(&json, "attention_bias", true),
        .patch_bias = ht_config_bool(&json, "patch_bias", true),
        .cosine_first = ht_config_bool(&json, "flip_sin_to_cos", true),
        .frequency_shift = (float)ht_config_real(&json, "freq_shift", 0, 0, 1),
    };
    status = json.status == HT_OK ? check(context, folder, &json, out) : json.status;
    ht_config_close(&json);
    return status;
}

enum { ONE, C, C2, C6, FF, IN, PATCH, PATCH_BIAS, OUT, TEXT, TIME, HEAD, BIAS, SIZES };

static const ht_weight_row once_rows[] = {
    {"patch_embed.proj.weight", NULL, ONE, 4, {C, IN, PATCH, PATCH}},
    {"patch_embed.proj.bias", NULL, PATCH_BIAS, 1, {C}},
    {"patch_embed.text_proj.weight", NULL, ONE, 2, {C, TEXT}},
    {"patch_embed.text_proj.bias", NULL, ONE, 1, {C}},
    {"time_embedding.linear_1.weight", NULL, ONE, 2, {TIME, C}},
    {"time_embedding.linear_1.bias", NULL, ONE, 1, {TIME}},
    {"time_embedding.linear_2.weight", NULL, ONE, 2, {TIME, TIME}},
    {"time_embedding.linear_2.bias", NULL, ONE, 1, {TIME}},
    {"norm_final.weight", NULL, ONE, 1, {C}},
    {"norm_final.bias", NULL, ONE, 1, {C}},
    {"norm_out.linear.weight", NULL, ONE, 2, {C2, TIME}},
    {"norm_out.linear.bias", NULL, ONE, 1, {C2}},
    {"norm_out.norm.weight", NULL, ONE, 1, {C}},
    {"norm_out.norm.bias", NULL, ONE, 1, {C}},
    {"proj_out.weight", NULL, ONE, 2, {OUT, C}},
    {"proj_out.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row block_rows[] = {
    {"norm1.linear.weight", NULL, ONE, 2, {C6, TIME}}, {"norm1.linear.bias", NULL, ONE, 1, {C6}},
    {"norm1.norm.weight", NULL, ONE, 1, {C}},          {"norm1.norm.bias", NULL, ONE, 1, {C}},
    {"attn1.to_q.weight", NULL, ONE, 2, {C, C}},       {"attn1.to_q.bias", NULL, BIAS, 1, {C}},
    {"attn1.to_k.weight", NULL, ONE, 2, {C, C}},       {"attn1.to_k.bias", NULL, BIAS, 1, {C}},
    {"attn1.to_v.weight", NULL, ONE, 2, {C, C}},       {"attn1.to_v.bias", NULL, BIAS, 1, {C}},
    {"attn1.to_out.0.weight", NULL, ONE, 2, {C, C}},   {"attn1.to_out.0.bias", NULL, ONE, 1, {C}},
    {"attn1.norm_q.weight", NULL, ONE, 1, {HEAD}},     {"attn1.norm_q.bias", NULL, ONE, 1, {HEAD}},
    {"attn1.norm_k.weight", NULL, ONE, 1, {HEAD}},     {"attn1.norm_k.bias", NULL, ONE, 1, {HEAD}},
    {"norm2.linear.weight", NULL, ONE, 2, {C6, TIME}}, {"norm2.linear.bias", NULL, ONE, 1, {C6}},
    {"norm2.norm.weight", NULL, ONE, 1, {C}},          {"norm2.norm.bias", NULL, ONE, 1, {C}},
    {"ff.net.0.proj.weight", NULL, ONE, 2, {FF, C}},   {"ff.net.0.proj.bias", NULL, ONE, 1, {FF}},
    {"ff.net.2.weight", NULL, ONE, 2, {C, FF}},        {"ff.net.2.bias", NULL, ONE, 1, {C}},
};

ht_status ht_cogvideox_weight_map(ht_context *context, const ht_cogvideox_config *config,
                                  ht_weight_map *out) {
    *out = (ht_weight_map){.context = context};
    const uint32_t width = config->heads * config->head_dim;
    const uint32_t sizes[SIZES] = {
        [ONE] = 1,
        [C] = width,
        [C2] = 2 * width,
        [C6] = 6 * width,
        [FF] = 4 * width,
        [IN] = config->in_channels,
        [PATCH] = config->patch,
        [PATCH_BIAS] = config->patch_bias,
        [OUT] = config->patch * config->patch * config->out_channels,
        [TEXT] = config->text_channels,
        [TIME] = config->time_channels,
        [HEAD] = config->head_dim,
        [BIAS] = config->attention_bias,
    };
    ht_weight_map_add(out, "", once_rows, sizeof(once_rows) / sizeof(*once_rows), sizes);
    ht_weight_map_add_layers(out, "transformer_blocks", config->layers, block_rows,
                             sizeof(block_rows) / sizeof(*block_rows), sizes);
    return out->status;
}

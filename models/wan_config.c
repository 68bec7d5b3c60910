// Configuration and weights of Wan's transformers.
#include "wan.h"

#include "common/config.h"
#include "common/layers.h"

#include <string.h>

static ht_status check(ht_context *context, const char *folder, ht_config *json,
                       const ht_wan_config *c, const uint32_t patch[3]) {
    const uint32_t width = c->heads * c->head_dim;
    const uint32_t added = ht_config_u32(json, "added_kv_proj_dim", 0, 1, 1 << 18);
    const char *name = ht_config_text(json, "_class_name", "WanTransformer3DModel");
    const char *norm = ht_config_text(json, "qk_norm", "rms_norm_across_heads");
    if (json->status != HT_OK) {
        return json->status;
    }
    if (strcmp(name, "WanTransformer3DModel") != 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json' describes a %s; supported: WanTransformer3DModel", folder,
                       name);
    }
    if (strcmp(norm, "rms_norm_across_heads") != 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': qk_norm '%s', supported: rms_norm_across_heads", folder,
                       norm);
    }
    if (ht_config_has(json, "pos_embed_seq_len")) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': \"pos_embed_seq_len\" is of models that go from a first "
                       "picture to a last one, which are not supported",
                       folder);
    }
    if (added != (c->image_channels > 0 ? width : 0)) {
        return ht_fail(
            context, HT_ERR_UNSUPPORTED,
            "'%s/config.json': \"added_kv_proj_dim\" is %u; expected %u, the width of the "
            "tokens, with \"image_dim\", and neither without",
            folder, added, width);
    }
    if (patch[0] != 1 || patch[1] != patch[2]) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': patch_size [%u, %u, %u]; supported: one frame, as many "
                       "rows as columns",
                       folder, patch[0], patch[1], patch[2]);
    }
    if (c->head_dim % 4 != 0 || c->head_dim < 12) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': heads of %u values; supported: multiples of 4 from 12 on",
                       folder, c->head_dim);
    }
    return HT_OK;
}

ht_status ht_wan_config_read(ht_context *context, const char *folder, ht_wan_config *out) {
    ht_config json;
    uint32_t patch[3] = {1, 2, 2};
    ht_status status = ht_config_open(context, folder, "config.json", &json);
    if (status != HT_OK) {
        return status;
    }
    if (ht_config_is_list(&json, "patch_size") &&
        ht_config_u32_list(&json, "patch_size", patch, 3, 1, 64) != 3 && json.status == HT_OK) {
        json.status = ht_fail(context, HT_ERR_IO,
                              "'%s/config.json': \"patch_size\" needs three numbers", folder);
    }
    *out = (ht_wan_config){
        .heads = ht_config_u32(&json, "num_attention_heads", 40, 1, 256),
        .head_dim = ht_config_u32(&json, "attention_head_dim", 128, 1, 1024),
        .in_channels = ht_config_u32(&json, "in_channels", 16, 1, 1024),
        .out_channels = ht_config_u32(&json, "out_channels", 16, 1, 1024),
        .layers = ht_config_u32(&json, "num_layers", 40, 1, HT_WAN_MAX_LAYERS),
        .text_channels = ht_config_u32(&json, "text_dim", 4096, 1, 1 << 16),
        .frequencies = ht_config_u32(&json, "freq_dim", 256, 2, 1 << 14),
        .ffn = ht_config_u32(&json, "ffn_dim", 13824, 1, 1 << 18),
        .image_channels = ht_config_u32(&json, "image_dim", 0, 1, 1 << 14),
        .patch = patch[1],
        .max_positions = ht_config_u32(&json, "rope_max_seq_len", 1024, 1, 1 << 20),
        .eps = (float)ht_config_real(&json, "eps", 1e-6, 0, 1),
        .cross_norm = ht_config_bool(&json, "cross_attn_norm", true),
    };
    status = json.status == HT_OK ? check(context, folder, &json, out, patch) : json.status;
    ht_config_close(&json);
    return status;
}

enum { ONE, TWO, SIX, C, C6, FF, IN, PATCH, FREQUENCIES, OUT, TEXT, NORM, IMAGE, SIZES };

static const ht_weight_row once_rows[] = {
    {"patch_embedding.weight", NULL, ONE, 5, {C, IN, ONE, PATCH, PATCH}},
    {"patch_embedding.bias", NULL, ONE, 1, {C}},
    {"condition_embedder.time_embedder.linear_1.weight", NULL, ONE, 2, {C, FREQUENCIES}},
    {"condition_embedder.time_embedder.linear_1.bias", NULL, ONE, 1, {C}},
    {"condition_embedder.time_embedder.linear_2.weight", NULL, ONE, 2, {C, C}},
    {"condition_embedder.time_embedder.linear_2.bias", NULL, ONE, 1, {C}},
    {"condition_embedder.time_proj.weight", NULL, ONE, 2, {C6, C}},
    {"condition_embedder.time_proj.bias", NULL, ONE, 1, {C6}},
    {"condition_embedder.text_embedder.linear_1.weight", NULL, ONE, 2, {C, TEXT}},
    {"condition_embedder.text_embedder.linear_1.bias", NULL, ONE, 1, {C}},
    {"condition_embedder.text_embedder.linear_2.weight", NULL, ONE, 2, {C, C}},
    {"condition_embedder.text_embedder.linear_2.bias", NULL, ONE, 1, {C}},
    {"condition_embedder.image_embedder.norm1.weight", NULL, IMAGE, 1, {IMAGE}},
    {"condition_embedder.image_embedder.norm1.bias", NULL, IMAGE, 1, {IMAGE}},
    {"condition_embedder.image_embedder.ff.net.0.proj.weight", NULL, IMAGE, 2, {IMAGE, IMAGE}},
    {"condition_embedder.image_embedder.ff.net.0.proj.bias", NULL, IMAGE, 1, {IMAGE}},
    {"condition_embedder.image_embedder.ff.net.2.weight", NULL, IMAGE, 2, {C, IMAGE}},
    {"condition_embedder.image_embedder.ff.net.2.bias", NULL, IMAGE, 1, {C}},
    {"condition_embedder.image_embedder.norm2.weight", NULL, IMAGE, 1, {C}},
    {"condition_embedder.image_embedder.norm2.bias", NULL, IMAGE, 1, {C}},
    {"scale_shift_table", NULL, ONE, 3, {ONE, TWO, C}},
    {"proj_out.weight", NULL, ONE, 2, {OUT, C}},
    {"proj_out.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row attention_rows[] = {
    {"to_q.weight", NULL, ONE, 2, {C, C}},     {"to_q.bias", NULL, ONE, 1, {C}},
    {"to_k.weight", NULL, ONE, 2, {C, C}},     {"to_k.bias", NULL, ONE, 1, {C}},
    {"to_v.weight", NULL, ONE, 2, {C, C}},     {"to_v.bias", NULL, ONE, 1, {C}},
    {"to_out.0.weight", NULL, ONE, 2, {C, C}}, {"to_out.0.bias", NULL, ONE, 1, {C}},
    {"norm_q.weight", NULL, ONE, 1, {C}},      {"norm_k.weight", NULL, ONE, 1, {C}},
};
static const ht_weight_row block_rows[] = {
    {"scale_shift_table", NULL, ONE, 3, {ONE, SIX, C}},
    {"norm2.weight", NULL, NORM, 1, {C}},
    {"norm2.bias", NULL, NORM, 1, {C}},
    {"attn2.add_k_proj.weight", NULL, IMAGE, 2, {C, C}},
    {"attn2.add_k_proj.bias", NULL, IMAGE, 1, {C}},
    {"attn2.add_v_proj.weight", NULL, IMAGE, 2, {C, C}},
    {"attn2.add_v_proj.bias", NULL, IMAGE, 1, {C}},
    {"attn2.norm_added_k.weight", NULL, IMAGE, 1, {C}},
    {"ffn.net.0.proj.weight", NULL, ONE, 2, {FF, C}},
    {"ffn.net.0.proj.bias", NULL, ONE, 1, {FF}},
    {"ffn.net.2.weight", NULL, ONE, 2, {C, FF}},
    {"ffn.net.2.bias", NULL, ONE, 1, {C}},
};

#define ADD(map, prefix, rows, sizes)                                                              \
    ht_weight_map_add(map, prefix, rows, sizeof(rows) / sizeof(*(rows)), sizes)

ht_status ht_wan_weight_map(ht_context *context, const ht_wan_config *config, ht_weight_map *out) {
    *out = (ht_weight_map){.context = context};
    uint32_t width = config->heads * config->head_dim;
    uint32_t sizes[SIZES] = {
        [ONE] = 1,
        [TWO] = 2,
        [SIX] = 6,
        [C] = width,
        [C6] = width * 6,
        [FF] = config->ffn,
        [IN] = config->in_channels,
        [PATCH] = config->patch,
        [FREQUENCIES] = config->frequencies,
        [OUT] = config->patch * config->patch * config->out_channels,
        [TEXT] = config->text_channels,
        [NORM] = config->cross_norm,
        [IMAGE] = config->image_channels,
    };
    ADD(out, "", once_rows, sizes);
    for (uint32_t i = 0; i < config->layers; ++i) {
        char prefix[HT_NAME_BYTES];
        ADD(out, ht_nn_name(prefix, "blocks.%u.", i), block_rows, sizes);
        ADD(out, ht_nn_name(prefix, "blocks.%u.attn1.", i), attention_rows, sizes);
        ADD(out, ht_nn_name(prefix, "blocks.%u.attn2.", i), attention_rows, sizes);
    }
    return out->status;
}

// Configuration, plan and weights of UNet2DConditionModel.
#include "unet_internal.h"

#include "common/config.h"

#include <stdio.h>
#include <string.h>

// Kind of a level's block: does it have transformers?
static ht_status read_blocks(ht_config *json, const char *key, const char *plain,
                             const char *crossed, bool plain_last, ht_unet_config *c, bool *out) {
    for (uint32_t i = 0; i < c->levels && json->status == HT_OK; ++i) {
        const char *kind = ht_config_text_item(json, key, i);
        bool end = plain_last ? i + 1 == c->levels : i == 0;
        out[i] = kind ? strcmp(kind, crossed) == 0 : !end;
        if (kind && !out[i] && strcmp(kind, plain) != 0) {
            json->status =
                ht_fail(json->context, HT_ERR_UNSUPPORTED, "'%s': %s has a %s; supported: %s, %s",
                        json->path, key, kind, plain, crossed);
        }
    }
    return json->status;
}

// A number per level, or one for all.
static void read_per_level(ht_config *json, const char *key, uint32_t fallback, uint32_t max,
                           uint32_t levels, uint32_t *out) {
    uint32_t count = 0;
    if (ht_config_is_list(json, key)) {
        count = ht_config_u32_list(json, key, out, HT_UNET_MAX_LEVELS, 1, max);
        if (json->status == HT_OK && count != levels) {
            json->status = ht_fail(json->context, HT_ERR_IO,
                                   "'%s': \"%s\" has %u numbers for %u "
                                   "levels",
                                   json->path, key, count, levels);
        }
        return;
    }
    uint32_t one = ht_config_u32(json, key, fallback, 1, max);
    for (uint32_t i = 0; i < levels; ++i) {
        out[i] = one;
    }
}

// Options of the class that no Stable Diffusion uses and that would change the result.
static ht_status check_options(ht_config *json, const char *name) {
    const struct {
        const char *key, *only;
    } texts[] = {{"act_fn", "silu"},
                 {"resnet_time_scale_shift", "default"},
                 {"time_embedding_type", "positional"},
                 {"attention_type", "default"},
                 {"mid_block_type", "UNetMidBlock2DCrossAttn"},
                 {"controlnet_conditioning_channel_order", "rgb"},
                 {"_class_name", name}};
    static const char *const flags[] = {"dual_cross_attention",    "only_cross_attention",
                                        "center_input_sample",     "resnet_skip_time_act",
                                        "class_embeddings_concat", "global_pool_conditions"};
    static const char *const absent[] = {"class_embed_type",
                                         "encoder_hid_dim",
                                         "encoder_hid_dim_type",
                                         "timestep_post_act",
                                         "reverse_transformer_layers_per_block",
                                         "num_class_embeds"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); ++i) {
        const char *text = ht_config_text(json, texts[i].key, texts[i].only);
        if (json->status == HT_OK && strcmp(text, texts[i].only) != 0) {
            json->status =
                ht_fail(json->context, HT_ERR_UNSUPPORTED, "'%s': \"%s\" is '%s'; supported: %s",
                        json->path, texts[i].key, text, texts[i].only);
        }
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); ++i) {
        if (ht_config_bool(json, flags[i], false) && json->status == HT_OK) {
            json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                                   "'%s': \"%s\" is not supported", json->path, flags[i]);
        }
    }
    for (size_t i = 0; i < sizeof(absent) / sizeof(*absent); ++i) {
        if (ht_config_has(json, absent[i]) && json->status == HT_OK) {
            json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                                   "'%s': \"%s\" is not supported", json->path, absent[i]);
        }
    }
    return json->status;
}

static ht_status read_added(ht_config *json, ht_unet_config *c) {
    const char *kind = ht_config_text(json, "addition_embed_type", "");
    if (json->status != HT_OK || !*kind) {
        return json->status;
    }
    if (strcmp(kind, "text_time") != 0) {
        return ht_fail(json->context, HT_ERR_UNSUPPORTED,
                       "'%s': \"addition_embed_type\" is '%s'; supported: text_time", json->path,
                       kind);
    }
    c->time_ids_dim = ht_config_u32(json, "addition_time_embed_dim", 256, 2, 1 << 14);
    c->added_dim = ht_config_u32(json, "projection_class_embeddings_input_dim", 2816, 2, 1 << 18);
    if (json->status == HT_OK && c->added_dim <= HT_UNET_TIME_IDS * c->time_ids_dim) {
        return ht_fail(json->context, HT_ERR_UNSUPPORTED,
                       "'%s': %u values of added conditions leave no room for the pooled text",
                       json->path, c->added_dim);
    }
    return json->status;
}

ht_status ht_unet_config_check(ht_context *context, const char *path, const ht_unet_config *c) {
    ht_unet_plan *plan = ht_alloc(context, sizeof(*plan));
    if (!plan) {
        return HT_ERR_NO_MEMORY;
    }
    ht_status status = HT_OK;
    ht_unet_plan_make(c, plan);
    for (uint32_t i = 0; i < plan->count && status == HT_OK; ++i) {
        const ht_unet_part *part = &plan->parts[i];
        if (part->in % c->groups != 0 || part->out % c->groups != 0) {
            status = ht_fail(context, HT_ERR_IO,
                             "'%s': %s: %u or %u channels cannot be split in %u norm groups", path,
                             part->prefix, part->in, part->out, c->groups);
        } else if (part->kind == HT_UNET_TRANSFORMER && part->out % part->heads != 0) {
            status =
                ht_fail(context, HT_ERR_IO, "'%s': %s: %u channels cannot be split in %u heads",
                        path, part->prefix, part->out, part->heads);
        }
    }
    if (status == HT_OK && plan->layers > HT_UNET_MAX_LAYERS) {
        status = ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s': %u transformer layers, at most "
                         "%d",
                         path, plan->layers, HT_UNET_MAX_LAYERS);
    }
    ht_free(context, plan);
    return status;
}

static ht_status read_all(ht_config *json, const char *name, ht_unet_config *c) {
    *c = (ht_unet_config){
        .in_channels = ht_config_u32(json, "in_channels", 4, 1, 1024),
        .out_channels = ht_config_u32(json, "out_channels", 4, 1, 1024),
        .layers_per_block = ht_config_u32(json, "layers_per_block", 2, 1, 8),
        .cross_dim = ht_config_u32(json, "cross_attention_dim", 1280, 1, 1 << 16),
        .groups = ht_config_u32(json, "norm_num_groups", 32, 1, 1024),
        .eps = (float)ht_config_real(json, "norm_eps", 1e-5, 0, 1),
        .sample_size = ht_config_u32(json, "sample_size", 64, 1, 4096),
        .mid_block = !ht_config_is_null(json, "mid_block_type"),
    };
    c->levels =
        ht_config_u32_list(json, "block_out_channels", c->channels, HT_UNET_MAX_LEVELS, 1, 1 << 14);
    if (c->levels == 0) {
        memcpy(c->channels, (uint32_t[4]){320, 640, 1280, 1280}, 4 * sizeof(uint32_t));
        c->levels = 4;
    }
    // What the class calls the width of a head is the number of heads: kept so for old files.
    const char *heads =
        ht_config_has(json, "num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
    read_per_level(json, heads, 8, 1024, c->levels, c->heads);
    read_per_level(json, "transformer_layers_per_block", 1, 64, c->levels, c->depth);
    if (ht_config_has(json, "time_cond_proj_dim")) {
        c->guidance_dim = ht_config_u32(json, "time_cond_proj_dim", 256, 4, 1 << 14);
    }
    ht_status status = read_blocks(json, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D",
                                   true, c, c->down_attention);
    if (status == HT_OK) {
        status = read_blocks(json, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", false, c,
                             c->up_attention);
    }
    if (status == HT_OK) {
        status = read_added(json, c);
    }
    if (status == HT_OK) {
        status = check_options(json, name);
    }
    return status == HT_OK ? ht_unet_config_check(json->context, json->path, c) : status;
}

ht_status ht_unet_config_read(ht_context *context, const char *folder, ht_unet_config *out) {
    return ht_unet_config_read_class(context, folder, "UNet2DConditionModel", out);
}

ht_status ht_unet_config_read_class(ht_context *context, const char *folder, const char *name,
                                    ht_unet_config *out) {
    ht_config json;
    ht_status status = ht_config_open(context, folder, "config.json", &json);
    if (status != HT_OK) {
        return status;
    }
    status = read_all(&json, name, out);
    ht_config_close(&json);
    return status;
}

static ht_unet_part *add(ht_unet_plan *plan, ht_unet_kind kind, uint32_t in, uint32_t out) {
    // The widest network of the accepted sizes fits: 8 levels of 2 * (8 + 9) parts, and changes.
    static ht_unet_part none;
    if (plan->count == HT_UNET_MAX_PARTS) {
        return &none;
    }
    ht_unet_part *part = &plan->parts[plan->count++];
    *part = (ht_unet_part){.kind = kind, .in = in, .out = out};
    if (kind == HT_UNET_RESNET) {
        part->first_row = plan->rows;
        plan->rows += out;
    }
    return part;
}

static void add_transformer(ht_unet_plan *plan, const ht_unet_config *c, uint32_t level,
                            const char *block, uint32_t index) {
    ht_unet_part *part = add(plan, HT_UNET_TRANSFORMER, c->channels[level], c->channels[level]);
    snprintf(part->prefix, sizeof(part->prefix), "%s.attentions.%u", block, index);
    part->heads = c->heads[level];
    part->depth = c->depth[level];
    part->first_layer = plan->layers;
    plan->layers += part->depth;
}

static ht_unet_part *add_resnet(ht_unet_plan *plan, const char *block, uint32_t index, uint32_t in,
                                uint32_t out) {
    ht_unet_part *part = add(plan, HT_UNET_RESNET, in, out);
    snprintf(part->prefix, sizeof(part->prefix), "%s.resnets.%u", block, index);
    return part;
}

void ht_unet_plan_make(const ht_unet_config *c, ht_unet_plan *plan) {
    uint32_t kept[HT_UNET_MAX_PARTS] = {c->channels[0]}, n_kept = 1, width = c->channels[0];
    char block[32];
    *plan = (ht_unet_plan){0};
    for (uint32_t i = 0; i < c->levels; ++i) {
        snprintf(block, sizeof(block), "down_blocks.%u", i);
        for (uint32_t j = 0; j < c->layers_per_block; ++j) {
            add_resnet(plan, block, j, width, c->channels[i]);
            width = c->channels[i];
            if (c->down_attention[i]) {
                add_transformer(plan, c, i, block, j);
            }
            plan->parts[plan->count - 1].push = true;
            kept[n_kept++] = width;
        }
        if (i + 1 < c->levels) {
            ht_unet_part *part = add(plan, HT_UNET_DOWN, width, width);
            snprintf(part->prefix, sizeof(part->prefix), "%s.downsamplers.0.conv", block);
            part->push = true;
            kept[n_kept++] = width;
        }
    }
    if (c->mid_block) {
        add_resnet(plan, "mid_block", 0, width, width);
        add_transformer(plan, c, c->levels - 1, "mid_block", 0);
        add_resnet(plan, "mid_block", 1, width, width);
    }
    for (uint32_t i = 0; i < c->levels && !c->control; ++i) {
        uint32_t level = c->levels - 1 - i;
        snprintf(block, sizeof(block), "up_blocks.%u", i);
        for (uint32_t j = 0; j <= c->layers_per_block; ++j) {
            add_resnet(plan, block, j, width + kept[--n_kept], c->channels[level])->pop = true;
            width = c->channels[level];
            if (c->up_attention[i]) {
                add_transformer(plan, c, level, block, j);
            }
        }
        if (i + 1 < c->levels) {
            ht_unet_part *part = add(plan, HT_UNET_UP, width, width);
            snprintf(part->prefix, sizeof(part->prefix), "%s.upsamplers.0.conv", block);
        }
    }
}

static const ht_unet_part *part_of_layer(const ht_unet_plan *plan, uint32_t layer) {
    for (uint32_t i = 0; i < plan->count; ++i) {
        const ht_unet_part *part = &plan->parts[i];
        if (part->kind == HT_UNET_TRANSFORMER && layer >= part->first_layer &&
            layer < part->first_layer + part->depth) {
            return part;
        }
    }
    return NULL;
}

uint32_t ht_unet_layer_width(const ht_unet_plan *plan, uint32_t layer) {
    const ht_unet_part *part = part_of_layer(plan, layer);
    return part ? part->out : 0;
}

void ht_unet_text_layer(const ht_unet_plan *plan, uint32_t layer, const char *leaf,
                        char name[160]) {
    const ht_unet_part *part = part_of_layer(plan, layer);
    snprintf(name, 160, "%.64s.transformer_blocks.%u.attn2.%.16s", part ? part->prefix : "",
             part ? layer - part->first_layer : 0, leaf);
}

enum {
    ONE,
    THREE,
    IN,
    OUT,
    SKIP,
    LATENT,
    RESULT,
    FIRST,
    TIME,
    GUIDE,
    ADDED,
    CROSS,
    FF2,
    FF,
    SIZES
};

static const ht_weight_row once_rows[] = {
    {"conv_in.weight", NULL, ONE, 4, {FIRST, LATENT, THREE, THREE}},
    {"conv_in.bias", NULL, ONE, 1, {FIRST}},
    {"time_embedding.linear_1.weight", NULL, ONE, 2, {TIME, FIRST}},
    {"time_embedding.linear_1.bias", NULL, ONE, 1, {TIME}},
    {"time_embedding.linear_2.weight", NULL, ONE, 2, {TIME, TIME}},
    {"time_embedding.linear_2.bias", NULL, ONE, 1, {TIME}},
    {"time_embedding.cond_proj.weight", NULL, GUIDE, 2, {FIRST, GUIDE}},
    {"add_embedding.linear_1.weight", NULL, ADDED, 2, {TIME, ADDED}},
    {"add_embedding.linear_1.bias", NULL, ADDED, 1, {TIME}},
    {"add_embedding.linear_2.weight", NULL, ADDED, 2, {TIME, TIME}},
    {"add_embedding.linear_2.bias", NULL, ADDED, 1, {TIME}},
    {"conv_norm_out.weight", NULL, RESULT, 1, {FIRST}},
    {"conv_norm_out.bias", NULL, RESULT, 1, {FIRST}},
    {"conv_out.weight", NULL, RESULT, 4, {RESULT, FIRST, THREE, THREE}},
    {"conv_out.bias", NULL, RESULT, 1, {RESULT}},
};
static const ht_weight_row resnet_rows[] = {
    {"norm1.weight", NULL, ONE, 1, {IN}},
    {"norm1.bias", NULL, ONE, 1, {IN}},
    {"conv1.weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"conv1.bias", NULL, ONE, 1, {OUT}},
    {"time_emb_proj.weight", NULL, ONE, 2, {OUT, TIME}},
    {"time_emb_proj.bias", NULL, ONE, 1, {OUT}},
    {"norm2.weight", NULL, ONE, 1, {OUT}},
    {"norm2.bias", NULL, ONE, 1, {OUT}},
    {"conv2.weight", NULL, ONE, 4, {OUT, OUT, THREE, THREE}},
    {"conv2.bias", NULL, ONE, 1, {OUT}},
    {"conv_shortcut.weight", NULL, SKIP, 4, {OUT, IN, ONE, ONE}},
    {"conv_shortcut.bias", NULL, SKIP, 1, {OUT}},
};
// proj_in and proj_out are 1 x 1 convolutions in SD 1, with the same values.
static const ht_weight_row transformer_rows[] = {
    {"norm.weight", NULL, ONE, 1, {OUT}},          {"norm.bias", NULL, ONE, 1, {OUT}},
    {"proj_in.weight", NULL, ONE, 2, {OUT, OUT}},  {"proj_in.bias", NULL, ONE, 1, {OUT}},
    {"proj_out.weight", NULL, ONE, 2, {OUT, OUT}}, {"proj_out.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row layer_rows[] = {
    {"norm1.weight", NULL, ONE, 1, {OUT}},
    {"norm1.bias", NULL, ONE, 1, {OUT}},
    {"norm2.weight", NULL, ONE, 1, {OUT}},
    {"norm2.bias", NULL, ONE, 1, {OUT}},
    {"norm3.weight", NULL, ONE, 1, {OUT}},
    {"norm3.bias", NULL, ONE, 1, {OUT}},
    {"attn1.to_q.weight", NULL, ONE, 2, {OUT, OUT}},
    {"attn1.to_k.weight", NULL, ONE, 2, {OUT, OUT}},
    {"attn1.to_v.weight", NULL, ONE, 2, {OUT, OUT}},
    {"attn1.to_out.0.weight", NULL, ONE, 2, {OUT, OUT}},
    {"attn1.to_out.0.bias", NULL, ONE, 1, {OUT}},
    {"attn2.to_q.weight", NULL, ONE, 2, {OUT, OUT}},
    {"attn2.to_k.weight", NULL, ONE, 2, {OUT, CROSS}},
    {"attn2.to_v.weight", NULL, ONE, 2, {OUT, CROSS}},
    {"attn2.to_out.0.weight", NULL, ONE, 2, {OUT, OUT}},
    {"attn2.to_out.0.bias", NULL, ONE, 1, {OUT}},
    {"ff.net.0.proj.weight", NULL, ONE, 2, {FF2, OUT}},
    {"ff.net.0.proj.bias", NULL, ONE, 1, {FF2}},
    {"ff.net.2.weight", NULL, ONE, 2, {OUT, FF}},
    {"ff.net.2.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row change_rows[] = {
    {"weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"bias", NULL, ONE, 1, {OUT}},
};

#define ROWS(table) table, sizeof(table) / sizeof(*table)

static void map_part(ht_weight_map *map, const ht_unet_part *part, uint32_t *sizes) {
    char prefix[HT_NAME_BYTES];
    sizes[IN] = part->in;
    sizes[OUT] = part->out;
    sizes[SKIP] = part->in != part->out;
    sizes[FF] = 4 * part->out;
    sizes[FF2] = 8 * part->out;
    ht_nn_name(prefix, "%s.", part->prefix);
    if (part->kind == HT_UNET_RESNET) {
        ht_weight_map_add(map, prefix, ROWS(resnet_rows), sizes);
    } else if (part->kind == HT_UNET_TRANSFORMER) {
        ht_weight_map_add(map, prefix, ROWS(transformer_rows), sizes);
        for (uint32_t i = 0; i < part->depth; ++i) {
            ht_nn_name(prefix, "%s.transformer_blocks.%u.", part->prefix, i);
            ht_weight_map_add(map, prefix, ROWS(layer_rows), sizes);
        }
    } else {
        ht_weight_map_add(map, prefix, ROWS(change_rows), sizes);
    }
}

ht_status ht_unet_weight_map(ht_context *context, const ht_unet_config *c, ht_weight_map *out) {
    *out = (ht_weight_map){.context = context};
    ht_unet_plan *plan = ht_alloc(context, sizeof(*plan));
    if (!plan) {
        return out->status = HT_ERR_NO_MEMORY;
    }
    ht_unet_plan_make(c, plan);
    uint32_t sizes[SIZES] = {
        [ONE] = 1,
        [THREE] = 3,
        [LATENT] = c->in_channels,
        [RESULT] = c->out_channels,
        [FIRST] = c->channels[0],
        [TIME] = 4 * c->channels[0],
        [GUIDE] = c->guidance_dim,
        [ADDED] = c->added_dim,
        [CROSS] = c->cross_dim,
    };
    ht_weight_map_add(out, "", ROWS(once_rows), sizes);
    for (uint32_t i = 0; i < plan->count; ++i) {
        map_part(out, &plan->parts[i], sizes);
    }
    ht_free(context, plan);
    return out->status;
}

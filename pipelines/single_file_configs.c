// Configurations read off the shapes of a file's tensors.
#include "single_file.h"

#include "common/layers.h"

#include <stdio.h>
#include <string.h>

enum { GROUPS = 32, CLIP_HEAD = 64, MAX_COUNT = 256 };

static const ht_weight_info *find_text(const ht_weights *weights, const char *prefix,
                                       const char *name) {
    char full[HT_NAME_BYTES];
    int length = snprintf(full, sizeof(full), "%s%s", prefix, name);
    return length > 0 && (size_t)length < sizeof(full) ? ht_weights_find(weights, full) : NULL;
}

#define FIND(weights, prefix, ...)                                                                 \
    find_text(weights, prefix, (snprintf(text, sizeof(text), __VA_ARGS__), text))

// A dimension, or 0 of a tensor that is missing or has another rank.
static uint32_t dim(const ht_weight_info *info, uint32_t rank, uint32_t index) {
    return info && info->desc.rank >= rank ? info->desc.dims[index] : 0;
}

static ht_status fail_shapes(ht_context *context, const ht_weights *weights, const char *prefix,
                             const char *what) {
    return ht_fail(context, HT_ERR_IO, "'%s': '%s*' %s", ht_weights_path(weights), prefix, what);
}

// ---- UNet

// Layers of the transformer at BLOCK.1, 0 without one.
static uint32_t depth_of(const ht_weights *weights, const char *prefix, const char *block) {
    char text[HT_NAME_BYTES];
    uint32_t depth = 0;
    while (depth < MAX_COUNT &&
           FIND(weights, prefix, "%s.1.transformer_blocks.%u.norm1.weight", block, depth)) {
        ++depth;
    }
    return depth;
}

// One of the blocks going down: a resnet of the current level, or the change to the next one.
static bool read_down(const ht_weights *weights, const char *prefix, uint32_t block,
                      uint32_t resnets[HT_UNET_MAX_LEVELS], ht_unet_config *c) {
    char text[HT_NAME_BYTES], name[64];
    uint32_t level = c->levels - 1;
    snprintf(name, sizeof(name), "input_blocks.%u", block);
    const ht_weight_info *conv = FIND(weights, prefix, "%s.0.in_layers.2.weight", name);
    if (conv) {
        uint32_t depth = depth_of(weights, prefix, name);
        c->channels[level] = dim(conv, 4, 0);
        c->depth[level] = depth > 0 ? depth : c->depth[level];
        c->down_attention[level] |= depth > 0;
        ++resnets[level];
        return true;
    }
    if (FIND(weights, prefix, "%s.0.op.weight", name) && c->levels < HT_UNET_MAX_LEVELS) {
        ++c->levels;
        return true;
    }
    return false;
}

static ht_status read_levels(ht_context *context, const ht_weights *weights, const char *prefix,
                             ht_unet_config *c) {
    char text[HT_NAME_BYTES], name[64];
    uint32_t resnets[HT_UNET_MAX_LEVELS] = {0};
    c->levels = 1;
    for (uint32_t block = 1; read_down(weights, prefix, block, resnets, c); ++block) {
    }
    c->layers_per_block = resnets[0];
    for (uint32_t i = 0; i < c->levels; ++i) {
        if (resnets[i] == 0 || resnets[i] > 8 || resnets[i] != resnets[0]) {
            return fail_shapes(context, weights, prefix,
                               "has levels with different numbers of blocks, or none");
        }
    }
    c->mid_block = FIND(weights, prefix, "middle_block.0.in_layers.2.weight") != NULL;
    uint32_t mid = depth_of(weights, prefix, "middle_block");
    for (uint32_t i = 0; i < c->levels; ++i) {
        if (c->depth[i] == 0) {
            c->depth[i] = i + 1 == c->levels && mid > 0 ? mid : 1;
        }
        snprintf(name, sizeof(name), "output_blocks.%u", i * (c->layers_per_block + 1));
        c->up_attention[i] = depth_of(weights, prefix, name) > 0;
    }
    return HT_OK;
}

// Width of the text: what the first layer's keys are made of.
static uint32_t cross_width(const ht_weights *weights, const char *prefix) {
    char text[HT_NAME_BYTES];
    const ht_weight_info *keys =
        FIND(weights, prefix, "middle_block.1.transformer_blocks.0.attn2.to_k.weight");
    for (uint32_t i = 1; !keys && i < MAX_COUNT; ++i) {
        keys = FIND(weights, prefix, "input_blocks.%u.1.transformer_blocks.0.attn2.to_k.weight", i);
    }
    return dim(keys, 2, 1);
}

ht_status ht_single_unet_config(ht_context *context, const ht_weights *weights, ht_ldm_names *names,
                                uint32_t head_width, ht_unet_config *out) {
    const char *prefix = ht_ldm_prefix(names);
    char text[HT_NAME_BYTES];
    const ht_weight_info *first = FIND(weights, prefix, "input_blocks.0.0.weight");
    *out = (ht_unet_config){
        .in_channels = dim(first, 4, 1),
        .out_channels = dim(FIND(weights, prefix, "out.2.weight"), 4, 0),
        .cross_dim = cross_width(weights, prefix),
        .guidance_dim = dim(FIND(weights, prefix, "time_embed.cond_proj.weight"), 2, 1),
        .added_dim = dim(FIND(weights, prefix, "label_emb.0.0.weight"), 2, 1),
        .groups = GROUPS,
        .eps = 1e-5f,
    };
    ht_status status = read_levels(context, weights, prefix, out);
    if (status != HT_OK) {
        return status;
    }
    names->levels = out->levels;
    names->layers_per_block = out->layers_per_block;
    bool good = out->in_channels > 0 && out->in_channels <= 1024 && out->out_channels > 0 &&
                out->out_channels <= 1024 && out->cross_dim > 0 && out->cross_dim <= 1 << 16;
    for (uint32_t i = 0; i < out->levels; ++i) {
        uint32_t width = out->channels[i];
        good = good && width >= GROUPS && width <= 1 << 14 && out->depth[i] <= 64;
        out->heads[i] = head_width == 0 ? 8 : width >= head_width ? width / head_width : 1;
    }
    if (!good) {
        return fail_shapes(context, weights, prefix,
                           "lacks tensors of a UNet, or has them in shapes that no Stable "
                           "Diffusion has");
    }
    return ht_unet_config_check(context, ht_weights_path(weights), out);
}

// ---- VAE

ht_status ht_single_vae_config(ht_context *context, const ht_weights *weights, ht_ldm_names *names,
                               ht_vae_config *out) {
    const char *prefix = ht_ldm_prefix(names);
    char text[HT_NAME_BYTES];
    uint32_t blocks = 0;
    *out = (ht_vae_config){
        .in_channels = 3,
        .out_channels = 3,
        .latent_channels = dim(FIND(weights, prefix, "decoder.conv_in.weight"), 4, 1),
        .groups = GROUPS,
        .quant_conv = FIND(weights, prefix, "quant_conv.weight") != NULL,
        .post_quant_conv = FIND(weights, prefix, "post_quant_conv.weight") != NULL,
        .mid_attention = FIND(weights, prefix, "decoder.mid.attn_1.q.weight") != NULL,
        .force_upcast = true,
    };
    while (out->levels < HT_VAE_MAX_LEVELS) {
        const ht_weight_info *conv =
            FIND(weights, prefix, "encoder.down.%u.block.0.conv1.weight", out->levels);
        if (!conv) {
            break;
        }
        out->channels[out->levels++] = dim(conv, 4, 0);
    }
    while (blocks < 16 && FIND(weights, prefix, "encoder.down.0.block.%u.conv1.weight", blocks)) {
        ++blocks;
    }
    names->levels = out->levels;
    names->layers_per_block = out->layers_per_block = blocks;
    bool good = out->levels > 0 && out->latent_channels > 0 && out->latent_channels <= 256;
    for (uint32_t i = 0; i < out->levels; ++i) {
        good = good && out->channels[i] > 0 && out->channels[i] <= 1 << 14 &&
               out->channels[i] % GROUPS == 0;
    }
    return good ? HT_OK
                : fail_shapes(context, weights, prefix,
                              "lacks tensors of a VAE's encoder or decoder, or has them in shapes "
                              "that no Stable Diffusion has");
}

// ---- text encoders

ht_status ht_single_clip_config(ht_context *context, const ht_weights *weights, ht_ldm_names *names,
                                bool projects, ht_clip_config *out) {
    char text[HT_NAME_BYTES];
    const ht_weight_info *tokens =
        ht_ldm_find(weights, names, "text_model.embeddings.token_embedding.weight");
    const ht_weight_info *positions =
        ht_ldm_find(weights, names, "text_model.embeddings.position_embedding.weight");
    const ht_weight_info *inner =
        ht_ldm_find(weights, names, "text_model.encoder.layers.0.mlp.fc1.weight");
    const ht_weight_info *projection = ht_ldm_find(weights, names, "text_projection.weight");
    *out = (ht_clip_config){
        .vocab_size = dim(tokens, 2, 0),
        .width = dim(tokens, 2, 1),
        .intermediate = dim(inner, 2, 0),
        .positions = dim(positions, 2, 0),
        // [width, projection] in OpenCLIP's files, square in all published ones
        .projection = projects ? dim(projection, 2, 1) : 0,
        .eps = 1e-5f,
        .act = projects || ht_ldm_is_open_clip(names) ? HT_ACT_GELU_ERF : HT_ACT_QUICK_GELU,
    };
    while (out->layers < MAX_COUNT) {
        snprintf(text, sizeof(text), "text_model.encoder.layers.%u.layer_norm1.weight",
                 out->layers);
        if (!ht_ldm_find(weights, names, text)) {
            break;
        }
        ++out->layers;
    }
    out->heads = out->width / CLIP_HEAD;
    bool good = out->vocab_size >= 4 && out->vocab_size <= 1 << 22 && out->heads > 0 &&
                out->width % CLIP_HEAD == 0 && out->width <= 1 << 14 && out->layers > 0 &&
                out->positions >= 3 && out->positions <= 4096 && out->intermediate > 0 &&
                out->intermediate <= 1 << 16 && out->projection <= 1 << 14 &&
                (!projects || out->projection > 0);
    return good ? HT_OK
                : fail_shapes(context, weights, ht_ldm_prefix(names),
                              "lacks tensors of a CLIP text encoder, or has them in shapes that "
                              "none has");
}

// Configuration and weights of AutoencoderKL.
#include "autoencoder_kl.h"

#include "autoencoder_cogvideox.h"
#include "autoencoder_taehv.h"
#include "autoencoder_tiny.h"
#include "autoencoder_wan.h"
#include "common/config.h"
#include "common/layers.h"

#include <stdio.h>
#include <string.h>

// Every level's block must be of the one kind the network is built from.
ht_status ht_vae_check_blocks(ht_context *context, const char *folder, ht_config *json,
                              const char *key, const char *expected, uint32_t levels) {
    for (uint32_t i = 0; i < levels; ++i) {
        const char *kind = ht_config_text_item(json, key, i);
        if (kind && strcmp(kind, expected) != 0) {
            return ht_fail(context, HT_ERR_UNSUPPORTED,
                           "'%s/config.json': %s has a %s, supported: %s", folder, key, kind,
                           expected);
        }
    }
    return json->status;
}

static ht_status check(ht_context *context, const char *folder, ht_config *json,
                       const ht_vae_config *c) {
    const char *act = ht_config_text(json, "act_fn", "silu");
    if (json->status != HT_OK) {
        return json->status;
    }
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': act_fn '%s', supported: silu", folder, act);
    }
    if (ht_config_has(json, "latents_mean") || ht_config_has(json, "latents_std")) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': latents_mean and latents_std are not supported", folder);
    }
    for (uint32_t i = 0; i < c->levels; ++i) {
        if (c->channels[i] % c->groups != 0) {
            return ht_fail(context, HT_ERR_IO,
                           "'%s/config.json': %u channels cannot be split in %u norm groups",
                           folder, c->channels[i], c->groups);
        }
    }
    ht_status status = ht_vae_check_blocks(context, folder, json, "down_block_types",
                                           "DownEncoderBlock2D", c->levels);
    return status == HT_OK ? ht_vae_check_blocks(context, folder, json, "up_block_types",
                                                 "UpDecoderBlock2D", c->levels)
                           : status;
}

static ht_status read_kl(ht_context *context, const char *folder, ht_config *json,
                         ht_vae_config *out) {
    *out = (ht_vae_config){
        .in_channels = ht_config_u32(json, "in_channels", 3, 3, 3),
        .out_channels = ht_config_u32(json, "out_channels", 3, 3, 3),
        .layers_per_block = ht_config_u32(json, "layers_per_block", 1, 1, 16),
        .latent_channels = ht_config_u32(json, "latent_channels", 4, 1, 256),
        .groups = ht_config_u32(json, "norm_num_groups", 32, 1, 1024),
        .sample_size = ht_config_u32(json, "sample_size", 32, 1, 1 << 14),
        .quant_conv = ht_config_bool(json, "use_quant_conv", true),
        .post_quant_conv = ht_config_bool(json, "use_post_quant_conv", true),
        .mid_attention = ht_config_bool(json, "mid_block_add_attention", true),
        .force_upcast = ht_config_bool(json, "force_upcast", true),
        .scaling_factor = (float)ht_config_real(json, "scaling_factor", 0.18215, 1e-6, 1e6),
        .shift_factor = (float)ht_config_real(json, "shift_factor", 0.0, -1e6, 1e6),
    };
    out->levels = ht_config_u32_list(json, "block_out_channels", out->channels, HT_VAE_MAX_LEVELS,
                                     1, 1 << 14);
    if (out->levels == 0) { // the class has one level by default
        out->levels = 1;
        out->channels[0] = 64;
    }
    return json->status == HT_OK ? check(context, folder, json, out) : json->status;
}

ht_status ht_vae_config_read(ht_context *context, const char *folder, ht_vae_config *out) {
    ht_config json;
    ht_status status = ht_config_open(context, folder, "config.json", &json);
    if (status != HT_OK) {
        return status;
    }
    const char *name = ht_config_text(&json, "_class_name", "AutoencoderKL");
    if (json.status != HT_OK) {
        status = json.status;
    } else if (strcmp(name, "AutoencoderTiny") == 0) {
        status = ht_tiny_config_parse(folder, &json, out);
    } else if (strcmp(name, "AutoencoderKLWan") == 0) {
        status = ht_wan_vae_config_parse(folder, &json, out);
    } else if (strcmp(name, "AutoencoderKLCogVideoX") == 0) {
        status = ht_cogvideox_vae_config_parse(folder, &json, out);
    } else if (strcmp(name, "AutoencoderKL") == 0) {
        status = read_kl(context, folder, &json, out);
    } else {
        status = ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s/config.json' describes a %s; supported: AutoencoderKL, "
                         "AutoencoderKLCogVideoX, AutoencoderKLWan, AutoencoderTiny",
                         folder, name);
    }
    ht_config_close(&json);
    return status;
}

enum { ONE, THREE, IN, OUT, SKIP, LATENT, QUANT, POST, SIZES };

static const ht_weight_row resnet_rows[] = {
    {"norm1.weight", NULL, ONE, 1, {IN}},
    {"norm1.bias", NULL, ONE, 1, {IN}},
    {"conv1.weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"conv1.bias", NULL, ONE, 1, {OUT}},
    {"norm2.weight", NULL, ONE, 1, {OUT}},
    {"norm2.bias", NULL, ONE, 1, {OUT}},
    {"conv2.weight", NULL, ONE, 4, {OUT, OUT, THREE, THREE}},
    {"conv2.bias", NULL, ONE, 1, {OUT}},
    {"conv_shortcut.weight", NULL, SKIP, 4, {OUT, IN, ONE, ONE}},
    {"conv_shortcut.bias", NULL, SKIP, 1, {OUT}},
};
static const ht_weight_row attention_rows[] = {
    {"group_norm.weight", NULL, ONE, 1, {OUT}},
    {"group_norm.bias", NULL, ONE, 1, {OUT}},
    {"to_q.weight", "query.weight", ONE, 2, {OUT, OUT}},
    {"to_q.bias", "query.bias", ONE, 1, {OUT}},
    {"to_k.weight", "key.weight", ONE, 2, {OUT, OUT}},
    {"to_k.bias", "key.bias", ONE, 1, {OUT}},
    {"to_v.weight", "value.weight", ONE, 2, {OUT, OUT}},
    {"to_v.bias", "value.bias", ONE, 1, {OUT}},
    {"to_out.0.weight", "proj_attn.weight", ONE, 2, {OUT, OUT}},
    {"to_out.0.bias", "proj_attn.bias", ONE, 1, {OUT}},
};
static const ht_weight_row conv_rows[] = {
    {"weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row norm_rows[] = {
    {"weight", NULL, ONE, 1, {OUT}},
    {"bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row quant_rows[] = {
    {"quant_conv.weight", NULL, QUANT, 4, {LATENT, LATENT, ONE, ONE}},
    {"quant_conv.bias", NULL, QUANT, 1, {LATENT}},
    {"post_quant_conv.weight", NULL, POST, 4, {LATENT, LATENT, ONE, ONE}},
    {"post_quant_conv.bias", NULL, POST, 1, {LATENT}},
};

#define ADD(map, prefix, rows, sizes)                                                              \
    ht_weight_map_add(map, prefix, rows, sizeof(rows) / sizeof(*(rows)), sizes)

static void add_pair(ht_weight_map *map, const char *prefix, const ht_weight_row *rows,
                     uint32_t n_rows, uint32_t in, uint32_t out) {
    uint32_t sizes[SIZES] = {[ONE] = 1, [THREE] = 3, [IN] = in, [OUT] = out, [SKIP] = in != out};
    ht_weight_map_add(map, prefix, rows, n_rows, sizes);
}

#define ADD_PAIR(map, prefix, rows, in, out)                                                       \
    add_pair(map, prefix, rows, sizeof(rows) / sizeof(*(rows)), in, out)

// What both halves have: first and last convolution, last norm, the middle.
static void add_half(ht_weight_map *map, const ht_vae_config *c, const char *half, uint32_t in,
                     uint32_t first, uint32_t last, uint32_t out) {
    char name[HT_NAME_BYTES];
    uint32_t width = c->channels[c->levels - 1];
    ADD_PAIR(map, ht_nn_name(name, "%s.conv_in.", half), conv_rows, in, first);
    ADD_PAIR(map, ht_nn_name(name, "%s.mid_block.resnets.0.", half), resnet_rows, width, width);
    if (c->mid_attention) {
        ht_nn_name(name, "%s.mid_block.attentions.0.", half);
        ADD_PAIR(map, name, attention_rows, width, width);
    }
    ADD_PAIR(map, ht_nn_name(name, "%s.mid_block.resnets.1.", half), resnet_rows, width, width);
    ADD_PAIR(map, ht_nn_name(name, "%s.conv_norm_out.", half), norm_rows, last, last);
    ADD_PAIR(map, ht_nn_name(name, "%s.conv_out.", half), conv_rows, last, out);
}

static void add_level(ht_weight_map *map, const ht_vae_config *c, bool decoder, uint32_t i) {
    char name[HT_NAME_BYTES];
    uint32_t here = decoder ? c->levels - 1 - i : i;
    uint32_t before = i == 0 ? here : decoder ? here + 1 : here - 1;
    uint32_t count = c->layers_per_block + (decoder ? 1 : 0);
    for (uint32_t j = 0; j < count; ++j) {
        ht_nn_name(name, "%s_blocks.%u.resnets.%u.", decoder ? "decoder.up" : "encoder.down", i, j);
        ADD_PAIR(map, name, resnet_rows, c->channels[j == 0 ? before : here], c->channels[here]);
    }
    if (i + 1 < c->levels) {
        ht_nn_name(name,
                   decoder ? "decoder.up_blocks.%u.upsamplers.0.conv."
                           : "encoder.down_blocks.%u.downsamplers.0.conv.",
                   i);
        ADD_PAIR(map, name, conv_rows, c->channels[here], c->channels[here]);
    }
}

ht_status ht_vae_weight_map(ht_context *context, const ht_vae_config *config, ht_vae_part parts,
                            ht_weight_map *out) {
    uint32_t z = config->latent_channels, outer = config->channels[0];
    uint32_t inner = config->channels[config->levels - 1];
    *out = (ht_weight_map){.context = context};
    if (config->video && config->tiny) {
        ht_taehv_weight_map(config, out);
        return out->status;
    }
    if (config->video && config->piece > 1) {
        ht_cogvideox_vae_weight_map(config, parts, out);
        return out->status;
    }
    if (config->video) {
        ht_wan_vae_weight_map(config, parts, out);
        return out->status;
    }
    if (config->tiny) {
        ht_tiny_weight_map(config, parts & ~config->missing, out);
        return out->status;
    }
    if (parts & HT_VAE_ENCODER) {
        uint32_t sizes[SIZES] = {[ONE] = 1, [LATENT] = 2 * z, [QUANT] = config->quant_conv};
        ADD(out, "", quant_rows, sizes);
        add_half(out, config, "encoder", config->in_channels, outer, inner, 2 * z);
        for (uint32_t i = 0; i < config->levels; ++i) {
            add_level(out, config, false, i);
        }
    }
    if (parts & HT_VAE_DECODER) {
        uint32_t sizes[SIZES] = {[ONE] = 1, [LATENT] = z, [POST] = config->post_quant_conv};
        ADD(out, "", quant_rows, sizes);
        add_half(out, config, "decoder", z, inner, outer, config->out_channels);
        for (uint32_t i = 0; i < config->levels; ++i) {
            add_level(out, config, true, i);
        }
    }
    return out->status;
}

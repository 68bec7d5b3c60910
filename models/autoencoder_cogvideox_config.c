// Configuration and weights of AutoencoderKLCogVideoX.
#include "autoencoder_cogvideox.h"

#include "common/config.h"

#include <math.h>
#include <string.h>

// What would change the result and is not there.
static void refuse_others(ht_config *json) {
    static const char *const flags[] = {"use_quant_conv", "use_post_quant_conv"};
    static const char *const keys[] = {"shift_factor", "latents_mean", "latents_std"};
    const char *other = NULL;
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); ++i) {
        other = ht_config_bool(json, flags[i], false) ? flags[i] : other;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); ++i) {
        other = ht_config_has(json, keys[i]) ? keys[i] : other;
    }
    other = fabs(ht_config_real(json, "norm_eps", 1e-6, 0, 1) - 1e-6) > 1e-9 ? "norm_eps" : other;
    other =
        ht_config_real(json, "temporal_compression_ratio", HT_CLIP_TIMES, 0, 1e6) != HT_CLIP_TIMES
            ? "temporal_compression_ratio"
            : other;
    if (json->status == HT_OK && other) {
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': \"%s\" is another one than in CogVideoX 1.0's autoencoder, "
                               "which is supported",
                               json->path, other);
    }
}

static void check_act(ht_config *json) {
    const char *act = ht_config_text(json, "act_fn", "silu");
    if (json->status == HT_OK && strcmp(act, "silu") != 0) {
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': act_fn '%s', supported: silu", json->path, act);
    }
}

static void check_channels(ht_config *json, const ht_vae_config *c) {
    for (uint32_t i = 0; json->status == HT_OK && i < c->levels; ++i) {
        if (c->channels[i] % c->groups != 0) {
            json->status = ht_fail(json->context, HT_ERR_IO,
                                   "'%s': %u channels cannot be split in %u norm groups",
                                   json->path, c->channels[i], c->groups);
        }
    }
    if (json->status == HT_OK && c->levels < 3) {
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': \"block_out_channels\" has %u levels; two of them halve the "
                               "time, so at least 3 are expected",
                               json->path, c->levels);
    }
}

ht_status ht_cogvideox_vae_config_parse(const char *folder, ht_config *json, ht_vae_config *out) {
    static const uint32_t usual[4] = {128, 256, 256, 512};
    *out = (ht_vae_config){
        .video = true,
        .piece = HT_COGVIDEOX_VAE_PIECE,
        .in_channels = ht_config_u32(json, "in_channels", 3, 3, 3),
        .out_channels = ht_config_u32(json, "out_channels", 3, 3, 3),
        .layers_per_block = ht_config_u32(json, "layers_per_block", 3, 1, 16),
        .latent_channels = ht_config_u32(json, "latent_channels", 16, 1, HT_VAE_MAX_LATENT),
        .groups = ht_config_u32(json, "norm_num_groups", 32, 1, 1024),
        .sample_size = ht_config_u32(json, "sample_height", 480, 16, 1 << 14) / 2, // as it tiles
        .scaling_factor = 1,
        .halves_time = {true, true},
    };
    const float scale = (float)ht_config_real(json, "scaling_factor", 1.15258426, 1e-6, 1e6);
    for (uint32_t i = 0; i < out->latent_channels; ++i) {
        out->deviation[i] = 1 / scale;
    }
    out->levels = ht_config_u32_list(json, "block_out_channels", out->channels, HT_VAE_MAX_LEVELS,
                                     1, 1 << 14);
    if (out->levels == 0) {
        out->levels = 4;
        memcpy(out->channels, usual, sizeof(usual));
    }
    check_channels(json, out);
    check_act(json);
    refuse_others(json);
    if (json->status != HT_OK) {
        return json->status;
    }
    ht_status status = ht_vae_check_blocks(json->context, folder, json, "down_block_types",
                                           "CogVideoXDownBlock3D", out->levels);
    return status == HT_OK ? ht_vae_check_blocks(json->context, folder, json, "up_block_types",
                                                 "CogVideoXUpBlock3D", out->levels)
                           : status;
}

enum { ONE, THREE, IN, OUT, SKIP, LATENT, SIZES };

static const ht_weight_row resnet_rows[] = {
    {"conv1.conv.weight", NULL, ONE, 5, {OUT, IN, THREE, THREE, THREE}},
    {"conv1.conv.bias", NULL, ONE, 1, {OUT}},
    {"conv2.conv.weight", NULL, ONE, 5, {OUT, OUT, THREE, THREE, THREE}},
    {"conv2.conv.bias", NULL, ONE, 1, {OUT}},
    {"conv_shortcut.weight", NULL, SKIP, 5, {OUT, IN, ONE, ONE, ONE}},
    {"conv_shortcut.bias", NULL, SKIP, 1, {OUT}},
};
static const ht_weight_row norm_rows[] = {
    {"weight", NULL, ONE, 1, {OUT}},
    {"bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row seeing_norm_rows[] = {
    {"norm_layer.weight", NULL, ONE, 1, {OUT}},
    {"norm_layer.bias", NULL, ONE, 1, {OUT}},
    {"conv_y.conv.weight", NULL, ONE, 5, {OUT, LATENT, ONE, ONE, ONE}},
    {"conv_y.conv.bias", NULL, ONE, 1, {OUT}},
    {"conv_b.conv.weight", NULL, ONE, 5, {OUT, LATENT, ONE, ONE, ONE}},
    {"conv_b.conv.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row causal_rows[] = {
    {"conv.weight", NULL, ONE, 5, {OUT, IN, THREE, THREE, THREE}},
    {"conv.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row plain_rows[] = {
    {"conv.weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"conv.bias", NULL, ONE, 1, {OUT}},
};

// A half being listed.
typedef struct list {
    ht_weight_map *map;
    const ht_vae_config *config;
    bool decoder;
} list;

static void add_rows(const list *l, const char *prefix, const ht_weight_row *rows, size_t n_rows,
                     uint32_t in, uint32_t out) {
    const uint32_t sizes[SIZES] = {
        [ONE] = 1,   [THREE] = 3,        [IN] = in,
        [OUT] = out, [SKIP] = in != out, [LATENT] = l->config->latent_channels};
    ht_weight_map_add(l->map, prefix, rows, (uint32_t)n_rows, sizes);
}

#define ADD(l, prefix, rows, in, out)                                                              \
    add_rows(l, prefix, rows, sizeof(rows) / sizeof(*(rows)), in, out)

static void add_norm(const list *l, const char *prefix, uint32_t width) {
    if (l->decoder) {
        ADD(l, prefix, seeing_norm_rows, width, width);
    } else {
        ADD(l, prefix, norm_rows, width, width);
    }
}

static void add_resnet(const list *l, const char *prefix, uint32_t in, uint32_t out) {
    char name[HT_NAME_BYTES];
    ADD(l, prefix, resnet_rows, in, out);
    add_norm(l, ht_nn_name(name, "%snorm1.", prefix), in);
    add_norm(l, ht_nn_name(name, "%snorm2.", prefix), out);
}

static void add_half(const list *l) {
    const ht_vae_config *c = l->config;
    const char *half = l->decoder ? "decoder" : "encoder";
    const uint32_t inner = c->channels[c->levels - 1], outer = c->channels[0];
    const uint32_t first = l->decoder ? inner : outer, last = l->decoder ? outer : inner;
    char name[HT_NAME_BYTES];
    uint32_t before = first;
    ADD(l, ht_nn_name(name, "%s.conv_in.", half), causal_rows,
        l->decoder ? c->latent_channels : c->in_channels, first);
    for (uint32_t i = 0; i < 2; ++i) {
        add_resnet(l, ht_nn_name(name, "%s.mid_block.resnets.%u.", half, i), inner, inner);
    }
    for (uint32_t i = 0; i < c->levels; ++i) {
        const uint32_t width = c->channels[l->decoder ? c->levels - 1 - i : i];
        const char *blocks = l->decoder ? "decoder.up_blocks" : "encoder.down_blocks";
        for (uint32_t j = 0; j < c->layers_per_block + (l->decoder ? 1 : 0); ++j) {
            ht_nn_name(name, "%s.%u.resnets.%u.", blocks, i, j);
            add_resnet(l, name, j == 0 ? before : width, width);
        }
        if (i + 1 < c->levels) {
            ht_nn_name(name, "%s.%u.%ssamplers.0.", blocks, i, l->decoder ? "up" : "down");
            ADD(l, name, plain_rows, width, width);
        }
        before = width;
    }
    add_norm(l, ht_nn_name(name, "%s.norm_out.", half), last);
    ADD(l, ht_nn_name(name, "%s.conv_out.", half), causal_rows, last,
        l->decoder ? c->out_channels : 2 * c->latent_channels);
}

void ht_cogvideox_vae_weight_map(const ht_vae_config *config, ht_vae_part parts,
                                 ht_weight_map *out) {
    if (parts & HT_VAE_ENCODER) {
        add_half(&(list){out, config, false});
    }
    if (parts & HT_VAE_DECODER) {
        add_half(&(list){out, config, true});
    }
}

// Configuration and weights of AutoencoderKLWan.
#include "autoencoder_wan.h"

#include "common/config.h"
#include "common/layers.h"

#include <string.h>

// Latents of Wan 2.1 where the configuration does not say.
static const float usual_mean[16] = {-0.7571f, -0.7089f, -0.9113f, 0.1075f,  -0.1745f, 0.9653f,
                                     -0.1517f, 1.5508f,  0.4134f,  -0.0715f, 0.5517f,  -0.3632f,
                                     -0.1922f, -0.9497f, 0.2503f,  -0.2921f};
static const float usual_std[16] = {2.8184f, 1.4541f, 2.3275f, 2.6558f, 1.2196f, 1.7708f,
                                    2.6052f, 2.0743f, 3.2687f, 2.1526f, 2.8652f, 1.5579f,
                                    1.6382f, 1.1253f, 2.8251f, 1.9160f};

static void read_list(ht_config *json, const char *key, const float usual[16], uint32_t channels,
                      float *out) {
    uint32_t count = 16;
    if (ht_config_is_list(json, key)) {
        count = ht_config_real_list(json, key, out, HT_VAE_MAX_LATENT);
    } else {
        memcpy(out, usual, 16 * sizeof(*out));
    }
    if (json->status == HT_OK && count != channels) {
        json->status = ht_fail(json->context, HT_ERR_IO,
                               "'%s': \"%s\" has %u numbers for %u channels of latents", json->path,
                               key, count, channels);
    }
}

// Which levels halve the time; all of [False, True, True] by default.
static void read_times(ht_config *json, ht_vae_config *out) {
    bool times[HT_VAE_MAX_LEVELS] = {false, true, true};
    uint32_t count = 3;
    if (ht_config_is_list(json, "temperal_downsample")) {
        count = ht_config_bool_list(json, "temperal_downsample", times, HT_VAE_MAX_LEVELS);
    }
    uint32_t halvings = 0;
    for (uint32_t i = 0; i < count; ++i) {
        out->halves_time[i] = times[i];
        halvings += times[i];
    }
    if (json->status == HT_OK && (count + 1 != out->levels || halvings != 2)) {
        json->status = ht_fail(json->context, HT_ERR_UNSUPPORTED,
                               "'%s': \"temperal_downsample\" has %u values, %u of them true; "
                               "supported: one less than dim_mult has, two of them true",
                               json->path, count, halvings);
    }
}

static void refuse_others(ht_config *json) {
    static const char *const keys[] = {"patch_size", "decoder_base_dim"};
    float scales[HT_VAE_MAX_LEVELS];
    bool other = ht_config_bool(json, "is_residual", false);
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); ++i) {
        other = other || ht_config_has(json, keys[i]);
    }
    if (ht_config_is_list(json, "attn_scales")) {
        other = other || ht_config_real_list(json, "attn_scales", scales, HT_VAE_MAX_LEVELS) > 0;
    }
    if (json->status == HT_OK && other) {
        json->status =
            ht_fail(json->context, HT_ERR_UNSUPPORTED,
                    "'%s': is_residual, patch_size, decoder_base_dim and attn_scales (as "
                    "in Wan 2.2 5B) are not supported",
                    json->path);
    }
}

ht_status ht_wan_vae_config_parse(const char *folder, ht_config *json, ht_vae_config *out) {
    uint32_t mult[HT_VAE_MAX_LEVELS] = {1, 2, 4, 4};
    (void)folder;
    *out = (ht_vae_config){
        .video = true,
        .piece = 1,
        .in_channels = ht_config_u32(json, "in_channels", 3, 3, 3),
        .out_channels = ht_config_u32(json, "out_channels", 3, 3, 3),
        .base_channels = ht_config_u32(json, "base_dim", 96, 4, 1 << 12),
        .levels = 4,
        .layers_per_block = ht_config_u32(json, "num_res_blocks", 2, 1, 16),
        .latent_channels = ht_config_u32(json, "z_dim", 16, 1, HT_VAE_MAX_LATENT),
        .sample_size = 256,
        .quant_conv = true,
        .post_quant_conv = true,
        .mid_attention = true,
        .scaling_factor = 1,
    };
    if (ht_config_is_list(json, "dim_mult")) {
        out->levels = ht_config_u32_list(json, "dim_mult", mult, HT_VAE_MAX_LEVELS, 1, 64);
    }
    for (uint32_t i = 0; i < out->levels; ++i) {
        out->channels[i] = out->base_channels * mult[i];
    }
    read_list(json, "latents_mean", usual_mean, out->latent_channels, out->mean);
    read_list(json, "latents_std", usual_std, out->latent_channels, out->deviation);
    read_times(json, out);
    refuse_others(json);
    for (uint32_t i = 0; json->status == HT_OK && i < out->levels; ++i) {
        if (out->channels[i] % 2 != 0) {
            json->status = ht_fail(json->context, HT_ERR_IO, "'%s': %u channels cannot be halved",
                                   json->path, out->channels[i]);
        }
    }
    for (uint32_t i = 0; json->status == HT_OK && i < out->latent_channels; ++i) {
        if (!(out->deviation[i] > 0)) {
            json->status = ht_fail(json->context, HT_ERR_IO,
                                   "'%s': \"latents_std\" has %g, expected positive numbers",
                                   json->path, (double)out->deviation[i]);
        }
    }
    return json->status;
}

enum { ONE, THREE, IN, OUT, SKIP, SIZES };

static const ht_weight_row resnet_rows[] = {
    {"norm1.gamma", NULL, ONE, 4, {IN, ONE, ONE, ONE}},
    {"conv1.weight", NULL, ONE, 5, {OUT, IN, THREE, THREE, THREE}},
    {"conv1.bias", NULL, ONE, 1, {OUT}},
    {"norm2.gamma", NULL, ONE, 4, {OUT, ONE, ONE, ONE}},
    {"conv2.weight", NULL, ONE, 5, {OUT, OUT, THREE, THREE, THREE}},
    {"conv2.bias", NULL, ONE, 1, {OUT}},
    {"conv_shortcut.weight", NULL, SKIP, 5, {OUT, IN, ONE, ONE, ONE}},
    {"conv_shortcut.bias", NULL, SKIP, 1, {OUT}},
};
// IN: three times OUT
static const ht_weight_row attention_rows[] = {
    {"norm.gamma", NULL, ONE, 3, {OUT, ONE, ONE}},
    {"to_qkv.weight", NULL, ONE, 4, {IN, OUT, ONE, ONE}},
    {"to_qkv.bias", NULL, ONE, 1, {IN}},
    {"proj.weight", NULL, ONE, 4, {OUT, OUT, ONE, ONE}},
    {"proj.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row causal_rows[] = {
    {"weight", NULL, ONE, 5, {OUT, IN, THREE, THREE, THREE}},
    {"bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row time_rows[] = {
    {"weight", NULL, ONE, 5, {OUT, IN, THREE, ONE, ONE}},
    {"bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row point_rows[] = {
    {"weight", NULL, ONE, 5, {OUT, IN, ONE, ONE, ONE}},
    {"bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row plain_rows[] = {
    {"weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row norm_rows[] = {{"gamma", NULL, ONE, 4, {OUT, ONE, ONE, ONE}}};

static void add_rows(ht_weight_map *map, const char *prefix, const ht_weight_row *rows,
                     size_t n_rows, uint32_t in, uint32_t out) {
    uint32_t sizes[SIZES] = {[ONE] = 1, [THREE] = 3, [IN] = in, [OUT] = out, [SKIP] = in != out};
    ht_weight_map_add(map, prefix, rows, (uint32_t)n_rows, sizes);
}

#define ADD(map, prefix, rows, in, out)                                                            \
    add_rows(map, prefix, rows, sizeof(rows) / sizeof(*(rows)), in, out)

// What both halves have.
static void add_half(ht_weight_map *map, const ht_vae_config *c, const char *half,
                     const uint32_t widths[4]) {
    char name[HT_NAME_BYTES];
    uint32_t inner = c->channels[c->levels - 1];
    ADD(map, ht_nn_name(name, "%s.conv_in.", half), causal_rows, widths[0], widths[1]);
    ADD(map, ht_nn_name(name, "%s.mid_block.resnets.0.", half), resnet_rows, inner, inner);
    ADD(map, ht_nn_name(name, "%s.mid_block.attentions.0.", half), attention_rows, 3 * inner,
        inner);
    ADD(map, ht_nn_name(name, "%s.mid_block.resnets.1.", half), resnet_rows, inner, inner);
    ADD(map, ht_nn_name(name, "%s.norm_out.", half), norm_rows, widths[2], widths[2]);
    ADD(map, ht_nn_name(name, "%s.conv_out.", half), causal_rows, widths[2], widths[3]);
}

static void add_encoder(ht_weight_map *map, const ht_vae_config *c) {
    char name[HT_NAME_BYTES];
    uint32_t z = 2 * c->latent_channels, index = 0, before = c->base_channels;
    ADD(map, "quant_conv.", point_rows, z, z);
    add_half(map, c, "encoder",
             (uint32_t[4]){c->in_channels, c->base_channels, c->channels[c->levels - 1], z});
    for (uint32_t i = 0; i < c->levels; ++i) {
        uint32_t width = c->channels[i];
        for (uint32_t j = 0; j < c->layers_per_block; ++j) {
            ht_nn_name(name, "encoder.down_blocks.%u.", index++);
            ADD(map, name, resnet_rows, before, width);
            before = width;
        }
        if (i + 1 < c->levels) {
            ht_nn_name(name, "encoder.down_blocks.%u.resample.1.", index);
            ADD(map, name, plain_rows, width, width);
            if (c->halves_time[i]) {
                ht_nn_name(name, "encoder.down_blocks.%u.time_conv.", index);
                ADD(map, name, time_rows, width, width);
            }
            ++index;
        }
    }
}

static void add_decoder(ht_weight_map *map, const ht_vae_config *c) {
    char name[HT_NAME_BYTES];
    uint32_t z = c->latent_channels, before = c->channels[c->levels - 1];
    ADD(map, "post_quant_conv.", point_rows, z, z);
    add_half(map, c, "decoder", (uint32_t[4]){z, before, c->channels[0], c->out_channels});
    for (uint32_t i = 0; i < c->levels; ++i) {
        uint32_t level = c->levels - 1 - i, width = c->channels[level];
        for (uint32_t j = 0; j <= c->layers_per_block; ++j) {
            ht_nn_name(name, "decoder.up_blocks.%u.resnets.%u.", i, j);
            ADD(map, name, resnet_rows, j == 0 ? before : width, width);
        }
        if (level > 0) {
            ht_nn_name(name, "decoder.up_blocks.%u.upsamplers.0.resample.1.", i);
            ADD(map, name, plain_rows, width, width / 2);
            if (c->halves_time[level - 1]) {
                ht_nn_name(name, "decoder.up_blocks.%u.upsamplers.0.time_conv.", i);
                ADD(map, name, time_rows, width, 2 * width);
            }
            before = width / 2;
        }
    }
}

void ht_wan_vae_weight_map(const ht_vae_config *config, ht_vae_part parts, ht_weight_map *out) {
    if (parts & HT_VAE_ENCODER) {
        add_encoder(out, config);
    }
    if (parts & HT_VAE_DECODER) {
        add_decoder(out, config);
    }
}

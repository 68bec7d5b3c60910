// AutoencoderKL: residual convolution blocks with group norm, one attention in the middle.
#include "autoencoder_kl.h"

#include "autoencoder_tiny.h"
#include "common/layers.h"

#include <stdio.h>

#define EPS 1e-6f

uint32_t ht_vae_features(const ht_vae_config *config) {
    return config->channels[config->levels - 1];
}

uint32_t ht_vae_local_groups(const ht_vae_config *config, bool encoder) {
    const uint32_t layers = config->layers_per_block;
    const uint32_t norms =
        encoder ? 2 * config->levels * layers : 2 * config->levels * (layers + 1) + 1;
    return config->tiny ? 0 : norms * config->groups;
}

uint32_t ht_vae_factor(const ht_vae_config *config) {
    return 1u << (config->levels - 1);
}

// x + conv2(silu(norm2(conv1(silu(norm1(x))))))   [B, H, W, I] -> [B, H, W, out]
static ht_value resnet(const ht_nn *nn, const ht_vae_config *c, const char *prefix, ht_value x,
                       uint32_t out) {
    char name[HT_NAME_BYTES];
    ht_value skip = x;
    if (ht_nn_width(nn, x) != out) {
        ht_nn_name(name, "%s.conv_shortcut", prefix);
        skip = ht_nn_linear(nn, name, x, out, NULL); // a 1 x 1 convolution
    }
    ht_nn_name(name, "%s.norm1", prefix);
    ht_value y = ht_nn_group_norm(nn, name, x, c->groups, EPS, HT_ACT_SILU);
    y = ht_nn_conv(nn, ht_nn_name(name, "%s.conv1", prefix), y, out, 3, ht_nn_same_size);
    ht_nn_name(name, "%s.norm2", prefix);
    y = ht_nn_group_norm(nn, name, y, c->groups, EPS, HT_ACT_SILU);
    ht_conv2d_args args = ht_nn_same_size;
    args.epilogue.residual = skip;
    return ht_nn_conv(nn, ht_nn_name(name, "%s.conv2", prefix), y, out, 3, args);
}

// A linear layer under its name of today or of 2022.
static ht_value projection(const ht_nn *nn, const char *prefix, const char *name,
                           const char *old_name, ht_value x, uint32_t out,
                           const ht_epilogue *rest) {
    char weight[HT_NAME_BYTES], layer[HT_NAME_BYTES];
    ht_nn_name(weight, "%s.%s.weight", prefix, name);
    bool today = ht_weights_find(nn->weights, weight) != NULL;
    ht_nn_name(layer, "%s.%s", prefix, today ? name : old_name);
    return ht_nn_linear(nn, layer, x, out, rest);
}

// One head over all positions.   [B, H, W, C] -> [B, H, W, C]
static ht_value attention(const ht_nn *nn, const ht_vae_config *c, const char *prefix, ht_value x) {
    char name[HT_NAME_BYTES];
    ht_tensor_desc d = ht_graph_value_desc(nn->graph, x);
    if (d.rank != 4) {
        return (ht_value){0};
    }
    uint32_t tokens[6] = {d.dims[0], d.dims[1] * d.dims[2], d.dims[3]};
    ht_nn_name(name, "%s.group_norm", prefix);
    ht_value n = ht_nn_view(nn, ht_nn_group_norm(nn, name, x, c->groups, EPS, HT_ACT_NONE), tokens);
    ht_value q = projection(nn, prefix, "to_q", "query", n, d.dims[3], NULL); // [B, H * W, C]
    ht_value k = projection(nn, prefix, "to_k", "key", n, d.dims[3], NULL);
    ht_value v = projection(nn, prefix, "to_v", "value", n, d.dims[3], NULL);
    ht_attention_args args = {.heads = 1, .rel_bias = HT_NO_VALUE, .mask = HT_NO_VALUE};
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = ht_nn_view(nn, x, tokens);
    ht_value y = projection(nn, prefix, "to_out.0", "proj_attn",
                            ht_op_attention(nn->graph, q, k, v, &args), d.dims[3], &rest);
    return ht_nn_view(nn, y, d.dims);
}

// prefix is "encoder" or "decoder".
static ht_value middle(const ht_nn *nn, const ht_vae_config *c, const char *prefix, ht_value x) {
    char name[HT_NAME_BYTES];
    uint32_t width = c->channels[c->levels - 1];
    ht_graph_scope(nn->graph, "mid");
    x = resnet(nn, c, ht_nn_name(name, "%s.mid_block.resnets.0", prefix), x, width);
    if (c->mid_attention) {
        x = attention(nn, c, ht_nn_name(name, "%s.mid_block.attentions.0", prefix), x);
    }
    return resnet(nn, c, ht_nn_name(name, "%s.mid_block.resnets.1", prefix), x, width);
}

// Last norm and convolution.
static ht_value finish(const ht_nn *nn, const ht_vae_config *c, const char *prefix, ht_value x,
                       uint32_t out) {
    char name[HT_NAME_BYTES];
    ht_graph_scope(nn->graph, "");
    ht_nn_name(name, "%s.conv_norm_out", prefix);
    x = ht_nn_group_norm(nn, name, x, c->groups, EPS, HT_ACT_SILU);
    return ht_nn_conv(nn, ht_nn_name(name, "%s.conv_out", prefix), x, out, 3, ht_nn_same_size);
}

// Level i of the decoder is level levels - 1 - i of the list of channels.
static ht_value up_block(const ht_nn *nn, const ht_vae_config *c, uint32_t i, ht_value x) {
    char name[HT_NAME_BYTES];
    uint32_t width = c->channels[c->levels - 1 - i];
    ht_graph_scope(nn->graph, ht_nn_name(name, "up %u", i));
    for (uint32_t j = 0; j <= c->layers_per_block; ++j) {
        ht_nn_name(name, "decoder.up_blocks.%u.resnets.%u", i, j);
        x = resnet(nn, c, name, x, width);
    }
    if (i + 1 < c->levels) { // nearest x 2, then 3 x 3
        ht_conv2d_args args = ht_nn_same_size;
        args.upsample = 2;
        ht_nn_name(name, "decoder.up_blocks.%u.upsamplers.0.conv", i);
        x = ht_nn_conv(nn, name, x, width, 3, args);
    }
    return x;
}

ht_value ht_vae_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                       ht_value z) {
    const ht_value x = config->tiny ? z : ht_vae_decode_global(graph, config, weights, z);
    return ht_vae_decode_local(graph, config, weights, x, NULL);
}

ht_value ht_vae_decode_global(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                              ht_value z) {
    const ht_nn nn = {.graph = graph, .weights = weights};
    if (config->post_quant_conv) {
        z = ht_nn_linear(&nn, "post_quant_conv", z, config->latent_channels, NULL);
    }
    ht_value x = ht_nn_conv(&nn, "decoder.conv_in", z, config->channels[config->levels - 1], 3,
                            ht_nn_same_size);
    return middle(&nn, config, "decoder", x);
}

ht_value ht_vae_decode_local(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                             ht_value x, ht_pooled_norms *norms) {
    if (config->tiny) {
        return ht_tiny_decode(graph, config, weights, x);
    }
    const ht_nn nn = {.graph = graph, .weights = weights, .norms = norms};
    for (uint32_t i = 0; i < config->levels; ++i) {
        x = up_block(&nn, config, i, x);
    }
    return finish(&nn, config, "decoder", x, config->out_channels);
}

static ht_value down_block(const ht_nn *nn, const ht_vae_config *c, uint32_t i, ht_value x) {
    char name[HT_NAME_BYTES];
    ht_graph_scope(nn->graph, ht_nn_name(name, "down %u", i));
    for (uint32_t j = 0; j < c->layers_per_block; ++j) {
        ht_nn_name(name, "encoder.down_blocks.%u.resnets.%u", i, j);
        x = resnet(nn, c, name, x, c->channels[i]);
    }
    if (i + 1 < c->levels) { // zeros right and below only
        ht_conv2d_args args = ht_nn_same_size;
        args.stride = 2;
        args.pad_top = args.pad_left = 0;
        ht_nn_name(name, "encoder.down_blocks.%u.downsamplers.0.conv", i);
        x = ht_nn_conv(nn, name, x, c->channels[i], 3, args);
    }
    return x;
}

ht_value ht_vae_encode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                       ht_value picture) {
    const ht_value x = ht_vae_encode_local(graph, config, weights, picture, NULL);
    return config->tiny ? x : ht_vae_encode_global(graph, config, weights, x);
}

ht_value ht_vae_encode_local(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                             ht_value picture, ht_pooled_norms *norms) {
    if (config->tiny) {
        return ht_tiny_encode(graph, config, weights, picture);
    }
    const ht_nn nn = {.graph = graph, .weights = weights, .norms = norms};
    ht_value x =
        ht_nn_conv(&nn, "encoder.conv_in", picture, config->channels[0], 3, ht_nn_same_size);
    for (uint32_t i = 0; i < config->levels; ++i) {
        x = down_block(&nn, config, i, x);
    }
    return x;
}

ht_value ht_vae_encode_global(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                              ht_value x) {
    const ht_nn nn = {.graph = graph, .weights = weights};
    x = middle(&nn, config, "encoder", x);
    x = finish(&nn, config, "encoder", x, 2 * config->latent_channels);
    if (config->quant_conv) {
        x = ht_nn_linear(&nn, "quant_conv", x, 2 * config->latent_channels, NULL);
    }
    return x;
}

// Of a clip, the frames of a piece (four, or of two latents and the first frame nine) and the two before
// them, of which five live at once; a block's input has half the channels of the level before it, or all of
// them. Two frames stay with each convolution.
static uint64_t video_bytes(const ht_vae_config *c, uint64_t height, uint64_t width) {
    const uint64_t frames = c->piece > 1 ? 4 * c->piece + 1 : 4;
    uint64_t most = 0, kept = 0;
    for (uint32_t i = 0; i < c->levels; ++i) {
        const uint32_t level = c->levels - 1 - i;
        const uint64_t own = c->channels[level], positions = (height << i) * (width << i);
        const uint64_t before = i > 0 ? c->channels[level + 1] / (c->piece > 1 ? 1 : 2) : own;
        const uint64_t values = 5 * (frames + 2) * positions * (own > before ? own : before);
        most = values > most ? values : most;
        kept += 2 * (c->layers_per_block + 1) * positions * own * 2;
    }
    return most + kept;
}

uint64_t ht_vae_decode_bytes(const ht_vae_config *config, uint32_t height, uint32_t width,
                             ht_format activations) {
    uint64_t most = config->video ? video_bytes(config, height, width) : 0;
    for (uint32_t i = 0; i < config->levels && !config->video; ++i) {
        // A block's input may still be as wide as the level before it.
        uint32_t level = config->levels - 1 - i;
        uint64_t wide = config->channels[level + 1 < config->levels ? level + 1 : level];
        uint64_t channels = config->tiny ? config->channels[0] : wide;
        uint64_t values = 3 * ((uint64_t)height << i) * ((uint64_t)width << i) * channels;
        most = values > most ? values : most;
    }
    return most * ht_format_bits(activations) / 8;
}

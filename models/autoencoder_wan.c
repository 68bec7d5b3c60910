// AutoencoderKLWan: residual blocks of causal convolutions, root-mean-square norms over the channels.
// Values are [frames, H, W, C]: what is no convolution over time treats frames as a batch.
#include "autoencoder_wan.h"

#include "common/layers.h"

// The largest of both is taken in the reference; the norm of any other row is far above.
#define NORM_FLOOR 1e-24f

// A half being built.
typedef struct walk {
    const ht_nn *nn;
    const ht_vae_config *config;
    const char *half; // "encoder" or "decoder"
    ht_clip_memory *memory;
    uint32_t slot; // the next one
    bool first;    // piece of a clip: nothing is remembered but zeros
} walk;

static ht_tensor *take_slot(walk *w, ht_value x, uint32_t frames) {
    return ht_clip_memory_slot(w->memory, w->nn->graph, x, w->slot++, frames);
}

static uint32_t frames_of(const walk *w, ht_value x) {
    return ht_graph_value_desc(w->nn->graph, x).dims[0];
}

// The first piece of a clip has only zeros before it.
static ht_value three_moments(const walk *w, const char *prefix, ht_value both, uint32_t frames,
                              uint32_t out, uint32_t kernel, ht_value residual) {
    return ht_clip_moments(w->nn, prefix, both, frames, w->first ? 2 : 0, out, kernel, residual);
}

// A 3 x 3 x 3 convolution.   [T, H, W, I] -> [T, H, W, out]
static ht_value causal(walk *w, const char *prefix, ht_value x, uint32_t out, ht_value residual) {
    uint32_t frames = frames_of(w, x);
    ht_value both = ht_clip_remember(w->nn, take_slot(w, x, 2), x);
    return three_moments(w, prefix, both, frames, out, 3, residual);
}

// prefix.gamma [C, 1, 1] or [C, 1, 1, 1] over the channels, then SiLU if asked for.
static ht_value norm(const ht_nn *nn, const char *prefix, ht_value x, uint32_t rank, bool silu) {
    char name[HT_NAME_BYTES];
    uint32_t dims[4] = {ht_nn_width(nn, x), 1, 1, 1};
    if (dims[0] == 0) {
        return (ht_value){0};
    }
    ht_nn_name(name, "%s.gamma", prefix);
    ht_value gamma = ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_VECTOR, rank, dims);
    gamma = ht_op_reshape(nn->graph, gamma, 1, dims);
    ht_value y = ht_op_rms_norm(nn->graph, x, gamma, NORM_FLOOR / (float)dims[0]);
    return silu ? ht_op_activation(nn->graph, y, HT_ACT_SILU) : y;
}

// x + conv2(silu(norm2(conv1(silu(norm1(x))))))   [T, H, W, I] -> [T, H, W, out]
static ht_value resnet(walk *w, const char *prefix, ht_value x, uint32_t out) {
    char name[HT_NAME_BYTES];
    ht_value skip = x;
    if (ht_nn_width(w->nn, x) != out) {
        skip = ht_nn_linear(w->nn, ht_nn_name(name, "%s.conv_shortcut", prefix), x, out, NULL);
    }
    ht_value y = norm(w->nn, ht_nn_name(name, "%s.norm1", prefix), x, 4, true);
    y = causal(w, ht_nn_name(name, "%s.conv1", prefix), y, out, HT_NO_VALUE);
    y = norm(w->nn, ht_nn_name(name, "%s.norm2", prefix), y, 4, true);
    return causal(w, ht_nn_name(name, "%s.conv2", prefix), y, out, skip);
}

// One head over all positions of a frame.   [T, H, W, C] -> [T, H, W, C]
static ht_value attention(const ht_nn *nn, const char *prefix, ht_value x) {
    char name[HT_NAME_BYTES];
    ht_graph *g = nn->graph;
    ht_tensor_desc d = ht_graph_value_desc(g, x);
    if (d.rank != 4) {
        return (ht_value){0};
    }
    uint32_t width = d.dims[3], tokens[6] = {d.dims[0], d.dims[1] * d.dims[2], width};
    ht_value n = norm(nn, ht_nn_name(name, "%s.norm", prefix), x, 3, false);
    ht_value qkv = ht_nn_linear(nn, ht_nn_name(name, "%s.to_qkv", prefix),
                                ht_nn_view(nn, n, tokens), 3 * width, NULL);
    ht_attention_args args = {.heads = 1, .rel_bias = HT_NO_VALUE, .mask = HT_NO_VALUE};
    ht_value mixed =
        ht_op_attention(g, ht_op_slice(g, qkv, 2, 0, width), ht_op_slice(g, qkv, 2, width, width),
                        ht_op_slice(g, qkv, 2, 2 * width, width), &args);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = ht_nn_view(nn, x, tokens);
    ht_value y = ht_nn_linear(nn, ht_nn_name(name, "%s.proj", prefix), mixed, width, &rest);
    return ht_nn_view(nn, y, d.dims);
}

static ht_value middle(walk *w, ht_value x) {
    char name[HT_NAME_BYTES];
    uint32_t width = w->config->channels[w->config->levels - 1];
    ht_graph_scope(w->nn->graph, "mid");
    x = resnet(w, ht_nn_name(name, "%s.mid_block.resnets.0", w->half), x, width);
    x = attention(w->nn, ht_nn_name(name, "%s.mid_block.attentions.0", w->half), x);
    return resnet(w, ht_nn_name(name, "%s.mid_block.resnets.1", w->half), x, width);
}

static ht_value finish(walk *w, ht_value x, uint32_t out) {
    char name[HT_NAME_BYTES];
    ht_graph_scope(w->nn->graph, "");
    x = norm(w->nn, ht_nn_name(name, "%s.norm_out", w->half), x, 4, true);
    return causal(w, ht_nn_name(name, "%s.conv_out", w->half), x, out, HT_NO_VALUE);
}

// Twice as many frames: the halves of the channels follow one another. None of the first piece,
// which its slot does not remember either.   [T, H, W, C] -> [2T, H, W, C]
static ht_value double_time(walk *w, const char *prefix, ht_value x) {
    ht_tensor_desc d = ht_graph_value_desc(w->nn->graph, x);
    ht_tensor *slot = take_slot(w, x, 2);
    if (w->first || d.rank != 4) {
        return x;
    }
    uint32_t frames = d.dims[0], width = d.dims[3];
    ht_value y = three_moments(w, prefix, ht_clip_remember(w->nn, slot, x), frames, 2 * width, 1,
                               HT_NO_VALUE);
    y = ht_nn_view(w->nn, y, (uint32_t[6]){frames, d.dims[1] * d.dims[2], 2, width});
    y = ht_op_permute(w->nn->graph, y, (uint32_t[4]){0, 2, 1, 3});
    return ht_nn_view(w->nn, y, (uint32_t[6]){2 * frames, d.dims[1], d.dims[2], width});
}

// Level i of the decoder is level levels - 1 - i of the list of channels.
static ht_value up_block(walk *w, uint32_t i, ht_value x) {
    const ht_vae_config *c = w->config;
    char name[HT_NAME_BYTES];
    uint32_t level = c->levels - 1 - i, width = c->channels[level];
    ht_graph_scope(w->nn->graph, ht_nn_name(name, "up %u", i));
    for (uint32_t j = 0; j <= c->layers_per_block; ++j) {
        x = resnet(w, ht_nn_name(name, "decoder.up_blocks.%u.resnets.%u", i, j), x, width);
    }
    if (level == 0) {
        return x;
    }
    if (c->halves_time[level - 1]) {
        ht_nn_name(name, "decoder.up_blocks.%u.upsamplers.0.time_conv", i);
        x = double_time(w, name, x);
    }
    ht_conv2d_args args = ht_nn_same_size;
    args.upsample = 2;
    ht_nn_name(name, "decoder.up_blocks.%u.upsamplers.0.resample.1", i);
    return ht_nn_conv(w->nn, name, x, width / 2, 3, args);
}

static ht_value decode_global(walk *w, ht_value z) {
    const ht_vae_config *c = w->config;
    ht_value x = ht_nn_linear(w->nn, "post_quant_conv", z, c->latent_channels, NULL);
    x = causal(w, "decoder.conv_in", x, c->channels[c->levels - 1], HT_NO_VALUE);
    return middle(w, x);
}

static ht_value decode_local(walk *w, ht_value features) {
    ht_value x = features;
    for (uint32_t i = 0; i < w->config->levels; ++i) {
        x = up_block(w, i, x);
    }
    return finish(w, x, w->config->out_channels);
}

// Half as many frames, each of three neighbours. The first frame of a clip stays alone.
// [T, H, W, C] -> [T / 2, H, W, C]
static ht_value halve_time(walk *w, const char *prefix, ht_value x) {
    ht_graph *g = w->nn->graph;
    uint32_t frames = frames_of(w, x), width = ht_nn_width(w->nn, x);
    ht_tensor *slot = take_slot(w, x, 1);
    if (w->first || !slot) {
        if (slot) {
            ht_graph_update(g, x, slot);
        }
        return x;
    }
    ht_value both = ht_clip_remember(w->nn, slot, x), out = HT_NO_VALUE;
    for (uint32_t t = 0; t + 1 < frames; t += 2) {
        ht_value window = ht_op_slice(g, both, 0, t, 3);
        ht_value y = three_moments(w, prefix, window, 1, width, 1, HT_NO_VALUE);
        out = t == 0 ? y : ht_op_concat(g, out, y, 0);
    }
    return out;
}

static ht_value down_block(walk *w, uint32_t level, uint32_t *index, ht_value x) {
    const ht_vae_config *c = w->config;
    char name[HT_NAME_BYTES];
    uint32_t width = c->channels[level];
    ht_graph_scope(w->nn->graph, ht_nn_name(name, "down %u", level));
    for (uint32_t j = 0; j < c->layers_per_block; ++j) {
        x = resnet(w, ht_nn_name(name, "encoder.down_blocks.%u", (*index)++), x, width);
    }
    if (level + 1 == c->levels) {
        return x;
    }
    ht_conv2d_args args = ht_nn_same_size; // zeros right and below only
    args.stride = 2;
    args.pad_top = args.pad_left = 0;
    ht_nn_name(name, "encoder.down_blocks.%u.resample.1", *index);
    x = ht_nn_conv(w->nn, name, x, width, 3, args);
    if (c->halves_time[level]) {
        x = halve_time(w, ht_nn_name(name, "encoder.down_blocks.%u.time_conv", *index), x);
    }
    ++*index;
    return x;
}

static ht_value encode_local(walk *w, ht_value frames) {
    uint32_t index = 0;
    ht_value x = causal(w, "encoder.conv_in", frames, w->config->base_channels, HT_NO_VALUE);
    for (uint32_t i = 0; i < w->config->levels; ++i) {
        x = down_block(w, i, &index, x);
    }
    return x;
}

static ht_value encode_global(walk *w, ht_value features) {
    const uint32_t moments = 2 * w->config->latent_channels;
    ht_value x = finish(w, middle(w, features), moments);
    return ht_nn_linear(w->nn, "quant_conv", x, moments, NULL);
}

ht_value ht_wan_vae_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                           ht_value x, ht_clip_memory *memory, uint32_t pieces, bool first) {
    const ht_nn nn = {.graph = graph, .weights = weights, .recipe = config->recipe};
    walk w = {.nn = &nn, .config = config, .half = "decoder", .memory = memory, .first = first};
    x = pieces & HT_WAN_VAE_GLOBAL ? decode_global(&w, x) : x;
    return pieces & HT_WAN_VAE_LOCAL ? decode_local(&w, x) : x;
}

ht_value ht_wan_vae_encode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                           ht_value x, ht_clip_memory *memory, uint32_t pieces, bool first) {
    const ht_nn nn = {.graph = graph, .weights = weights, .recipe = config->recipe};
    walk w = {.nn = &nn, .config = config, .half = "encoder", .memory = memory, .first = first};
    x = pieces & HT_WAN_VAE_LOCAL ? encode_local(&w, x) : x;
    return pieces & HT_WAN_VAE_GLOBAL ? encode_global(&w, x) : x;
}

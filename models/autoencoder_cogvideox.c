// AutoencoderKLCogVideoX: residual blocks of causal convolutions and group norms, those of the decoder scaled
// and shifted place by place by what a product makes of the latent (Zheng et al. 2022, "MoVQ").
// Values are [frames, H, W, C]: what is no convolution over time treats frames as a batch.
#include "autoencoder_cogvideox.h"

#define NORM_EPS 1e-6f

// A half being built.
typedef struct walk {
    const ht_nn *nn;
    const ht_vae_config *config;
    const char *half; // "encoder" or "decoder"
    ht_clip_memory *memory;
    uint32_t slot;  // the next one
    bool first;     // piece of a clip: its first frame stands for those before it
    ht_value z;     // of the decoder, [n, h, w, latent_channels]
    uint32_t scale; // how many times as many rows and columns as z has
} walk;

static ht_tensor_desc desc_of(const walk *w, ht_value x) {
    return ht_graph_value_desc(w->nn->graph, x);
}

// A gather of rows by numbers that the graph is given: x [R, ..] -> [count, ..]
static ht_value gather(const walk *w, ht_value x, const int32_t *ids, uint32_t count) {
    const ht_tensor_desc desc = {
        .format = HT_FORMAT_I32, .rank = 1, .dims = {count}, .label = "places"};
    return ht_op_embedding(w->nn->graph, x, ht_graph_constant(w->nn->graph, &desc, ids));
}

// Which of `from` frames is seen at frame i of `count`: of an odd count the first stands alone.
static uint32_t frame_before(uint32_t i, uint32_t count, uint32_t from) {
    const uint32_t alone = count > 1 && count % 2 == 1 ? 1 : 0;
    return i < alone ? 0 : alone + (i - alone) * (from - alone) / (count - alone);
}

// prefix.conv, a 3 x 3 x 3 convolution.   [T, H, W, I] -> [T, H, W, out]
static ht_value causal(walk *w, const char *prefix, ht_value x, uint32_t out, ht_value residual) {
    char name[HT_NAME_BYTES];
    ht_graph *g = w->nn->graph;
    const uint32_t frames = desc_of(w, x).dims[0];
    ht_tensor *slot = ht_clip_memory_slot(w->memory, g, x, w->slot++, 2);
    ht_value both;
    if (!slot || frames == 0) {
        return (ht_value){0};
    }
    if (w->first) {
        const ht_value one = ht_op_slice(g, x, 0, 0, 1);
        both = ht_op_concat(g, ht_op_concat(g, one, one, 0), x, 0);
        ht_clip_keep(w->nn, both, slot);
    } else {
        both = ht_clip_remember(w->nn, slot, x);
    }
    ht_nn_name(name, "%s.conv", prefix);
    return ht_clip_moments(w->nn, name, both, frames, 0, out, 3, residual);
}

// Group norm over all frames of the piece.
static ht_value group_norm(const walk *w, const char *prefix, ht_value x, ht_activation act) {
    const ht_tensor_desc d = desc_of(w, x);
    if (d.rank != 4) {
        return (ht_value){0};
    }
    x = ht_nn_view(w->nn, x, (uint32_t[6]){1, d.dims[0] * d.dims[1], d.dims[2], d.dims[3]});
    x = ht_nn_group_norm(w->nn, prefix, x, w->config->groups, NORM_EPS, act);
    return ht_nn_view(w->nn, x, d.dims);
}

// Where each column of `frames` frames of x's size looks in the latent, row by row of the latent:
// [frames * h, W] of the n * h * w places.
static void columns_of(const walk *w, const ht_tensor_desc *z, uint32_t frames, int32_t *ids) {
    const uint32_t rows = z->dims[1], columns = z->dims[2];
    for (uint32_t f = 0; f < frames; ++f) {
        const uint32_t from = frame_before(f, frames, z->dims[0]);
        for (uint32_t i = 0; i < rows * columns * w->scale; ++i) {
            const uint32_t row = i / (columns * w->scale), column = i % (columns * w->scale);
            *ids++ = (int32_t)((from * rows + row) * columns + column / w->scale);
        }
    }
}

// prefix.conv of the latent, as it is seen by x: [frames * h, 1, W * C], one row for the `scale` rows of x
// that look at the same.
static ht_value seen(const walk *w, const char *prefix, const ht_tensor_desc *x) {
    char name[HT_NAME_BYTES];
    const ht_tensor_desc z = desc_of(w, w->z);
    ht_context *context = ht_graph_context(w->nn->graph);
    const uint32_t count = x->dims[0] * z.dims[1] * x->dims[2], width = x->dims[3];
    int32_t *ids = ht_alloc(context, count * sizeof(*ids));
    if (!ids) {
        ht_graph_fail(w->nn->graph, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    columns_of(w, &z, x->dims[0], ids);
    ht_nn_name(name, "%s.conv", prefix);
    ht_value y = ht_nn_linear(w->nn, name, w->z, width, NULL);
    y = ht_nn_view(w->nn, y, (uint32_t[6]){z.dims[0] * z.dims[1] * z.dims[2], width});
    y = gather(w, y, ids, count);
    ht_free(context, ids);
    return ht_nn_view(w->nn, y, (uint32_t[6]){x->dims[0] * z.dims[1], 1, x->dims[2] * width});
}

// silu of the norm: of the encoder a group norm, of the decoder prefix.norm_layer(x) * conv_y(z) + conv_b(z)
static ht_value norm(const walk *w, const char *prefix, ht_value x) {
    char name[HT_NAME_BYTES];
    ht_graph *g = w->nn->graph;
    const ht_tensor_desc d = desc_of(w, x);
    if (w->z.id == HT_NO_VALUE.id) {
        return group_norm(w, prefix, x, HT_ACT_SILU);
    }
    if (d.rank != 4 || desc_of(w, w->z).rank != 4) {
        return (ht_value){0};
    }
    const uint32_t rows = d.dims[0] * d.dims[1] / w->scale;
    ht_nn_name(name, "%s.norm_layer", prefix);
    ht_value y = group_norm(w, name, x, HT_ACT_NONE);
    y = ht_nn_view(w->nn, y, (uint32_t[6]){rows, w->scale, d.dims[2] * d.dims[3]});
    y = ht_op_mul(g, y, seen(w, ht_nn_name(name, "%s.conv_y", prefix), &d));
    y = ht_op_add(g, y, seen(w, ht_nn_name(name, "%s.conv_b", prefix), &d));
    return ht_nn_view(w->nn, ht_op_activation(g, y, HT_ACT_SILU), d.dims);
}

// shortcut(x) + conv2(norm2(conv1(norm1(x))))   [T, H, W, I] -> [T, H, W, out]
static ht_value resnet(walk *w, const char *prefix, ht_value x, uint32_t out) {
    char name[HT_NAME_BYTES];
    ht_value skip = x;
    if (ht_nn_width(w->nn, x) != out) {
        skip = ht_nn_linear(w->nn, ht_nn_name(name, "%s.conv_shortcut", prefix), x, out, NULL);
    }
    ht_value y = norm(w, ht_nn_name(name, "%s.norm1", prefix), x);
    y = causal(w, ht_nn_name(name, "%s.conv1", prefix), y, out, HT_NO_VALUE);
    y = norm(w, ht_nn_name(name, "%s.norm2", prefix), y);
    return causal(w, ht_nn_name(name, "%s.conv2", prefix), y, out, skip);
}

static ht_value middle(walk *w, ht_value x) {
    char name[HT_NAME_BYTES];
    const uint32_t width = w->config->channels[w->config->levels - 1];
    ht_graph_scope(w->nn->graph, "mid");
    for (uint32_t i = 0; i < 2; ++i) {
        x = resnet(w, ht_nn_name(name, "%s.mid_block.resnets.%u", w->half, i), x, width);
    }
    return x;
}

static ht_value finish(walk *w, ht_value x, uint32_t out) {
    char name[HT_NAME_BYTES];
    ht_graph_scope(w->nn->graph, "");
    x = norm(w, ht_nn_name(name, "%s.norm_out", w->half), x);
    return causal(w, ht_nn_name(name, "%s.conv_out", w->half), x, out, HT_NO_VALUE);
}

// Every frame twice, but for the first of an odd number.
static ht_value double_time(const walk *w, ht_value x) {
    enum { MOST = 64 };
    const uint32_t frames = desc_of(w, x).dims[0];
    const uint32_t count = frames % 2 == 1 ? 2 * frames - 1 : 2 * frames;
    int32_t ids[MOST];
    if (frames <= 1) {
        return x;
    }
    if (count > MOST) {
        ht_graph_fail(w->nn->graph, ht_fail(ht_graph_context(w->nn->graph), HT_ERR_INVALID,
                                            "a piece of a clip of more than %d frames", MOST));
        return (ht_value){0};
    }
    for (uint32_t i = 0; i < count; ++i) {
        ids[i] = (int32_t)frame_before(i, count, frames);
    }
    return gather(w, x, ids, count);
}

// Level i of the decoder is level levels - 1 - i of the list of channels.
static ht_value up_block(walk *w, uint32_t i, ht_value x) {
    const ht_vae_config *c = w->config;
    char name[HT_NAME_BYTES];
    const uint32_t level = c->levels - 1 - i, width = c->channels[level];
    ht_graph_scope(w->nn->graph, ht_nn_name(name, "up %u", i));
    for (uint32_t j = 0; j <= c->layers_per_block; ++j) {
        x = resnet(w, ht_nn_name(name, "decoder.up_blocks.%u.resnets.%u", i, j), x, width);
    }
    if (level == 0) {
        return x;
    }
    ht_conv2d_args args = ht_nn_same_size;
    args.upsample = 2;
    w->scale *= 2;
    ht_nn_name(name, "decoder.up_blocks.%u.upsamplers.0.conv", i);
    x = ht_nn_conv(w->nn, name, x, width, 3, args);
    // The reference repeats frames first; a convolution of single frames does not mind.
    return c->halves_time[i] ? double_time(w, x) : x;
}

// Half as many frames, means of two neighbours; the first of an odd number stays alone.
static ht_value halve_time(const walk *w, ht_value x) {
    const ht_tensor_desc d = desc_of(w, x);
    ht_graph *g = w->nn->graph;
    const uint32_t alone = d.dims[0] % 2, pairs = d.dims[0] / 2;
    if (d.rank != 4 || pairs == 0) {
        return x;
    }
    const uint32_t values = d.dims[1] * d.dims[2] * d.dims[3];
    ht_value y = ht_op_slice(g, x, 0, alone, 2 * pairs);
    y = ht_nn_view(w->nn, y, (uint32_t[6]){pairs, 2, values});
    y = ht_op_add(g, ht_op_slice(g, y, 1, 0, 1), ht_op_slice(g, y, 1, 1, 1));
    y = ht_nn_view(w->nn, ht_op_affine(g, y, 0.5f, 0),
                   (uint32_t[6]){pairs, d.dims[1], d.dims[2], d.dims[3]});
    return alone ? ht_op_concat(g, ht_op_slice(g, x, 0, 0, 1), y, 0) : y;
}

static ht_value down_block(walk *w, uint32_t level, ht_value x) {
    const ht_vae_config *c = w->config;
    char name[HT_NAME_BYTES];
    const uint32_t width = c->channels[level];
    ht_graph_scope(w->nn->graph, ht_nn_name(name, "down %u", level));
    for (uint32_t j = 0; j < c->layers_per_block; ++j) {
        x = resnet(w, ht_nn_name(name, "encoder.down_blocks.%u.resnets.%u", level, j), x, width);
    }
    if (level + 1 == c->levels) {
        return x;
    }
    x = c->halves_time[level] ? halve_time(w, x) : x;
    ht_conv2d_args args = ht_nn_same_size; // zeros right and below only
    args.stride = 2;
    args.pad_top = args.pad_left = 0;
    ht_nn_name(name, "encoder.down_blocks.%u.downsamplers.0.conv", level);
    return ht_nn_conv(w->nn, name, x, width, 3, args);
}

ht_value ht_cogvideox_vae_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                                 ht_value z, ht_clip_memory *memory, bool first) {
    const ht_nn nn = {.graph = graph, .weights = weights, .recipe = config->recipe};
    walk w = {.nn = &nn,
              .config = config,
              .half = "decoder",
              .memory = memory,
              .first = first,
              .z = z,
              .scale = 1};
    ht_value x =
        causal(&w, "decoder.conv_in", z, config->channels[config->levels - 1], HT_NO_VALUE);
    x = middle(&w, x);
    for (uint32_t i = 0; i < config->levels; ++i) {
        x = up_block(&w, i, x);
    }
    return finish(&w, x, config->out_channels);
}

ht_value ht_cogvideox_vae_encode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                                 ht_value frames, ht_clip_memory *memory, bool first) {
    const ht_nn nn = {.graph = graph, .weights = weights, .recipe = config->recipe};
    walk w = {.nn = &nn,
              .config = config,
              .half = "encoder",
              .memory = memory,
              .first = first,
              .z = HT_NO_VALUE};
    ht_value x = causal(&w, "encoder.conv_in", frames, config->channels[0], HT_NO_VALUE);
    for (uint32_t i = 0; i < config->levels; ++i) {
        x = down_block(&w, i, x);
    }
    return finish(&w, middle(&w, x), 2 * config->latent_channels);
}

// TAEHV's decoder: plain convolutions with ReLU over single frames, in blocks that see the frame before
// too. Layers are numbered through, those without weights (clamp, activations, enlarging) too.
#include "autoencoder_taehv.h"

#include "common/layers.h"

enum { LEVELS = 4, BLOCKS = 3, TILE = 256, FIRST = 1, LAST = 22 };

static const uint32_t grows[LEVELS - 1] = {1, 2, 2}; // times as many frames behind each level

// Layer of a level: its blocks, then enlarging, then these.
static uint32_t block_of(uint32_t level, uint32_t i) {
    return 3 + 6 * level + i;
}

static uint32_t grow_of(uint32_t level) {
    return block_of(level, BLOCKS + 1);
}

static uint32_t conv_of(uint32_t level) {
    return block_of(level, BLOCKS + 2);
}

static const ht_weight_info *find(const ht_weights *weights, uint32_t layer, const char *leaf) {
    char name[HT_NAME_BYTES];
    const ht_weight_info *info =
        ht_weights_find(weights, ht_nn_name(name, "decoder.%u.%s", layer, leaf));
    return info && info->desc.rank == 4 ? info : NULL;
}

bool ht_taehv_config_find(const ht_weights *weights, ht_vae_config *out) {
    const ht_weight_info *first = find(weights, FIRST, "weight");
    ht_vae_config c = {.tiny = true,
                       .video = true,
                       .piece = 1,
                       .in_channels = 3,
                       .out_channels = 3,
                       .levels = LEVELS,
                       .sample_size = TILE,
                       .scaling_factor = 1,
                       .missing = HT_VAE_ENCODER};
    if (!first || !find(weights, LAST, "weight") || !find(weights, grow_of(0), "conv.weight")) {
        return false;
    }
    c.latent_channels = first->desc.dims[1];
    c.channels[LEVELS - 1] = first->desc.dims[0];
    bool good = c.latent_channels > 0 && c.latent_channels <= HT_VAE_MAX_LATENT;
    for (uint32_t i = 0; i + 1 < LEVELS; ++i) {
        const ht_weight_info *conv = find(weights, conv_of(i), "weight");
        c.channels[LEVELS - 2 - i] = conv ? conv->desc.dims[0] : 0;
    }
    for (uint32_t i = 0; i < LEVELS; ++i) {
        good = good && c.channels[i] > 0 && c.channels[i] <= 1 << 14;
    }
    for (uint32_t i = 0; good && i < c.latent_channels; ++i) {
        c.deviation[i] = 1;
    }
    *out = c;
    return good;
}

enum { ONE, THREE, IN, OUT, TWICE, COLOURS, SIZES };

static const ht_weight_row first_rows[] = {
    {"1.weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"1.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row last_rows[] = {
    {"22.weight", NULL, ONE, 4, {COLOURS, IN, THREE, THREE}},
    {"22.bias", NULL, ONE, 1, {COLOURS}},
};
static const ht_weight_row block_rows[] = {
    {"conv.0.weight", NULL, ONE, 4, {OUT, TWICE, THREE, THREE}},
    {"conv.0.bias", NULL, ONE, 1, {OUT}},
    {"conv.2.weight", NULL, ONE, 4, {OUT, OUT, THREE, THREE}},
    {"conv.2.bias", NULL, ONE, 1, {OUT}},
    {"conv.4.weight", NULL, ONE, 4, {OUT, OUT, THREE, THREE}},
    {"conv.4.bias", NULL, ONE, 1, {OUT}},
};
static const ht_weight_row grow_rows[] = {{"conv.weight", NULL, ONE, 4, {OUT, IN, ONE, ONE}}};
static const ht_weight_row conv_rows[] = {{"weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}}};

#define ADD(map, prefix, rows, in, out)                                                            \
    ht_weight_map_add(                                                                             \
        map, prefix, rows, sizeof(rows) / sizeof(*(rows)),                                         \
        (const uint32_t[SIZES]){                                                                   \
            [ONE] = 1, [THREE] = 3, [IN] = in, [OUT] = out, [TWICE] = 2 * (out), [COLOURS] = 3})

void ht_taehv_weight_map(const ht_vae_config *config, ht_weight_map *out) {
    char name[HT_NAME_BYTES];
    ADD(out, "decoder.", first_rows, config->latent_channels, config->channels[LEVELS - 1]);
    for (uint32_t level = 0; level + 1 < LEVELS; ++level) {
        const uint32_t width = config->channels[LEVELS - 1 - level];
        for (uint32_t i = 0; i < BLOCKS; ++i) {
            ht_nn_name(name, "decoder.%u.", block_of(level, i));
            ADD(out, name, block_rows, width, width);
        }
        ht_nn_name(name, "decoder.%u.", grow_of(level));
        ADD(out, name, grow_rows, width, grows[level] * width);
        ht_nn_name(name, "decoder.%u.", conv_of(level));
        ADD(out, name, conv_rows, width, config->channels[LEVELS - 2 - level]);
    }
    ADD(out, "decoder.", last_rows, config->channels[0], 3);
}

// relu(x + conv(relu(conv(relu(conv(x beside the frames before)))))   [T, H, W, C] -> [T, H, W, C]
static ht_value block(const ht_nn *nn, uint32_t layer, ht_value x, uint32_t width,
                      ht_clip_memory *memory, uint32_t slot) {
    char name[HT_NAME_BYTES];
    ht_graph *g = nn->graph;
    const uint32_t frames = ht_graph_value_desc(g, x).dims[0];
    ht_tensor *before = ht_clip_memory_slot(memory, g, x, slot, 1);
    if (!before) {
        return (ht_value){0};
    }
    ht_value both = ht_op_concat(g, ht_graph_tensor(g, before), x, 0);
    ht_graph_update(g, ht_op_slice(g, both, 0, frames, 1), before);
    ht_value y = ht_op_concat(g, x, ht_op_slice(g, both, 0, 0, frames), 3);
    ht_conv2d_args args = ht_nn_same_size;
    args.epilogue.act = HT_ACT_RELU;
    y = ht_nn_conv(nn, ht_nn_name(name, "decoder.%u.conv.0", layer), y, width, 3, args);
    y = ht_nn_conv(nn, ht_nn_name(name, "decoder.%u.conv.2", layer), y, width, 3, args);
    args.epilogue.act = HT_ACT_NONE;
    args.epilogue.residual = x;
    y = ht_nn_conv(nn, ht_nn_name(name, "decoder.%u.conv.4", layer), y, width, 3, args);
    return ht_op_activation(g, y, HT_ACT_RELU);
}

// Parts of the channels one after another as frames.   [T, H, W, C] -> [times T, H, W, C]
static ht_value grow(const ht_nn *nn, uint32_t level, ht_value x, uint32_t width) {
    char name[HT_NAME_BYTES];
    const ht_tensor_desc d = ht_graph_value_desc(nn->graph, x);
    const uint32_t times = grows[level];
    if (d.rank != 4) {
        return (ht_value){0};
    }
    ht_nn_name(name, "decoder.%u.conv", grow_of(level));
    ht_value y = ht_nn_linear(nn, name, x, times * width, NULL);
    y = ht_nn_view(nn, y, (uint32_t[HT_MAX_RANK]){d.dims[0], d.dims[1] * d.dims[2], times, width});
    y = ht_op_permute(nn->graph, y, (uint32_t[4]){0, 2, 1, 3});
    return ht_nn_view(nn, y,
                      (uint32_t[HT_MAX_RANK]){times * d.dims[0], d.dims[1], d.dims[2], width});
}

ht_value ht_taehv_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                         ht_value z, ht_clip_memory *memory, bool first) {
    const ht_nn nn = {.graph = graph, .weights = weights};
    char name[HT_NAME_BYTES];
    ht_conv2d_args args = ht_nn_same_size;
    args.epilogue.act = HT_ACT_RELU;
    ht_value x = ht_nn_conv(&nn, "decoder.1", z, config->channels[LEVELS - 1], 3, args);
    for (uint32_t level = 0; level + 1 < LEVELS; ++level) {
        const uint32_t width = config->channels[LEVELS - 1 - level];
        const bool last = level + 2 == LEVELS;
        for (uint32_t i = 0; i < BLOCKS; ++i) {
            x = block(&nn, block_of(level, i), x, width, memory, level * BLOCKS + i);
        }
        // It enlarges first; a convolution of one place does not mind which comes first.
        x = grow(&nn, level, x, width);
        args.upsample = 2;
        args.epilogue.act = last ? HT_ACT_RELU : HT_ACT_NONE;
        ht_nn_name(name, "decoder.%u", conv_of(level));
        x = ht_nn_conv(&nn, name, x, config->channels[LEVELS - 2 - level], 3, args);
    }
    args = ht_nn_same_size;
    x = first ? ht_op_slice(graph, x, 0, HT_CLIP_TIMES - 1, 1) : x;
    x = ht_nn_conv(&nn, "decoder.22", x, config->out_channels, 3, args);
    return ht_op_affine(graph, x, 2, -1); // it writes 0..1
}

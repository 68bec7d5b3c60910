// AutoencoderTiny: residual blocks of three convolutions with ReLU, no norms, no attention. Layers
// are numbered through, those without weights (activations, enlarging) too.
#include "autoencoder_tiny.h"

#include "common/layers.h"
#include "common/ldm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BLOCKS = 64, TILE = 512 };

// ---- configuration

static uint32_t read_blocks(ht_config *json, const char *key, const uint32_t usual[4],
                            uint32_t *blocks) {
    uint32_t count = ht_config_u32_list(json, key, blocks, HT_VAE_MAX_LEVELS, 0, MAX_BLOCKS);
    if (count > 0) {
        return count;
    }
    memcpy(blocks, usual, 4 * sizeof(*blocks));
    return 4;
}

ht_status ht_tiny_config_parse(const char *folder, ht_config *json, ht_vae_config *out) {
    static const uint32_t encoder[4] = {1, 3, 3, 3}, decoder[4] = {3, 3, 3, 1};
    uint32_t widths[HT_VAE_MAX_LEVELS] = {64, 64, 64, 64};
    *out = (ht_vae_config){
        .tiny = true,
        .in_channels = ht_config_u32(json, "in_channels", 3, 3, 3),
        .out_channels = ht_config_u32(json, "out_channels", 3, 3, 3),
        .latent_channels = ht_config_u32(json, "latent_channels", 4, 1, 256),
        .sample_size = TILE,
        .scaling_factor = (float)ht_config_real(json, "scaling_factor", 1.0, 1e-6, 1e6),
        .shift_factor = (float)ht_config_real(json, "shift_factor", 0.0, -1e6, 1e6),
    };
    out->levels = read_blocks(json, "num_encoder_blocks", encoder, out->encoder_blocks);
    uint32_t levels = read_blocks(json, "num_decoder_blocks", decoder, out->decoder_blocks);
    uint32_t factor = ht_config_u32(json, "upsampling_scaling_factor", 2, 1, 64);
    const char *act = ht_config_text(json, "act_fn", "relu");
    const char *enlarging = ht_config_text(json, "upsample_fn", "nearest");
    bool same = true;
    static const char *const lists[] = {"encoder_block_out_channels", "decoder_block_out_channels"};
    for (uint32_t l = 0; l < 2; ++l) {
        uint32_t n =
            ht_config_u32_list(json, lists[l], widths, HT_VAE_MAX_LEVELS, 1, 1 << 14);
        out->channels[0] = l == 0 ? widths[0] : out->channels[0];
        for (uint32_t i = 0; i < n; ++i) {
            same = same && widths[i] == out->channels[0];
        }
    }
    if (json->status != HT_OK) {
        return json->status;
    }
    if (levels != out->levels || factor != 2 || !same || strcmp(act, "relu") != 0 ||
        strcmp(enlarging, "nearest") != 0) {
        return ht_fail(json->context, HT_ERR_UNSUPPORTED,
                       "'%s/config.json': supported of AutoencoderTiny: as many levels up as down, "
                       "of equally many channels, act_fn relu, upsample_fn nearest by 2",
                       folder);
    }
    return HT_OK;
}

static const ht_weight_info *find(const ht_weights *weights, const char *half, uint32_t layer,
                                  const char *leaf) {
    ht_ldm_names names;
    char name[HT_NAME_BYTES];
    return ht_ldm_recognise(weights, HT_LDM_TINY, &names)
               ? ht_ldm_find(weights, &names,
                             ht_nn_name(name, "%s.layers.%u.%s", half, layer, leaf))
               : NULL;
}

uint32_t ht_tiny_missing(const ht_weights *weights) {
    return (find(weights, "encoder", 0, "weight") ? 0u : HT_VAE_ENCODER) |
           (find(weights, "decoder", 0, "weight") ? 0u : HT_VAE_DECODER);
}

// Blocks between the plain convolutions; returns how many of those there are behind layer 0.
static uint32_t count_blocks(const ht_weights *weights, const char *half, uint32_t first,
                             uint32_t *blocks) {
    uint32_t level = 0, absent = 0;
    for (uint32_t i = first; absent < 2 && level < HT_VAE_MAX_LEVELS; ++i) {
        if (find(weights, half, i, "conv.0.weight")) {
            absent = 0;
            ++blocks[level];
        } else if (find(weights, half, i, "weight")) {
            absent = 0;
            ++level;
        } else {
            ++absent;
        }
    }
    return level;
}

bool ht_tiny_config_find(const ht_weights *weights, ht_vae_config *out) {
    ht_vae_config c = {.tiny = true,
                       .in_channels = 3,
                       .out_channels = 3,
                       .sample_size = TILE,
                       .scaling_factor = 1,
                       .missing = ht_tiny_missing(weights)};
    bool encodes = !(c.missing & HT_VAE_ENCODER), decodes = !(c.missing & HT_VAE_DECODER);
    uint32_t down = encodes ? count_blocks(weights, "encoder", 1, c.encoder_blocks) : 0;
    uint32_t up = decodes ? count_blocks(weights, "decoder", 2, c.decoder_blocks) : 0;
    const ht_weight_info *outer = find(weights, encodes ? "encoder" : "decoder", 0, "weight");
    if (!outer || outer->desc.rank != 4 || (encodes && decodes && down != up)) {
        return false;
    }
    c.levels = encodes ? down : up;
    c.channels[0] = outer->desc.dims[0];
    c.latent_channels = outer->desc.dims[1];
    if (encodes) { // its last convolution
        uint32_t last = c.levels;
        for (uint32_t i = 0; i < c.levels; ++i) {
            last += c.encoder_blocks[i];
        }
        const ht_weight_info *inner = find(weights, "encoder", last, "weight");
        c.latent_channels = inner && inner->desc.rank == 4 ? inner->desc.dims[0] : 0;
    }
    *out = c;
    return c.levels > 0 && c.channels[0] > 0 && c.channels[0] <= 1 << 14 &&
           c.latent_channels > 0 && c.latent_channels <= 256;
}

// ---- weights

enum { ONE, THREE, IN, OUT, BIASED, SIZES };

static const ht_weight_row conv_rows[] = {
    {"weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"bias", NULL, BIASED, 1, {OUT}},
};
static const ht_weight_row block_rows[] = {
    {"conv.0.weight", NULL, ONE, 4, {OUT, OUT, THREE, THREE}},
    {"conv.0.bias", NULL, ONE, 1, {OUT}},
    {"conv.2.weight", NULL, ONE, 4, {OUT, OUT, THREE, THREE}},
    {"conv.2.bias", NULL, ONE, 1, {OUT}},
    {"conv.4.weight", NULL, ONE, 4, {OUT, OUT, THREE, THREE}},
    {"conv.4.bias", NULL, ONE, 1, {OUT}},
};

// Both halves are walked through in the same way, for their tables and for their graphs.
typedef struct walk {
    const char *half;
    const ht_vae_config *config;
    uint32_t layer;
    ht_weight_map *map; // or, when NULL,
    const ht_nn *nn;    // the graph, with
    ht_value x;         // the value so far
} walk;

static void add_conv(walk *w, uint32_t outputs, bool biased, ht_conv2d_args args) {
    char prefix[HT_NAME_BYTES];
    bool widens = w->layer == 0;
    bool decoder = strcmp(w->half, "decoder") == 0;
    uint32_t outer = decoder ? w->config->latent_channels : w->config->in_channels;
    uint32_t inputs = widens ? outer : w->config->channels[0];
    if (w->map) {
        uint32_t sizes[SIZES] = {
            [ONE] = 1, [THREE] = 3, [IN] = inputs, [OUT] = outputs, [BIASED] = biased};
        ht_nn_name(prefix, "%s.layers.%u.", w->half, w->layer);
        ht_weight_map_add(w->map, prefix, conv_rows, 2, sizes);
    } else {
        ht_nn_name(prefix, "%s.layers.%u", w->half, w->layer);
        w->x = ht_nn_conv(w->nn, prefix, w->x, outputs, 3, args);
    }
    ++w->layer;
}

// relu(x + conv(relu(conv(relu(conv(x))))))   [B, H, W, C] -> [B, H, W, C]
static ht_value build_block(const ht_nn *nn, const char *prefix, ht_value x, uint32_t width) {
    char name[HT_NAME_BYTES];
    ht_conv2d_args args = ht_nn_same_size;
    args.epilogue.act = HT_ACT_RELU;
    ht_value y = ht_nn_conv(nn, ht_nn_name(name, "%s.conv.0", prefix), x, width, 3, args);
    y = ht_nn_conv(nn, ht_nn_name(name, "%s.conv.2", prefix), y, width, 3, args);
    args.epilogue.act = HT_ACT_NONE;
    args.epilogue.residual = x;
    y = ht_nn_conv(nn, ht_nn_name(name, "%s.conv.4", prefix), y, width, 3, args);
    return ht_op_activation(nn->graph, y, HT_ACT_RELU);
}

static void add_blocks(walk *w, uint32_t count) {
    char prefix[HT_NAME_BYTES];
    uint32_t width = w->config->channels[0];
    for (uint32_t i = 0; i < count; ++i, ++w->layer) {
        if (w->map) {
            uint32_t sizes[SIZES] = {[ONE] = 1, [THREE] = 3, [OUT] = width};
            ht_nn_name(prefix, "%s.layers.%u.", w->half, w->layer);
            ht_weight_map_add(w->map, prefix, block_rows, 6, sizes);
        } else {
            ht_nn_name(prefix, "%s.layers.%u", w->half, w->layer);
            w->x = build_block(w->nn, prefix, w->x, width);
        }
    }
}

static void walk_encoder(walk *w) {
    const ht_vae_config *c = w->config;
    ht_conv2d_args smaller = ht_nn_same_size; // by 2, zeros on all sides
    smaller.stride = 2;
    for (uint32_t i = 0; i < c->levels; ++i) {
        add_conv(w, c->channels[0], i == 0, i == 0 ? ht_nn_same_size : smaller);
        add_blocks(w, c->encoder_blocks[i]);
    }
    add_conv(w, c->latent_channels, true, ht_nn_same_size);
}

static void walk_decoder(walk *w) {
    const ht_vae_config *c = w->config;
    ht_conv2d_args first = ht_nn_same_size, larger = ht_nn_same_size;
    first.epilogue.act = HT_ACT_RELU;
    larger.upsample = 2;
    add_conv(w, c->channels[0], true, first);
    ++w->layer; // the activation
    for (uint32_t i = 0; i < c->levels; ++i) {
        bool last = i + 1 == c->levels;
        add_blocks(w, c->decoder_blocks[i]);
        w->layer += last ? 0 : 1; // enlarging
        add_conv(w, last ? c->out_channels : c->channels[0], last,
                 last ? ht_nn_same_size : larger);
    }
}

void ht_tiny_weight_map(const ht_vae_config *config, uint32_t parts, ht_weight_map *out) {
    walk encoder = {.half = "encoder", .config = config, .map = out};
    walk decoder = {.half = "decoder", .config = config, .map = out};
    if (parts & HT_VAE_ENCODER) {
        walk_encoder(&encoder);
    }
    if (parts & HT_VAE_DECODER) {
        walk_decoder(&decoder);
    }
}

// ---- network

void ht_tiny_clamp(float *z, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        z[i] = tanhf(z[i] / 3) * 3;
    }
}

ht_value ht_tiny_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                        ht_value z) {
    const ht_nn nn = {.graph = graph, .weights = weights};
    walk w = {.half = "decoder", .config = config, .nn = &nn, .x = z};
    walk_decoder(&w);
    return ht_op_affine(graph, w.x, 2, -1); // it writes 0..1
}

ht_value ht_tiny_encode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                        ht_value picture) {
    const ht_nn nn = {.graph = graph, .weights = weights};
    walk w = {.half = "encoder",
              .config = config,
              .nn = &nn,
              .x = ht_op_affine(graph, picture, 0.5f, 0.5f)}; // it reads 0..1
    walk_encoder(&w);
    return w.x;
}

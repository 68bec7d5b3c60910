// ControlNetModel: configuration, weights and its graphs.
#include "controlnet.h"

#include "unet_internal.h"

#include "common/config.h"
#include "common/ldm.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HINT "controlnet_cond_embedding"

// Its config.json is in the folder, or beside the file.
static bool find_config(ht_context *context, const char *path, char folder[4096]) {
    struct stat info;
    ht_config json;
    bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    const char *slash = strrchr(path, '/');
    if (is_folder) {
        snprintf(folder, 4096, "%s", path);
        return true;
    }
    snprintf(folder, 4096, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (!ht_config_exists(folder, "config.json") ||
        ht_config_open(context, folder, "config.json", &json) != HT_OK) {
        return false;
    }
    bool own = strcmp(ht_config_text(&json, "_class_name", ""), "ControlNetModel") == 0;
    ht_config_close(&json);
    return own;
}

static ht_status refuse(ht_context *context, const char *path, const char *what, uint32_t has,
                        uint32_t expected) {
    return ht_fail(context, HT_ERR_INVALID,
                   "'%s' is a ControlNet for another model: its %s is %u, the model's %u", path,
                   what, has, expected);
}

static ht_status check_fit(ht_context *context, const char *path, const ht_unet_config *c,
                           const ht_unet_config *unet) {
    const struct {
        const char *what;
        uint32_t has, expected;
    } rows[] = {
        {"width of the text", c->cross_dim, unet->cross_dim},
        {"number of levels", c->levels, unet->levels},
        {"number of layers per level", c->layers_per_block, unet->layers_per_block},
        {"number of latent channels", c->in_channels, unet->out_channels},
        {"width of added conditions", c->added_dim, unet->added_dim},
        {"width of a size number", c->time_ids_dim, unet->time_ids_dim},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); ++i) {
        if (rows[i].has != rows[i].expected) {
            return refuse(context, path, rows[i].what, rows[i].has, rows[i].expected);
        }
    }
    for (uint32_t i = 0; i < c->levels; ++i) {
        if (c->channels[i] != unet->channels[i]) {
            char what[48];
            snprintf(what, sizeof(what), "number of channels of level %u", i);
            return refuse(context, path, what, c->channels[i], unet->channels[i]);
        }
    }
    return HT_OK;
}

// Outputs of the layer `name`; 0 when it is not there or no convolution.
static uint32_t outputs_of(const ht_weights *weights, const ht_ldm_names *original,
                           const char *name) {
    const ht_weight_info *info =
        original ? ht_ldm_find(weights, original, name) : ht_weights_find(weights, name);
    return info && info->desc.rank == 4 && info->desc.dims[0] <= 1 << 14 ? info->desc.dims[0] : 0;
}

static ht_status read_hints(ht_context *context, const char *path, const ht_weights *weights,
                            ht_controlnet_config *c) {
    char name[HT_NAME_BYTES];
    ht_ldm_names names;
    const ht_ldm_names *original =
        ht_ldm_recognise(weights, HT_LDM_CONTROL, &names) ? &names : NULL;
    if (ht_weights_find(weights, "lora_controlnet")) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s' is a Control-LoRA, which has only differences to a UNet; a whole "
                       "ControlNet is needed",
                       path);
    }
    c->hint_channels[0] = outputs_of(weights, original, HINT ".conv_in.weight");
    for (c->hints = 1; c->hints < HT_CONTROLNET_MAX_HINTS; ++c->hints) {
        ht_nn_name(name, HINT ".blocks.%u.weight", 2 * c->hints - 1);
        uint32_t channels = outputs_of(weights, original, name);
        if (channels == 0) {
            break;
        }
        c->hint_channels[c->hints] = channels;
    }
    if (c->hint_channels[0] == 0) {
        return ht_fail(context, HT_ERR_IO,
                       "'%s' is not a ControlNet: it has no tensor '" HINT ".conv_in.weight'",
                       path);
    }
    return HT_OK;
}

ht_status ht_controlnet_config_read(ht_context *context, const char *path,
                                    const ht_weights *weights, const ht_unet_config *unet,
                                    ht_controlnet_config *out) {
    char folder[4096];
    *out = (ht_controlnet_config){.net = *unet};
    out->net.in_channels = unet->out_channels;
    ht_status status = HT_OK;
    if (find_config(context, path, folder)) {
        status = ht_unet_config_read_class(context, folder, "ControlNetModel", &out->net);
    }
    if (status == HT_OK) {
        status = read_hints(context, path, weights, out);
    }
    if (status == HT_OK) {
        status = check_fit(context, path, &out->net, unet);
    }
    out->net.control = true;
    out->net.mid_block = true;
    out->net.out_channels = 0;
    out->net.guidance_dim = 0;
    out->net.recipe = unet->recipe;
    return status;
}

enum { ONE, THREE, IN, OUT, SIZES };

static const ht_weight_row conv_rows[] = {
    {"weight", NULL, ONE, 4, {OUT, IN, THREE, THREE}},
    {"bias", NULL, ONE, 1, {OUT}},
};
// 1 x 1 convolutions.
static const ht_weight_row zero_rows[] = {
    {"weight", NULL, ONE, 2, {OUT, OUT}},
    {"bias", NULL, ONE, 1, {OUT}},
};

static void map_conv(ht_weight_map *map, const char *prefix, uint32_t in, uint32_t out) {
    ht_weight_map_add(map, prefix, conv_rows, 2,
                      (uint32_t[SIZES]){[ONE] = 1, [THREE] = 3, [IN] = in, [OUT] = out});
}

static void map_zero(ht_weight_map *map, const char *prefix, uint32_t out) {
    ht_weight_map_add(map, prefix, zero_rows, 2, (uint32_t[SIZES]){[ONE] = 1, [OUT] = out});
}

ht_status ht_controlnet_weight_map(ht_context *context, const ht_controlnet_config *c,
                                   ht_weight_map *out) {
    char prefix[HT_NAME_BYTES];
    const uint32_t *hint = c->hint_channels;
    ht_unet_plan *plan = ht_alloc(context, sizeof(*plan));
    if (!plan) {
        *out = (ht_weight_map){.context = context};
        return out->status = HT_ERR_NO_MEMORY;
    }
    ht_unet_weight_map(context, &c->net, out);
    map_conv(out, HINT ".conv_in.", 3, hint[0]);
    for (uint32_t i = 0; i + 1 < c->hints; ++i) {
        map_conv(out, ht_nn_name(prefix, HINT ".blocks.%u.", 2 * i), hint[i], hint[i]);
        map_conv(out, ht_nn_name(prefix, HINT ".blocks.%u.", 2 * i + 1), hint[i], hint[i + 1]);
    }
    map_conv(out, HINT ".conv_out.", hint[c->hints - 1], c->net.channels[0]);
    ht_unet_plan_make(&c->net, plan);
    uint32_t index = 0;
    map_zero(out, "controlnet_down_blocks.0.", c->net.channels[0]);
    for (uint32_t i = 0; i < plan->count; ++i) {
        if (plan->parts[i].push) {
            ht_nn_name(prefix, "controlnet_down_blocks.%u.", ++index);
            map_zero(out, prefix, plan->parts[i].out);
        }
    }
    map_zero(out, "controlnet_mid_block.", c->net.channels[c->net.levels - 1]);
    ht_free(context, plan);
    return out->status;
}

ht_value ht_controlnet_hint(ht_graph *graph, const ht_controlnet_config *c, ht_weights *weights,
                            ht_value picture) {
    const ht_nn nn = {.graph = graph, .weights = weights, .recipe = c->net.recipe};
    char name[HT_NAME_BYTES];
    ht_conv2d_args same = ht_nn_same_size;
    same.epilogue.act = HT_ACT_SILU;
    ht_conv2d_args half = same;
    half.stride = 2;
    ht_value x = ht_nn_conv(&nn, HINT ".conv_in", picture, c->hint_channels[0], 3, same);
    for (uint32_t i = 0; i + 1 < c->hints; ++i) {
        ht_nn_name(name, HINT ".blocks.%u", 2 * i);
        x = ht_nn_conv(&nn, name, x, c->hint_channels[i], 3, same);
        ht_nn_name(name, HINT ".blocks.%u", 2 * i + 1);
        x = ht_nn_conv(&nn, name, x, c->hint_channels[i + 1], 3, half);
    }
    x = ht_nn_conv(&nn, HINT ".conv_out", x, c->net.channels[0], 3, ht_nn_same_size);
    ht_tensor_desc d = ht_graph_value_desc(graph, x);
    uint32_t dims[HT_MAX_RANK] = {d.dims[1], d.dims[2], d.dims[3]};
    return d.rank == 4 ? ht_nn_view(&nn, x, dims) : (ht_value){0};
}

static ht_value zero_conv(const ht_nn *nn, const char *name, ht_value x, float strength) {
    x = ht_nn_linear(nn, name, x, ht_nn_width(nn, x), NULL);
    return strength != 1 ? ht_op_affine(nn->graph, x, strength, 0) : x;
}

uint32_t ht_controlnet_step(ht_graph *graph, const ht_controlnet_config *c, ht_weights *weights,
                            const ht_unet_inputs *in, ht_value hint, float strength,
                            ht_value *residuals) {
    const ht_nn nn = {.graph = graph, .weights = weights, .recipe = c->net.recipe};
    ht_value kept[HT_UNET_MAX_PARTS];
    char name[HT_NAME_BYTES];
    uint32_t count;
    ht_value x = ht_unet_trunk(&nn, &c->net, in, hint, kept, &count);
    for (uint32_t i = 0; i < count; ++i) {
        ht_nn_name(name, "controlnet_down_blocks.%u", i);
        residuals[i] = zero_conv(&nn, name, kept[i], strength);
    }
    residuals[count] = zero_conv(&nn, "controlnet_mid_block", x, strength);
    return count + 1;
}

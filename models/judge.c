// The judge: 3 x 3 convolutions with group norm and ReLU; a hidden layer or a small transformer that reads
// their cells; a head per attribute.
#include "judge.h"

#include "common/config.h"
#include "common/layers.h"

#include <jansson.h>
#include <string.h>

#define EPS 1e-5f

static ht_status bad(const ht_config *json, const char *key, const char *what) {
    return ht_fail(json->context, HT_ERR_IO, "'%s': \"%s\" %s", json->path, key, what);
}

static bool number(const json_t *value, uint32_t min, uint32_t max, uint32_t *out) {
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;
    *out = n >= 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
    return n >= (json_int_t)min && n <= (json_int_t)max;
}

uint32_t ht_judge_channels(const ht_judge_config *config) {
    return 3 * (config->frames > 0 ? config->frames : 1);
}

// "frames": [0, 4, ..], rising; a judge of pictures has none.
static ht_status read_frames(const ht_config *json, ht_judge_config *out) {
    const json_t *list = json_object_get(json->root, "frames");
    const size_t count = json_array_size(list);
    bool good = !list || (count > 0 && count <= HT_JUDGE_MAX_FRAMES);
    for (size_t i = 0; i < count && good; ++i) {
        const uint32_t least = i > 0 ? out->frame[i - 1] + 1 : 0;
        good = number(json_array_get(list, i), least, 4096, &out->frame[i]);
    }
    out->frames = (uint32_t)count;
    return good ? HT_OK
                : bad(json, "frames", "must be a list of 1 to 16 numbers of frames, rising");
}

// [[in, out, stride], ...], each fed by the one before.
static ht_status read_convs(const ht_config *json, ht_judge_config *out) {
    const json_t *list = json_object_get(json->root, "convs");
    size_t count = json_array_size(list);
    if (count == 0 || count > HT_JUDGE_MAX_CONVS) {
        return bad(json, "convs", "must be a list of 1 to 16 convolutions");
    }
    uint32_t width = ht_judge_channels(out), edge = out->edge;
    for (size_t i = 0; i < count; ++i) {
        const json_t *row = json_array_get(list, i);
        ht_judge_conv *c = &out->conv[i];
        if (json_array_size(row) != 3 || !number(json_array_get(row, 0), width, width, &c->in) ||
            !number(json_array_get(row, 1), 1, 4096, &c->out) ||
            !number(json_array_get(row, 2), 1, 2, &c->stride) || c->out % out->groups != 0 ||
            (c->stride == 2 && edge < 2)) {
            return bad(json, "convs",
                       "has an entry that is not [width before, width, stride 1 or 2], the width a "
                       "multiple of norm_groups");
        }
        width = c->out;
        edge = (edge + c->stride - 1) / c->stride;
    }
    out->convs = (uint32_t)count;
    return HT_OK;
}

static bool read_name(const json_t *value, char name[HT_JUDGE_NAME]) {
    size_t length = json_is_string(value) ? json_string_length(value) : 0;
    if (length == 0 || length >= HT_JUDGE_NAME) {
        return false;
    }
    memcpy(name, json_string_value(value), length + 1);
    return true;
}

// {attribute: [class, ...], ...}
static ht_status read_heads(const ht_config *json, ht_judge_config *out) {
    json_t *classes = json_object_get(json->root, "classes");
    const char *name;
    json_t *list;
    json_object_foreach(classes, name, list) {
        ht_judge_head *head = &out->head[out->heads];
        size_t count = json_array_size(list);
        if (out->heads == HT_JUDGE_MAX_HEADS || strlen(name) >= HT_JUDGE_NAME || count < 2 ||
            count > HT_JUDGE_MAX_CLASSES) {
            return bad(json, "classes", "must hold at most 16 attributes of 2 to 16 classes");
        }
        memcpy(head->name, name, strlen(name) + 1);
        head->first = out->outputs;
        head->count = (uint32_t)count;
        for (size_t i = 0; i < count; ++i) {
            if (!read_name(json_array_get(list, i), head->classes[i])) {
                return bad(json, "classes", "has a class without a name, or with a long one");
            }
        }
        out->outputs += head->count;
        ++out->heads;
    }
    if (out->heads == 0) {
        return bad(json, "classes", "is missing");
    }
    const json_t *judged = json_object_get(json->root, "judged");
    for (size_t i = 0; i < json_array_size(judged); ++i) {
        const char *text = json_string_value(json_array_get(judged, i));
        const ht_judge_head *head = text ? ht_judge_find(out, text) : NULL;
        if (!head) {
            return bad(json, "judged", "names an attribute that \"classes\" lacks");
        }
        out->head[head - out->head].judged = true;
    }
    return HT_OK;
}

// "layers", "attention_heads" and "tokens", {attribute: number of the token that it is read from}
static ht_status read_transformer(ht_config *json, ht_judge_config *out) {
    out->layers = ht_config_u32(json, "layers", 0, 0, 16);
    out->attention_heads = ht_config_u32(json, "attention_heads", 1, 1, 64);
    if (json->status != HT_OK || out->layers == 0) {
        return json->status;
    }
    const json_t *tokens = json_object_get(json->root, "tokens");
    for (uint32_t i = 0; i < out->heads; ++i) {
        ht_judge_head *head = &out->head[i];
        if (!number(json_object_get(tokens, head->name), 0, HT_JUDGE_MAX_HEADS - 1, &head->token)) {
            return bad(json, "tokens", "must give each attribute a number from 0 to 15");
        }
        out->tokens = head->token >= out->tokens ? head->token + 1 : out->tokens;
    }
    if (out->conv[out->convs - 1].out % out->attention_heads != 0) {
        return bad(json, "attention_heads", "must divide the width of the last convolution");
    }
    return HT_OK;
}

ht_status ht_judge_config_read(ht_context *context, const char *path, ht_judge_config *out) {
    ht_config json;
    *out = (ht_judge_config){0};
    ht_status status = ht_config_open(context, NULL, path, &json);
    if (status != HT_OK) {
        return status;
    }
    out->groups = ht_config_u32(&json, "norm_groups", 8, 1, 4096);
    out->edge = ht_config_u32(&json, "edge", HT_JUDGE_EDGE, 8, 1024);
    status = json.status;
    if (status == HT_OK) {
        status = read_frames(&json, out);
    }
    if (status == HT_OK) {
        status = read_convs(&json, out);
    }
    if (status == HT_OK) {
        status = read_heads(&json, out);
    }
    if (status == HT_OK) {
        status = read_transformer(&json, out);
    }
    ht_config_close(&json);
    return status;
}

ht_status ht_judge_config_weights(ht_context *context, const ht_weights *weights,
                                  ht_judge_config *config) {
    const char *name = config->layers > 0 ? "layers.0.linear1.weight" : "hidden.weight";
    const ht_weight_info *info = ht_weights_find(weights, name);
    if (!info || info->desc.rank != 2) {
        return ht_fail(context, HT_ERR_IO, "'%s' is not such a judge: it has no matrix %s",
                       ht_weights_path(weights), name);
    }
    config->hidden = info->desc.dims[0];
    return HT_OK;
}

const ht_judge_head *ht_judge_find(const ht_judge_config *config, const char *name) {
    for (uint32_t i = 0; i < config->heads; ++i) {
        if (strcmp(config->head[i].name, name) == 0) {
            return &config->head[i];
        }
    }
    return NULL;
}

uint32_t ht_judge_class(const ht_judge_head *head, const char *name) {
    for (uint32_t i = 0; i < head->count; ++i) {
        if (strcmp(head->classes[i], name) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static ht_value cells_of(const ht_nn *nn, const ht_judge_config *config, ht_value x) {
    char name[HT_NAME_BYTES];
    for (uint32_t i = 0; i < config->convs; ++i) {
        const ht_conv2d_args args = {.stride = config->conv[i].stride,
                                     .pad_top = 1,
                                     .pad_left = 1,
                                     .pad_bottom = 1,
                                     .pad_right = 1,
                                     .upsample = 1,
                                     .epilogue = HT_EPILOGUE_NONE};
        x = ht_nn_conv(nn, ht_nn_name(name, "convs.%u", i), x, config->conv[i].out, 3, args);
        ht_nn_name(name, "norms.%u", i);
        x = ht_nn_group_norm(nn, name, x, config->groups, EPS, HT_ACT_RELU);
    }
    return x;
}

// cells [B, H, W, C], d theirs -> [B, hidden]. The layer was trained on [C, H, W].
static ht_value hidden_layer(const ht_nn *nn, const ht_judge_config *config, ht_value x,
                             const ht_tensor_desc *d) {
    static const uint32_t order[] = {0, 3, 1, 2};
    const uint32_t flat[HT_MAX_RANK] = {d->dims[0], d->dims[1] * d->dims[2] * d->dims[3]};
    ht_epilogue relu = HT_EPILOGUE_NONE;
    relu.act = HT_ACT_RELU;
    x = ht_nn_view(nn, ht_op_permute(nn->graph, x, order), flat);
    return ht_nn_linear(nn, "hidden", x, config->hidden, &relu);
}

// One of torch.nn.TransformerEncoderLayer, its norms first, GELU by erf.  x [B, T, C] -> the same
static ht_value transformer_layer(const ht_nn *nn, const ht_judge_config *config, uint32_t layer,
                                  ht_value x) {
    char name[HT_NAME_BYTES];
    const uint32_t width = ht_nn_width(nn, x), sizes[] = {3 * width, width};
    ht_epilogue rest = HT_EPILOGUE_NONE, inner = HT_EPILOGUE_NONE;
    rest.residual = x;
    ht_nn_name(name, "layers.%u.norm1", layer);
    ht_value h = ht_nn_layer_norm(nn, name, x, EPS);
    ht_nn_name(name, "layers.%u.self_attn", layer);
    inner.bias = ht_nn_vector(nn, name, "in_proj_bias", sizes[0]);
    ht_nn_name(name, "layers.%u.self_attn.in_proj_weight", layer);
    ht_value weight = ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_MATRIX, 2, sizes);
    h = ht_op_linear(nn->graph, h, weight, &inner);
    ht_value part[3];
    for (uint32_t i = 0; i < 3; ++i) {
        part[i] = ht_op_slice(nn->graph, h, 2, i * width, width);
    }
    const ht_attention_args args = {
        .heads = config->attention_heads, .rel_bias = HT_NO_VALUE, .mask = HT_NO_VALUE};
    h = ht_op_attention(nn->graph, part[0], part[1], part[2], &args);
    x = ht_nn_linear(nn, ht_nn_name(name, "layers.%u.self_attn.out_proj", layer), h, width, &rest);
    rest.residual = x;
    inner = HT_EPILOGUE_NONE;
    inner.act = HT_ACT_GELU_ERF;
    h = ht_nn_layer_norm(nn, ht_nn_name(name, "layers.%u.norm2", layer), x, EPS);
    h = ht_nn_linear(nn, ht_nn_name(name, "layers.%u.linear1", layer), h, config->hidden, &inner);
    return ht_nn_linear(nn, ht_nn_name(name, "layers.%u.linear2", layer), h, width, &rest);
}

// cells [B, H, W, C], d theirs -> [B, tokens, C]
static ht_value transformer(const ht_nn *nn, const ht_judge_config *config, ht_value x,
                            const ht_tensor_desc *d) {
    const uint32_t count = d->dims[1] * d->dims[2], width = d->dims[3];
    const uint32_t flat[HT_MAX_RANK] = {d->dims[0], count, width};
    const uint32_t query_size[] = {config->tokens, width}, place_size[] = {count, width};
    ht_value query =
        ht_graph_weight(nn->graph, nn->weights, "query", HT_WEIGHT_VECTOR, 2, query_size);
    ht_value place =
        ht_graph_weight(nn->graph, nn->weights, "position", HT_WEIGHT_VECTOR, 2, place_size);
    x = ht_op_add(nn->graph, ht_nn_view(nn, x, flat), place);
    // The same tokens for every picture: added to nothing as large as they are.
    ht_value none = ht_op_affine(nn->graph, ht_op_slice(nn->graph, x, 1, 0, config->tokens), 0, 0);
    x = ht_op_concat(nn->graph, ht_op_add(nn->graph, none, query), x, 1);
    for (uint32_t i = 0; i < config->layers; ++i) {
        x = transformer_layer(nn, config, i, x);
    }
    const ht_layer_norm_args norm = {.eps = EPS,
                                     .weight = HT_NO_VALUE,
                                     .bias = HT_NO_VALUE,
                                     .scale = HT_NO_VALUE,
                                     .shift = HT_NO_VALUE};
    return ht_op_layer_norm(nn->graph, ht_op_slice(nn->graph, x, 1, 0, config->tokens), &norm);
}

ht_value ht_judge_logits(ht_graph *graph, const ht_judge_config *config, ht_weights *weights,
                         ht_value picture) {
    const ht_nn nn = {.graph = graph, .weights = weights};
    ht_value cells = cells_of(&nn, config, picture), logits = {0};
    ht_tensor_desc d = ht_graph_value_desc(graph, cells);
    if (d.rank != 4) {
        return logits;
    }
    ht_value all = config->layers > 0 ? transformer(&nn, config, cells, &d)
                                      : hidden_layer(&nn, config, cells, &d);
    for (uint32_t i = 0; i < config->heads; ++i) {
        const uint32_t one[HT_MAX_RANK] = {d.dims[0], d.dims[3]};
        ht_value x =
            config->layers > 0
                ? ht_nn_view(&nn, ht_op_slice(graph, all, 1, config->head[i].token, 1), one)
                : all;
        char name[HT_NAME_BYTES];
        ht_nn_name(name, "heads.%s", config->head[i].name);
        ht_value head = ht_nn_linear(&nn, name, x, config->head[i].count, NULL);
        logits = i == 0 ? head : ht_op_concat(graph, logits, head, 1);
    }
    return logits;
}

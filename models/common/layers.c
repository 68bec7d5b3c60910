// The layers every network is made of.
#include "layers.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const ht_conv2d_args ht_nn_same_size = {
    .stride = 1,
    .pad_top = 1,
    .pad_left = 1,
    .pad_bottom = 1,
    .pad_right = 1,
    .upsample = 1,
    .epilogue = {.bias = {UINT32_MAX}, .gate = {UINT32_MAX}, .residual = {UINT32_MAX}}};

const char *ht_nn_name(char name[HT_NAME_BYTES], const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(name, HT_NAME_BYTES, format, args);
    va_end(args);
    return name;
}

uint32_t ht_nn_width(const ht_nn *nn, ht_value x) {
    ht_tensor_desc desc = ht_graph_value_desc(nn->graph, x);
    return desc.rank > 0 ? desc.dims[desc.rank - 1] : 0;
}

ht_value ht_nn_view(const ht_nn *nn, ht_value x, const uint32_t dims[HT_MAX_RANK]) {
    uint32_t rank = 0;
    while (rank < HT_MAX_RANK && dims[rank] > 0) {
        ++rank;
    }
    return ht_op_reshape(nn->graph, x, rank, dims);
}

ht_value ht_nn_vector(const ht_nn *nn, const char *prefix, const char *leaf, uint32_t n) {
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s.%s", prefix, leaf);
    return ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_VECTOR, 1, &n);
}

ht_value ht_nn_bias(const ht_nn *nn, const char *prefix, uint32_t n) {
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s.bias", prefix);
    if (!ht_weights_find(nn->weights, name)) {
        return HT_NO_VALUE;
    }
    return ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_VECTOR, 1, &n);
}

// prefix.weight (or, of a part of it, `leaf` in its place) and x in their formats.
static ht_value part_inputs(const ht_nn *nn, const char *prefix, const char *leaf,
                            ht_weight_layout layout, const ht_layer_formats *formats,
                            uint32_t scale, uint32_t rank, const uint32_t *dims, ht_value *x) {
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s%s", prefix, leaf);
    if (formats->activations != HT_FORMAT_NONE) {
        *x = scale == UINT32_MAX ? ht_op_quantize(nn->graph, *x, formats->activations)
                                 : ht_op_quantize_static(nn->graph, *x, formats->activations,
                                                         nn->scales.values, scale);
    }
    const ht_value w =
        ht_graph_weight_as(nn->graph, nn->weights, name, layout, formats->weights, rank, dims);
    if (!ht_format_is_stack(ht_graph_value_desc(nn->graph, w).format)) {
        return w;
    }
    return ht_op_unstack(nn->graph, w, ht_weights_find(nn->weights, name)->stack_rank);
}

// prefix.weight and x in the formats the recipe has for the layer.
static ht_value layer_inputs(const ht_nn *nn, const char *prefix, ht_weight_layout layout,
                             uint32_t rank, const uint32_t *dims, ht_value *x) {
    ht_layer_formats formats;
    ht_recipe_find(nn->recipe, prefix, &formats);
    if (ht_recipe_salient(&formats, dims[1]) > 0) {
        ht_graph_fail(nn->graph,
                      ht_fail(ht_graph_context(nn->graph), HT_ERR_UNSUPPORTED,
                              "recipe '%s' keeps columns of layer '%s' apart, and '%s' does not "
                              "have them so: pack it first, by gen-quantize with this recipe",
                              ht_recipe_name(nn->recipe), prefix, ht_weights_path(nn->weights)));
        return (ht_value){0};
    }
    const uint32_t scale =
        nn->scales.table ? ht_scale_table_find(nn->scales.table, prefix) : UINT32_MAX;
    return part_inputs(nn, prefix, ".weight", layout, &formats, scale, rank, dims, x);
}

// A layer's own product goes on from what its low-rank branch gives: the branch takes over gate and
// residual and becomes the residual itself, so that it costs two thin products and no pass over y.
// With an activation, which has to follow the sum, `after` is what is left to do.
typedef struct branch {
    ht_value down, up;
    ht_epilogue after;
    bool split; // is there anything in `after`?
} branch;

static ht_epilogue leave(branch *b, ht_epilogue *own) {
    ht_epilogue e = {.bias = HT_NO_VALUE, .gate = own->gate, .residual = own->residual};
    if (own->act != HT_ACT_NONE) { // a second branch finds it taken off already
        b->split = true;
        b->after = *own;
        e.gate = e.residual = own->gate = HT_NO_VALUE;
        own->act = HT_ACT_NONE;
    }
    return e;
}

static void leave_branch(const ht_nn *nn, ht_value z, branch *b, ht_epilogue *own) {
    const ht_epilogue e = leave(b, own);
    own->residual = ht_op_linear(nn->graph, z, b->up, &e);
}

static ht_value finish_branch(const ht_nn *nn, const branch *b, ht_value y) {
    if (!b->split) {
        return y;
    }
    y = ht_op_activation(nn->graph, y, b->after.act);
    y = b->after.gate.id == HT_NO_VALUE.id ? y : ht_op_mul(nn->graph, y, b->after.gate);
    return b->after.residual.id == HT_NO_VALUE.id ? y : ht_op_add(nn->graph, y, b->after.residual);
}

// The branch that a packed weight may have beside it in the checkpoint.
static bool stored_branch(const ht_nn *nn, const char *prefix, ht_weight_layout layout,
                          uint32_t rank, const uint32_t *dims, branch *b) {
    char name[HT_NAME_BYTES];
    const ht_weight_info *info =
        ht_weights_find(nn->weights, ht_nn_name(name, "%s" HT_LOW_RANK_DOWN, prefix));
    if (!info || info->desc.rank == 0) {
        return false;
    }
    uint32_t down[4], up[2] = {dims[0], info->desc.dims[0]};
    memcpy(down, dims, rank * sizeof(*down));
    down[0] = up[1];
    b->down = ht_graph_weight(nn->graph, nn->weights, name, layout, rank, down);
    ht_nn_name(name, "%s" HT_LOW_RANK_UP, prefix);
    b->up = ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_MATRIX, 2, up);
    return true;
}

static void linear_branch(const ht_nn *nn, ht_value x, branch *b, ht_epilogue *own) {
    const ht_epilogue none = HT_EPILOGUE_NONE;
    leave_branch(nn, ht_op_linear(nn->graph, x, b->down, &none), b, own);
}

static void conv_branch(const ht_nn *nn, ht_value x, branch *b, ht_conv2d_args *own) {
    ht_conv2d_args thin = *own; // the same geometry
    thin.epilogue = HT_EPILOGUE_NONE;
    leave_branch(nn, ht_op_conv2d(nn->graph, x, b->down, &thin), b, &own->epilogue);
}

// Inputs that are kept apart in the checkpoint (HT_SALIENT_WEIGHT): x becomes the others, dims[1] their
// number, and the product of the salient ones is what the layer's own goes on from.
typedef struct salient {
    ht_layer_formats formats;
    ht_value columns[2]; // [S], [K - S]
    uint32_t count;      // S; 0: none
} salient;

// Which columns they are, in two rising lists. Failed values after a message: the mask is the file's.
static void read_columns(const ht_nn *nn, const char *prefix, uint32_t inputs, salient *s) {
    char name[HT_NAME_BYTES];
    ht_context *context = ht_graph_context(nn->graph);
    const ht_weight_info *info =
        ht_weights_find(nn->weights, ht_nn_name(name, "%s" HT_SALIENT_COLUMNS, prefix));
    const bool shaped = info && strcmp(info->dtype, "U8") == 0 && info->desc.rank == 1 &&
                        info->desc.dims[0] == (inputs + 7) / 8 && s->count < inputs;
    int32_t *columns = shaped ? ht_alloc(context, inputs * sizeof(*columns)) : NULL;
    uint32_t found[2] = {0, 0}; // others, salient ones
    for (uint32_t i = 0; columns && i < inputs; ++i) {
        const bool bit = ((const uint8_t *)info->data)[i / 8] >> i % 8 & 1;
        const uint32_t most = bit ? s->count : inputs - s->count;
        if (found[bit] < most) {
            columns[(bit ? 0 : s->count) + found[bit]] = (int32_t)i;
        }
        ++found[bit];
    }
    if (columns && found[1] == s->count) {
        const ht_tensor_desc own = {.format = HT_FORMAT_I32, .rank = 1, .dims = {s->count}};
        const ht_tensor_desc rest = {.format = HT_FORMAT_I32, .rank = 1, .dims = {found[0]}};
        s->columns[0] = ht_graph_constant(nn->graph, &own, columns);
        s->columns[1] = ht_graph_constant(nn->graph, &rest, columns + s->count);
    } else {
        ht_graph_fail(nn->graph,
                      ht_fail(context, HT_ERR_IO,
                              "'%s': tensor '%s' must be U8 [%u] with a bit for each of %u columns, 1 "
                              "in as many as '%s" HT_SALIENT_WEIGHT "' has",
                              ht_weights_path(nn->weights), name, (inputs + 7) / 8, inputs, prefix));
    }
    ht_free(context, columns);
}

// False when the layer has none.
static bool find_salient(const ht_nn *nn, const char *prefix, uint32_t inputs, salient *s) {
    char name[HT_NAME_BYTES];
    const ht_weight_info *info =
        ht_weights_find(nn->weights, ht_nn_name(name, "%s" HT_SALIENT_WEIGHT, prefix));
    *s = (salient){.count = info && info->desc.rank >= 2 ? info->desc.dims[1] : 0};
    ht_recipe_find(nn->recipe, prefix, &s->formats);
    if (s->count > 0) {
        read_columns(nn, prefix, inputs, s);
    }
    return s->count > 0;
}

// Weight and input of the salient columns, or of the `others`.
static ht_value column_inputs(const ht_nn *nn, const char *prefix, ht_weight_layout layout,
                              uint32_t rank, const uint32_t *dims, const salient *s, bool others,
                              ht_value *x) {
    const ht_layer_formats salient_formats = {.weights = s->formats.salient.weights,
                                              .activations = s->formats.salient.activations};
    uint32_t own[4];
    memcpy(own, dims, rank * sizeof(*own));
    own[1] = others ? dims[1] - s->count : s->count;
    *x = ht_op_take(nn->graph, *x, s->columns[others]);
    return part_inputs(nn, prefix, others ? HT_SALIENT_REST : HT_SALIENT_WEIGHT, layout,
                       others ? &s->formats : &salient_formats, UINT32_MAX, rank, own, x);
}

ht_value ht_nn_linear(const ht_nn *nn, const char *prefix, ht_value x, uint32_t outputs,
                      const ht_epilogue *rest) {
    uint32_t dims[2] = {outputs, ht_nn_width(nn, x)};
    if (dims[1] == 0) {
        return (ht_value){0};
    }
    branch b = {.after = HT_EPILOGUE_NONE};
    ht_epilogue epilogue = rest ? *rest : HT_EPILOGUE_NONE;
    if (stored_branch(nn, prefix, HT_WEIGHT_MATRIX, 2, dims, &b)) {
        linear_branch(nn, x, &b, &epilogue);
    }
    if (ht_lora_branch(nn->lora, nn->graph, prefix, false, &b.down, &b.up)) {
        linear_branch(nn, x, &b, &epilogue);
    }
    salient s;
    ht_value w;
    if (find_salient(nn, prefix, dims[1], &s)) {
        if (s.columns[0].id == 0) {
            return s.columns[0];
        }
        ht_value own = x;
        w = column_inputs(nn, prefix, HT_WEIGHT_MATRIX, 2, dims, &s, false, &own);
        const ht_epilogue e = leave(&b, &epilogue);
        epilogue.residual = ht_op_linear(nn->graph, own, w, &e);
        w = column_inputs(nn, prefix, HT_WEIGHT_MATRIX, 2, dims, &s, true, &x);
    } else {
        w = layer_inputs(nn, prefix, HT_WEIGHT_MATRIX, 2, dims, &x);
    }
    epilogue.bias = ht_nn_bias(nn, prefix, outputs);
    return finish_branch(nn, &b, ht_op_linear(nn->graph, x, w, &epilogue));
}

ht_value ht_nn_conv_plain(const ht_nn *nn, const char *prefix, ht_value x, uint32_t outputs,
                          uint32_t kernel, ht_conv2d_args args) {
    uint32_t dims[4] = {outputs, ht_nn_width(nn, x), kernel, kernel};
    if (dims[1] == 0) {
        return (ht_value){0};
    }
    branch b = {.after = HT_EPILOGUE_NONE};
    if (stored_branch(nn, prefix, HT_WEIGHT_CONV, 4, dims, &b)) {
        conv_branch(nn, x, &b, &args);
    }
    if (ht_lora_branch(nn->lora, nn->graph, prefix, true, &b.down, &b.up)) {
        conv_branch(nn, x, &b, &args);
    }
    salient s;
    ht_value w;
    if (find_salient(nn, prefix, dims[1], &s)) {
        if (s.columns[0].id == 0) {
            return s.columns[0];
        }
        ht_value own = x;
        ht_conv2d_args same = args; // the same geometry
        w = column_inputs(nn, prefix, HT_WEIGHT_CONV, 4, dims, &s, false, &own);
        same.epilogue = leave(&b, &args.epilogue);
        args.epilogue.residual = ht_op_conv2d(nn->graph, own, w, &same);
        w = column_inputs(nn, prefix, HT_WEIGHT_CONV, 4, dims, &s, true, &x);
    } else {
        w = layer_inputs(nn, prefix, HT_WEIGHT_CONV, 4, dims, &x);
    }
    return finish_branch(nn, &b, ht_op_conv2d(nn->graph, x, w, &args));
}

ht_value ht_nn_conv(const ht_nn *nn, const char *prefix, ht_value x, uint32_t outputs,
                    uint32_t kernel, ht_conv2d_args args) {
    if (args.epilogue.bias.id == HT_NO_VALUE.id) {
        args.epilogue.bias = ht_nn_bias(nn, prefix, outputs);
    }
    return ht_nn_conv_plain(nn, prefix, x, outputs, kernel, args);
}

ht_value ht_nn_conv_moment(const ht_nn *nn, const char *prefix, ht_value x, uint32_t outputs,
                           uint32_t times, uint32_t time, uint32_t kernel, ht_conv2d_args args) {
    uint32_t dims[5] = {outputs, ht_nn_width(nn, x), times, kernel, kernel};
    if (dims[1] == 0) {
        return (ht_value){0};
    }
    ht_value w = layer_inputs(nn, prefix, (ht_weight_layout)(HT_WEIGHT_TIME_0 + time), 5, dims, &x);
    return ht_op_conv2d(nn->graph, x, w, &args);
}

// What is given for the next group norm, or HT_NO_VALUE; its own are kept where asked for.
static ht_value pooled_statistics(const ht_nn *nn, ht_value x, uint32_t groups) {
    ht_pooled_norms *norms = nn->norms;
    if (norms == NULL) {
        return HT_NO_VALUE;
    }
    const uint32_t first = norms->count;
    norms->count += groups;
    if (norms->measure) {
        const ht_value own = ht_op_group_statistics(nn->graph, x, groups);
        norms->measured = first == 0 ? own : ht_op_concat(nn->graph, norms->measured, own, 1);
    }
    const bool given = norms->given.id != HT_NO_VALUE.id;
    return given ? ht_op_slice(nn->graph, norms->given, 1, first, groups) : HT_NO_VALUE;
}

ht_value ht_nn_group_norm(const ht_nn *nn, const char *prefix, ht_value x, uint32_t groups,
                          float eps, ht_activation act) {
    uint32_t width = ht_nn_width(nn, x);
    if (width == 0) {
        return (ht_value){0};
    }
    return ht_op_group_norm(nn->graph, x,
                            &(ht_group_norm_args){
                                .groups = groups,
                                .eps = eps,
                                .weight = ht_nn_vector(nn, prefix, "weight", width),
                                .bias = ht_nn_vector(nn, prefix, "bias", width),
                                .act = act,
                                .statistics = pooled_statistics(nn, x, groups),
                            });
}

ht_value ht_nn_layer_norm(const ht_nn *nn, const char *prefix, ht_value x, float eps) {
    uint32_t width = ht_nn_width(nn, x);
    if (width == 0) {
        return (ht_value){0};
    }
    return ht_op_layer_norm(nn->graph, x,
                            &(ht_layer_norm_args){
                                .eps = eps,
                                .weight = ht_nn_vector(nn, prefix, "weight", width),
                                .bias = ht_nn_vector(nn, prefix, "bias", width),
                                .scale = HT_NO_VALUE,
                                .shift = HT_NO_VALUE,
                            });
}

ht_value ht_nn_rms_norm(const ht_nn *nn, const char *prefix, ht_value x, float eps) {
    uint32_t width = ht_nn_width(nn, x);
    if (width == 0) {
        return (ht_value){0};
    }
    return ht_op_rms_norm(nn->graph, x, ht_nn_vector(nn, prefix, "weight", width), eps);
}

ht_value ht_nn_unpatchify(const ht_nn *nn, ht_value tokens, const ht_tensor_desc *latent, uint32_t p,
                          uint32_t out, ht_patch_order order) {
    uint32_t batch = latent->dims[0], h = latent->dims[1] / p, w = latent->dims[2] / p;
    const bool first = order == HT_PATCH_CHANNEL_FIRST;
    ht_value x =
        ht_nn_view(nn, tokens, (uint32_t[6]){batch, h, w, first ? out : p, p, first ? p : out});
    x = first ? ht_op_permute(nn->graph, x, (uint32_t[6]){0, 1, 4, 2, 5, 3})
              : ht_op_permute(nn->graph, x, (uint32_t[6]){0, 1, 3, 2, 4, 5});
    return ht_nn_view(nn, x, (uint32_t[6]){batch, h * p, w * p, out});
}

// The layers every network is made of, by the prefix their weights have in the checkpoint.
#ifndef HT_MODELS_LAYERS_H
#define HT_MODELS_LAYERS_H

#include "attention_table.h"
#include "lora.h"
#include "recipe.h"
#include "scale_table.h"

#include <halftone/ops.h>

enum { HT_NAME_BYTES = 160 };

// Statistics of the group norms of a network that runs by tiles, one after the other in the order of
// building: of each tile alone, they would differ from those of the whole.
typedef struct ht_pooled_norms {
    ht_value given;    // [1, all groups, 2] to normalise by; HT_NO_VALUE: the tile's own
    bool measure;      // keep the tile's own
    ht_value measured; // [1, count, 2] of them
    uint32_t count;    // groups so far
} ht_pooled_norms;

// Where layers go and where their weights come from.
typedef struct ht_nn {
    ht_graph *graph;
    ht_weights *weights;
    const ht_recipe *recipe;    // formats of linear and conv layers; NULL: float
    const ht_lora_layers *lora; // low-rank branches beside them; NULL: none
    ht_static_scales scales;
    const ht_attention_choice *attention; // of self-attentions; NULL: dense
    ht_pooled_norms *norms; // NULL: group norms of a whole
} ht_nn;

// Format a weight's name or prefix; returns `name`. A name that does not fit is cut, and then not
// found in any checkpoint.
const char *ht_nn_name(char name[HT_NAME_BYTES], const char *format, ...) HT_PRINTF(2, 3);

// prefix.leaf as f32, any shape; [n] in the file.
ht_value ht_nn_vector(const ht_nn *nn, const char *prefix, const char *leaf, uint32_t n);

// prefix.weight [outputs, K], and prefix.bias when the checkpoint has one. `rest` adds activation,
// gate and residual (its bias is ignored); NULL: none. The recipe says what the weight, and x before
// it, are packed into. A low-rank branch reads x before it is packed, and is computed in floats:
//   y = act(w x + bias + up (down x)) * gate + residual
// x [.., K] -> [.., outputs]
ht_value ht_nn_linear(const ht_nn *nn, const char *prefix, ht_value x, uint32_t outputs,
                      const ht_epilogue *rest);

// Arguments of a 3 x 3 convolution whose result is as large as its input.
extern const ht_conv2d_args ht_nn_same_size;

// prefix.weight [outputs, I, kernel, kernel] and, unless `args` has one, prefix.bias.
ht_value ht_nn_conv(const ht_nn *nn, const char *prefix, ht_value x, uint32_t outputs,
                    uint32_t kernel, ht_conv2d_args args);

// The same with the bias of `args` or none.
ht_value ht_nn_conv_plain(const ht_nn *nn, const char *prefix, ht_value x, uint32_t outputs,
                          uint32_t kernel, ht_conv2d_args args);

// One moment of prefix.weight [outputs, I, times, kernel, kernel] over pictures, with the bias of
// `args` or none: the sum over all moments, each over the pictures at its time, is a convolution
// over time.
ht_value ht_nn_conv_moment(const ht_nn *nn, const char *prefix, ht_value x, uint32_t outputs,
                           uint32_t times, uint32_t time, uint32_t kernel, ht_conv2d_args args);
// prefix.bias when there is one.
ht_value ht_nn_bias(const ht_nn *nn, const char *prefix, uint32_t n);

// prefix.weight and prefix.bias over the last dimension of x.
ht_value ht_nn_group_norm(const ht_nn *nn, const char *prefix, ht_value x, uint32_t groups,
                          float eps, ht_activation act);

// prefix.weight and prefix.bias over the last dimension of x.
ht_value ht_nn_layer_norm(const ht_nn *nn, const char *prefix, ht_value x, float eps);
// prefix.weight over the last dimension of x.
ht_value ht_nn_rms_norm(const ht_nn *nn, const char *prefix, ht_value x, float eps);

// Width of the last dimension, 0 of a failed value.
uint32_t ht_nn_width(const ht_nn *nn, ht_value x);
// Same values, other shape; at most 6 dimensions, the list ends at the first 0.
ht_value ht_nn_view(const ht_nn *nn, ht_value x, const uint32_t dims[HT_MAX_RANK]);

// Where the channel is among the values of a token that stands for a patch.
typedef enum ht_patch_order { HT_PATCH_CHANNEL_LAST, HT_PATCH_CHANNEL_FIRST } ht_patch_order;

// Tokens back to places: [B, h * w, p * p * out] -> [B, h * p, w * p, out], of a latent
// [B, h * p, w * p, C] in patches of p. Frames below one another are cut like one tall picture.
ht_value ht_nn_unpatchify(const ht_nn *nn, ht_value tokens, const ht_tensor_desc *latent, uint32_t p,
                          uint32_t out, ht_patch_order order);

#endif

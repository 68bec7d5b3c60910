// PixArt-alpha and PixArt-Sigma transformers (PixArtTransformer2DModel), as three graphs: what
// depends on the timestep only, what depends on the prompt only, and the step itself.
#ifndef HALFTONE_MODELS_PIXART_H
#define HALFTONE_MODELS_PIXART_H

#include "common/attention_table.h"
#include "common/lora.h"
#include "common/recipe.h"
#include "common/scale_table.h"

#include <halftone/ops.h>

enum { HT_PIXART_MAX_LAYERS = 128 };

typedef struct ht_pixart_config {
    uint32_t heads;
    uint32_t head_dim;
    uint32_t in_channels;
    uint32_t out_channels; // twice in_channels when the variance is learned: keep the first half
    uint32_t layers;
    uint32_t caption_channels; // 0: the text comes in the model's own width, without projection
    uint32_t sample_size;      // latent edge the position table is scaled by
    uint32_t patch;
    double interpolation_scale;
    float eps;
    ht_activation act;
    bool attention_bias;
    bool additional_conditions;           // embeds resolution and aspect ratio too
    const ht_recipe *recipe;              // of the layers, not from the file; NULL: float
    const ht_attention_choice *attention; // of self-attentions, not from the file; NULL: dense
    const ht_lora_layers *lora;           // changes of layers, not from the file; NULL: none
} ht_pixart_config;

// Read folder/config.json; `weights` (may be NULL) decides about the additional conditions, since
// early configurations do not say.
HT_API ht_status ht_pixart_config_read(ht_context *context, const char *folder,
                                       const ht_weights *weights, ht_pixart_config *out);
HT_API ht_status ht_pixart_weight_map(ht_context *context, const ht_pixart_config *config,
                                      ht_weight_map *out);

// Rows of the modulation table per timestep: 6 per block (shift, scale, gate of the attention, then
// of the feed-forward), then shift and scale of the last norm.
HT_API uint32_t ht_pixart_modulations(const ht_pixart_config *config);

// All timesteps of a schedule at once.
//   timesteps [R] F32 (0..999, may be fractional); with additional conditions also
//   resolution [2R] F32 (height, width in pixels) and aspect [R] F32 (height / width)
//   -> [R, ht_pixart_modulations, C]. Needs F32 activations.
HT_API ht_value ht_pixart_time(ht_graph *graph, const ht_pixart_config *config, ht_weights *weights,
                               ht_value timesteps, ht_value resolution, ht_value aspect);

// text [B, T, caption_channels] -> per block keys[i] and values[i] [B, T, C] of the
// cross-attention. Both arrays hold config->layers entries.
HT_API void ht_pixart_context(ht_graph *graph, const ht_pixart_config *config, ht_weights *weights,
                              ht_value text, ht_value *keys, ht_value *values);

typedef struct ht_pixart_inputs {
    ht_value latent;      // [B, H, W, in_channels], H and W multiples of the patch
    ht_value modulation;  // from ht_pixart_time
    ht_value step;        // I32 row of the modulation: [1] for the whole batch, or [B]
    const ht_value *keys; // from ht_pixart_context
    const ht_value *values;
    ht_value mask; // [B, T] F32 added to the scores of the cross-attention, or HT_NO_VALUE
    ht_static_scales scales; // or zeros
} ht_pixart_inputs;
// One denoising step -> [B, H, W, out_channels]
HT_API ht_value ht_pixart_step(ht_graph *graph, const ht_pixart_config *config, ht_weights *weights,
                               const ht_pixart_inputs *inputs);

// Position table of a grid of rows x columns tokens: [rows * columns, C] into `table`.
HT_API void ht_pixart_positions(const ht_pixart_config *config, uint32_t rows, uint32_t columns,
                                float *table);

#endif

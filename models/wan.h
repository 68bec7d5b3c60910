// Transformers of Wan 2.1 (WanTransformer3DModel), text to video and image to video, as graphs: what
// depends on the timestep only, on the prompt only, on the picture only, and the step itself.
#ifndef HALFTONE_MODELS_WAN_H
#define HALFTONE_MODELS_WAN_H

#include "common/attention_table.h"
#include "common/lora.h"
#include "common/recipe.h"
#include "common/scale_table.h"

#include <halftone/ops.h>

enum { HT_WAN_MAX_LAYERS = 128 };

typedef struct ht_wan_config {
    uint32_t heads;
    uint32_t head_dim;
    uint32_t in_channels;
    uint32_t out_channels;
    uint32_t layers;
    uint32_t text_channels;
    uint32_t frequencies;   // of the embedded timestep
    uint32_t ffn;           // width of the feed-forward's hidden layer
    uint32_t patch;         // rows and columns of a token; one frame
    uint32_t max_positions; // along each axis
    float eps;
    uint32_t image_channels;              // of the picture's tokens; 0: it takes none
    bool cross_norm;                      // a norm with weights before the cross-attention
    const ht_recipe *recipe;              // of the layers, not from the file; NULL: float
    const ht_attention_choice *attention; // of self-attentions, not from the file; NULL: dense
    const ht_lora_layers *lora;           // changes of layers, not from the file; NULL: none
} ht_wan_config;

// Read folder/config.json.
HT_API ht_status ht_wan_config_read(ht_context *context, const char *folder, ht_wan_config *out);
HT_API ht_status ht_wan_weight_map(ht_context *context, const ht_wan_config *config,
                                   ht_weight_map *out);

// Rows of the modulation table per timestep: 6 per block (shift, scale, gate of the attention, then
// of the feed-forward), then shift and scale of the last norm.
HT_API uint32_t ht_wan_modulations(const ht_wan_config *config);

// All timesteps of a schedule at once: timesteps [R] F32 -> [R, ht_wan_modulations, C]. Needs F32
// activations.
HT_API ht_value ht_wan_time(ht_graph *graph, const ht_wan_config *config, ht_weights *weights,
                            ht_value timesteps);

// text [B, T, text_channels] -> per block keys[i] (normalised) and values[i] [B, T, C] of the
// cross-attention. Both arrays hold config->layers entries.
HT_API void ht_wan_context(ht_graph *graph, const ht_wan_config *config, ht_weights *weights,
                           ht_value text, ht_value *keys, ht_value *values);

// The same of the picture's tokens: image [1, T, image_channels] -> keys[i] and values[i] [1, T, C].
HT_API void ht_wan_image_context(ht_graph *graph, const ht_wan_config *config, ht_weights *weights,
                                 ht_value image, ht_value *keys, ht_value *values);

typedef struct ht_wan_inputs {
    ht_value latent; // [B, frames * H, W, in_channels]: frames one below the other; H and W
                     // multiples of the patch
    uint32_t frames;
    ht_value modulation;  // from ht_wan_time
    ht_value step;        // I32 row of the modulation: [1] for the whole batch, or [B]
    const ht_value *keys; // from ht_wan_context
    const ht_value *values;
    const ht_value *image_keys; // from ht_wan_image_context, [B, T, C]; NULL: no picture
    const ht_value *image_values;
    ht_static_scales scales; // or zeros
} ht_wan_inputs;
// One denoising step -> [B, frames * H, W, out_channels]
HT_API ht_value ht_wan_step(ht_graph *graph, const ht_wan_config *config, ht_weights *weights,
                            const ht_wan_inputs *inputs);

// Cosine and sine of each pair of a head's values, for every token of a clip: the first pairs turn
// with the frame, the next with the row, the last with the column.
// [frames * rows * columns, head_dim] into `table`.
HT_API void ht_wan_positions(const ht_wan_config *config, uint32_t frames, uint32_t rows,
                             uint32_t columns, float *table);

#endif

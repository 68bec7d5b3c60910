// Transformers of CogVideoX 1.0 (CogVideoXTransformer3DModel, 2B and 5B), text to video, as graphs: what
// depends on the timestep only, on the prompt only, and the step itself. Text and clip go through the
// blocks side by side, with norms of their own and one attention over both.
#ifndef HALFTONE_MODELS_COGVIDEOX_H
#define HALFTONE_MODELS_COGVIDEOX_H

#include "common/attention_table.h"
#include "common/lora.h"
#include "common/recipe.h"
#include "common/scale_table.h"

#include <halftone/ops.h>

enum { HT_COGVIDEOX_MAX_LAYERS = 128 };

typedef struct ht_cogvideox_config {
    uint32_t heads;
    uint32_t head_dim;
    uint32_t in_channels;
    uint32_t out_channels;
    uint32_t layers;
    uint32_t text_channels;
    uint32_t text_tokens;   // of a prompt, padding included
    uint32_t time_channels; // of the embedded timestep
    uint32_t patch;         // rows and columns of a token; one frame
    uint32_t sample_rows, sample_columns,
        sample_frames; // usual, of latents; of a clip's own frames
    float eps;
    bool rotary; // positions turn queries and keys (5B); else they are added to the tokens (2B)
    double space_scale, time_scale; // that added positions are divided by
    bool attention_bias, patch_bias;
    bool cosine_first; // in the embedded timestep
    float frequency_shift;
    const ht_recipe *recipe;              // of the layers, not from the file; NULL: float
    const ht_attention_choice *attention; // not from the file; NULL: dense
    const ht_lora_layers *lora;           // changes of layers, not from the file; NULL: none
} ht_cogvideox_config;

// Read folder/config.json.
HT_API ht_status ht_cogvideox_config_read(ht_context *context, const char *folder,
                                          ht_cogvideox_config *out);
HT_API ht_status ht_cogvideox_weight_map(ht_context *context, const ht_cogvideox_config *config,
                                         ht_weight_map *out);

// Rows of the modulation table per timestep: 12 per block (shift, scale, gate of the clip, then of the
// text, before the attention; the same before the feed-forward), then shift and scale of the last norm.
HT_API uint32_t ht_cogvideox_modulations(const ht_cogvideox_config *config);

// All timesteps of a schedule at once: timesteps [R] F32 -> [R, ht_cogvideox_modulations, C]. Needs F32
// activations.
HT_API ht_value ht_cogvideox_time(ht_graph *graph, const ht_cogvideox_config *config,
                                  ht_weights *weights, ht_value timesteps);

// text [B, T, text_channels] -> tokens [B, T, C]
HT_API ht_value ht_cogvideox_text(ht_graph *graph, const ht_cogvideox_config *config,
                                  ht_weights *weights, ht_value text);

typedef struct ht_cogvideox_inputs {
    ht_value latent; // [B, frames * H, W, in_channels]: frames one below the other; H and W
                     // multiples of the patch
    uint32_t frames;
    ht_value modulation;     // from ht_cogvideox_time
    ht_value step;           // I32 row of the modulation: [1] for the whole batch, or [B]
    ht_value text;           // from ht_cogvideox_text
    ht_static_scales scales; // or zeros
} ht_cogvideox_inputs;
// One denoising step -> [B, frames * H, W, out_channels]
HT_API ht_value ht_cogvideox_step(ht_graph *graph, const ht_cogvideox_config *config,
                                  ht_weights *weights, const ht_cogvideox_inputs *inputs);

// Positions that are added: those of the rows and columns of a frame, [rows * columns, C] into `space`,
// and those of the frames, [frames, C] into `time`; each is 0 where the other has values.
HT_API void ht_cogvideox_positions(const ht_cogvideox_config *config, uint32_t frames,
                                   uint32_t rows, uint32_t columns, float *space, float *time);

// Cosine and sine of each pair of a head's values: `text` tokens that are not turned, then the clip's by
// frame, row and column, [text + frames * rows * columns, head_dim] into `table`. Rows and columns are
// fitted into the usual grid, in its middle.
HT_API void ht_cogvideox_turns(const ht_cogvideox_config *config, uint32_t text, uint32_t frames,
                               uint32_t rows, uint32_t columns, float *table);

#endif

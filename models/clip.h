// CLIP text encoders (CLIPTextModel, CLIPTextModelWithProjection): CLIP-L of Stable Diffusion 1,
// OpenCLIP-H of 2, and both of SDXL. Pre-norm transformers with a causal mask; padding is text.
#ifndef HALFTONE_MODELS_CLIP_H
#define HALFTONE_MODELS_CLIP_H

#include "common/lora.h"
#include "common/weight_map.h"

#include <halftone/ops.h>

typedef struct ht_clip_config {
    uint32_t vocab_size;
    uint32_t width;
    uint32_t intermediate;
    uint32_t layers;
    uint32_t heads;
    uint32_t positions;  // longest sequence
    uint32_t projection; // width of the pooled vector's projection; 0: none
    float eps;
    ht_activation act;
    const ht_lora_layers *lora; // changes of layers, not from the file; NULL: none
} ht_clip_config;

HT_API ht_status ht_clip_config_read(ht_context *context, const char *folder, ht_clip_config *out);
HT_API ht_status ht_clip_weight_map(ht_context *context, const ht_clip_config *config,
                                    ht_weight_map *out);

typedef struct ht_clip_inputs {
    ht_value ids;    // [B, T] I32, T up to config->positions
    ht_value ends;   // [B] I32, b * T + index of the end of text, for the pooled vector; or
                     // HT_NO_VALUE
    ht_value extra;  // [E, width] F32, vectors of textual inversion; or HT_NO_VALUE
    ht_value picks;  // with extra, [B, T] I32: each token's row of [B * T words, E vectors]
    uint32_t skip;   // layers left out at the end: 0 the last layer's output, 1 the penultimate's
    bool final_norm; // of the hidden states that are handed on
} ht_clip_inputs;

typedef struct ht_clip_outputs {
    ht_value hidden; // [B, T, width]
    ht_value pooled; // [B, projection or width], from the last layer; HT_NO_VALUE without `ends`
} ht_clip_outputs;

HT_API ht_clip_outputs ht_clip_build(ht_graph *graph, const ht_clip_config *config,
                                     ht_weights *weights, const ht_clip_inputs *inputs);

#endif

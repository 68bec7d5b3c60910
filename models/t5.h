// T5 and UMT5 text encoders (the encoder half of the v1.1 models).
#ifndef HALFTONE_MODELS_T5_H
#define HALFTONE_MODELS_T5_H

#include "common/lora.h"
#include "common/weight_map.h"

#include <halftone/ops.h>

typedef struct ht_t5_config {
    uint32_t vocab_size;
    uint32_t d_model;
    uint32_t d_kv; // width of a head; num_heads * d_kv need not be d_model
    uint32_t d_ff;
    uint32_t num_layers;
    uint32_t num_heads;
    uint32_t num_buckets;
    uint32_t max_distance;
    float eps;
    ht_activation act;
    bool gated;          // feed-forward act(wi_0 x) * (wi_1 x) instead of act(wi x)
    bool bias_per_block; // UMT5: every block has its own relative position table
    const ht_lora_layers *lora; // changes of layers, not from the file; NULL: none
} ht_t5_config;

// Read folder/config.json.
HT_API ht_status ht_t5_config_read(ht_context *context, const char *folder, ht_t5_config *out);

// What its checkpoint holds. Clear the map with ht_weight_map_clear, also after a failure.
HT_API ht_status ht_t5_weight_map(ht_context *context, const ht_t5_config *config,
                                  ht_weight_map *out);

// ids [B, T] I32; mask [B, T] F32 added to the scores (0 keeps a token, a large negative number
// hides it) or HT_NO_VALUE  ->  [B, T, d_model]. F32 activations: the residual stream of the large
// models leaves the range of F16.
HT_API ht_value ht_t5_build(ht_graph *graph, const ht_t5_config *config, ht_weights *weights,
                            ht_value ids, ht_value mask);

// Bucket of a distance key - query.
HT_API uint32_t ht_t5_bucket(const ht_t5_config *config, int32_t distance);

#endif

// What CLIP's encoders of texts and of pictures have in common.
#ifndef HT_MODELS_CLIP_LAYERS_H
#define HT_MODELS_CLIP_LAYERS_H

#include "clip.h"
#include "common/config.h"
#include "common/layers.h"

ht_status ht_clip_read_activation(ht_context *context, const char *folder, ht_config *json,
                                  ht_activation *act);
// All layers, behind `base` or, as some files have it, without.
void ht_clip_add_layers(ht_weight_map *out, const ht_clip_config *config, const char *base);
// h [B, T, width] -> [B, T, width]; `bias` on the scores as ht_attention_args.rel_bias has it.
ht_value ht_clip_layer(const ht_nn *nn, const ht_clip_config *c, const char *layer, ht_value h,
                       ht_value bias);

#endif

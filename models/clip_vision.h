// CLIP image encoders (CLIPVisionModel), as networks that start from a picture are shown it: ViT-H of
// Wan's image-to-video models.
#ifndef HALFTONE_MODELS_CLIP_VISION_H
#define HALFTONE_MODELS_CLIP_VISION_H

#include "clip.h"

typedef struct ht_clip_vision_config {
    ht_clip_config layers; // of it the width, the layers and their sizes
    uint32_t edge;         // pixels of the picture, which is square
    uint32_t patch;        // pixels of a token's edge
    // Of the values v in 0..1 of a picture: what is read is (v - mean) / deviation.
    float mean[3], deviation[3];
} ht_clip_vision_config;

// folder/config.json, and of processor/preprocessor_config.json, when that is there, mean and
// deviation; else they are CLIP's.
HT_API ht_status ht_clip_vision_config_read(ht_context *context, const char *folder,
                                            const char *processor, ht_clip_vision_config *out);
HT_API ht_status ht_clip_vision_weight_map(ht_context *context, const ht_clip_vision_config *config,
                                           ht_weight_map *out);
// Tokens of a picture: one per patch, and one of the class in front.
HT_API uint32_t ht_clip_vision_tokens(const ht_clip_vision_config *config);

// pixels [1, edge, edge, 3] -> what the last layer but one gives, [1, tokens, width]
HT_API ht_value ht_clip_vision_build(ht_graph *graph, const ht_clip_vision_config *config,
                                     ht_weights *weights, ht_value pixels);

#endif

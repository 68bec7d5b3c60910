// ControlNetModel (Zhang, Rao, Agrawala 2023): a copy of a UNet's way down and middle that also reads
// a picture, and adds to what the UNet keeps for its way up. Time and context are those of
// ht_unet_time and ht_unet_context with config.net.
#ifndef HALFTONE_MODELS_CONTROLNET_H
#define HALFTONE_MODELS_CONTROLNET_H

#include "unet.h"

enum { HT_CONTROLNET_MAX_HINTS = 8, HT_CONTROLNET_MAX_RESIDUALS = 80 };

typedef struct ht_controlnet_config {
    ht_unet_config net; // with `control` set
    uint32_t hints;     // levels of the picture's layers: it has 2^(hints - 1) latents' edge
    uint32_t hint_channels[HT_CONTROLNET_MAX_HINTS];
} ht_controlnet_config;

// Of a folder, or of a file of weights alone, whose network is then that of `unet`; the picture's
// layers are as the weights are. A network that does not go with `unet` is refused.
HT_API ht_status ht_controlnet_config_read(ht_context *context, const char *path,
                                           const ht_weights *weights, const ht_unet_config *unet,
                                           ht_controlnet_config *out);
HT_API ht_status ht_controlnet_weight_map(ht_context *context, const ht_controlnet_config *config,
                                          ht_weight_map *out);

// picture [1, H, W, 3] in 0..1 -> [h, w, C]
HT_API ht_value ht_controlnet_hint(ht_graph *graph, const ht_controlnet_config *config,
                                   ht_weights *weights, ht_value picture);

// What the step adds to the UNet's kept outputs and to its middle's, times `strength`, into
// residuals [HT_CONTROLNET_MAX_RESIDUALS], as ht_unet_inputs.control has it; returns how many.
HT_API uint32_t ht_controlnet_step(ht_graph *graph, const ht_controlnet_config *config,
                                   ht_weights *weights, const ht_unet_inputs *inputs, ht_value hint,
                                   float strength, ht_value *residuals);

#endif

// The names that single-file checkpoints of Stable Diffusion have (those of the CompVis and SGM
// code, of OpenCLIP, and of stable-diffusion.cpp), as views under the names of diffusers.
#ifndef HT_MODELS_LDM_H
#define HT_MODELS_LDM_H

#include "weight_map.h"

typedef enum ht_ldm_part {
    HT_LDM_UNET,
    HT_LDM_VAE,
    HT_LDM_TEXT,   // the only text encoder, or SDXL's first
    HT_LDM_TEXT_2, // SDXL's second
    HT_LDM_CONTROL,
    HT_LDM_TINY, // AutoencoderTiny; any file may be one
} ht_ldm_part;

// How a file names one part. Plain data; the pointers are to constants.
typedef struct ht_ldm_names {
    const struct ht_ldm_style *style;
    uint32_t levels, layers_per_block; // of a UNet or VAE; the caller fills them in
    uint32_t hints;                    // of a ControlNet, likewise
} ht_ldm_names;

// False when the weights have no such part under these names.
bool ht_ldm_recognise(const ht_weights *weights, ht_ldm_part part, ht_ldm_names *names);
// What is in front of the part's names.
const char *ht_ldm_prefix(const ht_ldm_names *names);
// OpenCLIP's text encoders have a last layer that Stable Diffusion 2 leaves out, and another
// activation than CLIP's.
bool ht_ldm_is_open_clip(const ht_ldm_names *names);

// The tensor that diffusers calls `name`, or NULL.
const ht_weight_info *ht_ldm_find(const ht_weights *weights, const ht_ldm_names *names,
                                  const char *name);

// The index-th name, without a prefix, that single-file models may have for a UNet's tensor that
// diffusers calls `name`; false when there are no more.
bool ht_ldm_unet_alias(uint32_t levels, uint32_t layers_per_block, const char *name, uint32_t index,
                       char *out, size_t bytes);

// Show every entry of the map under its own name, and nothing else. The first that is missing is a
// failure with its name in the file. Tensors of the part that no entry shows are counted.
ht_status ht_ldm_view(ht_weights *weights, const ht_ldm_names *names, const ht_weight_map *map,
                      uint32_t *left_over);

#endif

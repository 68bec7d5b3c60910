// What a UNet shares with the ControlNet made of its first half.
#ifndef HT_MODELS_UNET_INTERNAL_H
#define HT_MODELS_UNET_INTERNAL_H

#include "unet.h"

#include "common/layers.h"

// Read folder/config.json of the class of diffusers named so.
ht_status ht_unet_config_read_class(ht_context *context, const char *folder, const char *name,
                                    ht_unet_config *out);

// The network of the plan but for conv_norm_out and conv_out. `hint` [H, W, C] is added behind
// conv_in, or HT_NO_VALUE. What is kept and not used on the way up remains in `kept`
// [HT_UNET_MAX_PARTS], *n_kept of it.
ht_value ht_unet_trunk(const ht_nn *nn, const ht_unet_config *config, const ht_unet_inputs *in,
                       ht_value hint, ht_value *kept, uint32_t *n_kept);

#endif

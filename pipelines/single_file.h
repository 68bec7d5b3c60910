// Models in one file: what each part's configuration must be, found out from names and shapes.
#ifndef HT_PIPELINES_SINGLE_FILE_H
#define HT_PIPELINES_SINGLE_FILE_H

#include "pipeline_internal.h"

#include "common/ldm.h"

// Configurations of parts whose names were recognised (single_file_configs.c). What shapes do not
// tell comes from the family: `head_width` 0 is 8 heads whatever the width. Shapes that do not go
// together are failures.
ht_status ht_single_unet_config(ht_context *context, const ht_weights *weights, ht_ldm_names *names,
                                uint32_t head_width, ht_unet_config *out);
ht_status ht_single_vae_config(ht_context *context, const ht_weights *weights, ht_ldm_names *names,
                               ht_vae_config *out);
ht_status ht_single_clip_config(ht_context *context, const ht_weights *weights, ht_ldm_names *names,
                                bool projects, ht_clip_config *out);

#endif

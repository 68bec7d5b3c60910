// TAEHV (Bohan 2025): tiny autoencoders of clips, which read the latents of Wan's (taew2_1) as the
// transformer has them. Their decoder alone.
#ifndef HALFTONE_MODELS_AUTOENCODER_TAEHV_H
#define HALFTONE_MODELS_AUTOENCODER_TAEHV_H

#include "autoencoder_wan.h"

// From the names and shapes of its author's files. False when that is none.
HT_API bool ht_taehv_config_find(const ht_weights *weights, ht_vae_config *out);
void ht_taehv_weight_map(const ht_vae_config *config, ht_weight_map *out);

// z [1, h, w, latent_channels] (ht_tiny_clamp'ed) -> frames [1 or 4, h * 8, w * 8, 3], about -1..1; pieces
// of a clip as ht_wan_vae_decode takes them.
HT_API ht_value ht_taehv_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                                ht_value z, ht_clip_memory *memory, bool first);

#endif

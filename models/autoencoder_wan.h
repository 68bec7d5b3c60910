// AutoencoderKLWan: the causal video VAE of Wan 2.1 (also of Wan 2.2 14B and Qwen-Image). A clip goes
// through it in pieces, of one latent frame each: its convolutions over time look back only, at what
// they remember of the pieces before, so that memory does not grow with the clip.
#ifndef HALFTONE_MODELS_AUTOENCODER_WAN_H
#define HALFTONE_MODELS_AUTOENCODER_WAN_H

#include "autoencoder_kl.h"
#include "common/clip_memory.h"

struct ht_config;
// Of an open config.json.
ht_status ht_wan_vae_config_parse(const char *folder, struct ht_config *json, ht_vae_config *out);
void ht_wan_vae_weight_map(const ht_vae_config *config, ht_vae_part parts, ht_weight_map *out);

// Which layers of a half: the global ones (those beside the attention, and it), at the size of the
// latent, and the local ones, which see their neighbourhood only and so can run by tiles. Both together
// are the half; between them are features [1, h, w, ht_vae_features].
enum { HT_WAN_VAE_GLOBAL = 1, HT_WAN_VAE_LOCAL = 2, HT_WAN_VAE_WHOLE = 3 };

// z [1, h, w, latent_channels] (of the VAE's own scale) -> frames [1 or 4, h * 8, w * 8, 3], about
// -1..1. `first`: the graph is for the first piece of clips, which gives one frame. The graphs of
// both kinds share *memory (zeroed before the first of them is built), and run in turn.
HT_API ht_value ht_wan_vae_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                                  ht_value z, ht_clip_memory *memory, uint32_t pieces, bool first);
// frames [1 (of the first piece) or 4, H, W, 3] in -1..1 -> [1, h, w, 2 latent_channels]: the mean,
// then the logarithm of the variance.
HT_API ht_value ht_wan_vae_encode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                                  ht_value frames, ht_clip_memory *memory, uint32_t pieces,
                                  bool first);

#endif

// AutoencoderKLCogVideoX: the causal video VAE of CogVideoX. A clip goes through it in pieces, of two latent
// frames each but for the first, which has one more (or is a picture's one): group norms are over all
// frames of a piece, so the pieces are part of what it computes. Its convolutions over time look back only,
// at what they remember of the pieces before, so that memory does not grow with the clip.
#ifndef HALFTONE_MODELS_AUTOENCODER_COGVIDEOX_H
#define HALFTONE_MODELS_AUTOENCODER_COGVIDEOX_H

#include "autoencoder_kl.h"
#include "common/clip_memory.h"

enum { HT_COGVIDEOX_VAE_PIECE = 2 }; // latent frames

struct ht_config;
// Of an open config.json.
ht_status ht_cogvideox_vae_config_parse(const char *folder, struct ht_config *json,
                                        ht_vae_config *out);
void ht_cogvideox_vae_weight_map(const ht_vae_config *config, ht_vae_part parts,
                                 ht_weight_map *out);

// z [n, h, w, latent_channels] (of the VAE's own scale) -> frames, [4 n, h * 8, w * 8, 3], about -1..1.
// `first`: the graph is for the first piece of clips, n is odd, and frames are 4 n - 3. The graphs of both
// kinds share *memory (zeroed before the first of them is built), and run in turn.
HT_API ht_value ht_cogvideox_vae_decode(ht_graph *graph, const ht_vae_config *config,
                                        ht_weights *weights, ht_value z, ht_clip_memory *memory,
                                        bool first);
// frames [4 n, or of the first piece 4 n - 3, H, W, 3] in -1..1 -> [n, h, w, 2 latent_channels]: the mean,
// then the logarithm of the variance.
HT_API ht_value ht_cogvideox_vae_encode(ht_graph *graph, const ht_vae_config *config,
                                        ht_weights *weights, ht_value frames,
                                        ht_clip_memory *memory, bool first);

#endif

// AutoencoderTiny (TAESD): what autoencoder_kl.h passes on to it, and what is its own.
#ifndef HALFTONE_MODELS_AUTOENCODER_TINY_H
#define HALFTONE_MODELS_AUTOENCODER_TINY_H

#include "autoencoder_kl.h"
#include "common/config.h"

// From diffusers' config.json.
ht_status ht_tiny_config_parse(const char *folder, ht_config *json, ht_vae_config *out);

// From names (of diffusers or of its author's files) and shapes. False when that is no tiny
// autoencoder. *out gets the halves that are missing, too.
bool ht_tiny_config_find(const ht_weights *weights, ht_vae_config *out);
// The halves that are missing, of a configuration that is known.
uint32_t ht_tiny_missing(const ht_weights *weights);

void ht_tiny_weight_map(const ht_vae_config *config, uint32_t parts, ht_weight_map *out);

// Latents far from zero are squeezed before decoding: 3 tanh(z / 3).
void ht_tiny_clamp(float *z, size_t count);

ht_value ht_tiny_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                        ht_value z);
ht_value ht_tiny_encode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                        ht_value picture);

#endif

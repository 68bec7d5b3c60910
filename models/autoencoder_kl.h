// AutoencoderKL: the image VAE of Stable Diffusion, SDXL, SD3, FLUX and PixArt; and AutoencoderTiny
// (TAESD, Bohan 2023), which reads and writes the same latents with a few plain convolutions.
#ifndef HALFTONE_MODELS_AUTOENCODER_KL_H
#define HALFTONE_MODELS_AUTOENCODER_KL_H

#include "common/layers.h"
#include "common/weight_map.h"

#include <halftone/ops.h>

enum { HT_VAE_MAX_LEVELS = 8, HT_VAE_MAX_LATENT = 64 };

typedef struct ht_vae_config {
    uint32_t in_channels, out_channels;
    uint32_t levels;
    uint32_t channels[HT_VAE_MAX_LEVELS]; // from the picture inwards
    uint32_t layers_per_block;
    uint32_t latent_channels;
    uint32_t groups;
    uint32_t sample_size; // edge of a tile in pixels
    bool quant_conv, post_quant_conv, mid_attention;
    bool force_upcast;                  // the activations leave the range of F16
    float scaling_factor, shift_factor; // latent = (z - shift) * scaling
    // AutoencoderTiny: all levels have channels[0] channels; residual blocks of each, in its order.
    bool tiny;
    uint32_t encoder_blocks[HT_VAE_MAX_LEVELS], decoder_blocks[HT_VAE_MAX_LEVELS];
    // AutoencoderKLWan (autoencoder_wan.h): of clips; with `tiny` TAEHV (autoencoder_taehv.h); in pieces of
    // two AutoencoderKLCogVideoX (autoencoder_cogvideox.h). Latents are (z - mean) / deviation by channel.
    bool video;
    uint32_t piece;                      // latent frames of a clip that go through it together
    uint32_t base_channels;              // that the encoder begins with
    bool halves_time[HT_VAE_MAX_LEVELS]; // behind this level, counted from the picture
    float mean[HT_VAE_MAX_LATENT], deviation[HT_VAE_MAX_LATENT];
    const ht_recipe *recipe; // of its convolutions, not from the file; NULL: float
    uint32_t missing;        // halves (ht_vae_part) that the checkpoint has not
} ht_vae_config;

// Of either class, from folder/config.json.
HT_API ht_status ht_vae_config_read(ht_context *context, const char *folder, ht_vae_config *out);

// Pixels per latent, along each edge.
HT_API uint32_t ht_vae_factor(const ht_vae_config *config);

struct ht_config;
// Are the blocks that `key` lists, if any, all of the expected kind?
ht_status ht_vae_check_blocks(ht_context *context, const char *folder, struct ht_config *json,
                              const char *key, const char *expected, uint32_t levels);

typedef enum ht_vae_part { HT_VAE_ENCODER = 1, HT_VAE_DECODER = 2, HT_VAE_BOTH = 3 } ht_vae_part;
// Of the halves that are asked for and not missing.
HT_API ht_status ht_vae_weight_map(ht_context *context, const ht_vae_config *config,
                                   ht_vae_part parts, ht_weight_map *out);

// z [B, h, w, latent_channels] (already unscaled; of tiny ones ht_tiny_clamp'ed) -> picture
// [B, h * factor, w * factor, 3], about -1..1.
HT_API ht_value ht_vae_decode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                              ht_value z);

// picture [B, H, W, 3] in -1..1, H and W multiples of the factor -> [B, h, w, 2 latent_channels]:
// the mean, then the logarithm of the variance (not clamped). Tiny ones give z itself,
// [B, h, w, latent_channels].
HT_API ht_value ht_vae_encode(ht_graph *graph, const ht_vae_config *config, ht_weights *weights,
                              ht_value picture);

// The halves in two pieces. The global one holds the attention and the layers beside it, at the size
// of the latent; the local one, where nearly all memory and work is, sees its neighbourhood only but
// for its group norms, and so can run by tiles:
//   decoder: z -global-> features -local-> picture     encoder: picture -local-> features -global->
// Features are [B, h, w, ht_vae_features]. `norms` as in common/layers.h, NULL: x is the whole.
// Tiny ones have a local piece only.
HT_API ht_value ht_vae_decode_global(ht_graph *graph, const ht_vae_config *config,
                                     ht_weights *weights, ht_value z);
HT_API ht_value ht_vae_decode_local(ht_graph *graph, const ht_vae_config *config,
                                    ht_weights *weights, ht_value features, ht_pooled_norms *norms);
HT_API ht_value ht_vae_encode_local(ht_graph *graph, const ht_vae_config *config,
                                    ht_weights *weights, ht_value picture, ht_pooled_norms *norms);
HT_API ht_value ht_vae_encode_global(ht_graph *graph, const ht_vae_config *config,
                                     ht_weights *weights, ht_value features);
// Channels between the pieces.
HT_API uint32_t ht_vae_features(const ht_vae_config *config);
// Groups of all norms of a local piece; 0 of tiny ones.
HT_API uint32_t ht_vae_local_groups(const ht_vae_config *config, bool encoder);

// Most bytes that live at once while decoding latents of that size, roughly.
HT_API uint64_t ht_vae_decode_bytes(const ht_vae_config *config, uint32_t height, uint32_t width,
                                    ht_format activations);

#endif

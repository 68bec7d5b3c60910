// UNet2DConditionModel of Stable Diffusion 1 and 2, SDXL and their few-step variants, as three
// graphs: what depends on the timestep (and SDXL's added conditions) only, what depends on the
// prompt only, and the step itself.
#ifndef HALFTONE_MODELS_UNET_H
#define HALFTONE_MODELS_UNET_H

#include "common/attention_table.h"
#include "common/lora.h"
#include "common/recipe.h"
#include "common/scale_table.h"

#include <halftone/ops.h>

enum {
    HT_UNET_MAX_LEVELS = 8,
    HT_UNET_MAX_LAYERS = 128, // transformer layers; SDXL has 70
    HT_UNET_MAX_PARTS = 256,
    HT_UNET_TIME_IDS = 6, // of SDXL: original height, width, crop top, left, target height, width
};

typedef struct ht_unet_config {
    uint32_t in_channels; // 4; 9 for inpainting: latent, mask, masked latent
    uint32_t out_channels;
    uint32_t levels;
    uint32_t channels[HT_UNET_MAX_LEVELS];
    uint32_t heads[HT_UNET_MAX_LEVELS];
    uint32_t depth[HT_UNET_MAX_LEVELS]; // layers of each transformer
    bool down_attention[HT_UNET_MAX_LEVELS], up_attention[HT_UNET_MAX_LEVELS];
    uint32_t layers_per_block;
    uint32_t cross_dim; // width of the text
    uint32_t groups;
    float eps;
    uint32_t sample_size; // usual latent edge
    bool mid_block;
    uint32_t guidance_dim; // LCM's embedding of the guidance scale; 0: none
    uint32_t time_ids_dim; // embedding width of one of SDXL's size numbers; 0: no added conditions
    uint32_t added_dim;    // pooled text and embedded size numbers together
    bool control;          // a ControlNet: nothing behind the middle block, and out_channels is 0
    const ht_recipe *recipe;              // of the layers, not from the file; NULL: float
    const ht_attention_choice *attention; // of self-attentions, not from the file; NULL: dense
    const ht_lora_layers *lora;           // changes of layers, not from the file; NULL: none
} ht_unet_config;

HT_API ht_status ht_unet_config_read(ht_context *context, const char *folder, ht_unet_config *out);
// Do the sizes go together? `path` is of the file that has them, for the message.
HT_API ht_status ht_unet_config_check(ht_context *context, const char *path,
                                      const ht_unet_config *config);
HT_API ht_status ht_unet_weight_map(ht_context *context, const ht_unet_config *config,
                                    ht_weight_map *out);

// The network as a list, in the order in which it runs; everything else walks it.
typedef enum ht_unet_kind {
    HT_UNET_RESNET,
    HT_UNET_TRANSFORMER,
    HT_UNET_DOWN, // 3 x 3 convolution of stride 2
    HT_UNET_UP,   // nearest neighbour x 2, then 3 x 3
} ht_unet_kind;

typedef struct ht_unet_part {
    ht_unet_kind kind;
    char prefix[64];
    uint32_t in, out;      // channels; `in` includes what is concatenated
    uint32_t heads, depth; // of a transformer
    uint32_t first_layer;  // of a transformer, counted through the network
    uint32_t first_row;    // of a resnet, its place in the time table
    bool pop;              // the last output kept is concatenated to the input
    bool push;             // the output is kept
} ht_unet_part;

typedef struct ht_unet_plan {
    ht_unet_part parts[HT_UNET_MAX_PARTS];
    uint32_t count;
    uint32_t layers; // transformer layers in all
    uint32_t rows;   // width of the time table
} ht_unet_plan;
HT_API void ht_unet_plan_make(const ht_unet_config *config, ht_unet_plan *out);
// Channels of the keys and values of transformer layer `layer`.
HT_API uint32_t ht_unet_layer_width(const ht_unet_plan *plan, uint32_t layer);
// Its layer of that name ("to_k") that reads the text: at most 159 characters.
HT_API void ht_unet_text_layer(const ht_unet_plan *plan, uint32_t layer, const char *leaf,
                               char name[160]);

typedef struct ht_unet_conditions {
    ht_value timesteps; // [R] F32, 0..999, may be fractional
    ht_value guidance;  // [R] F32, 1000 (guidance scale - 1), with guidance_dim; or HT_NO_VALUE
    ht_value pooled;    // [B, P], with time_ids_dim; or HT_NO_VALUE. Then R = steps * B, and the
                        // item is the fast index
    ht_value time_ids;  // [6 B] F32 likewise
} ht_unet_conditions;
// All timesteps of a schedule at once -> [R, plan.rows]: what each resnet adds after its first
// convolution, that one's bias included. Needs F32 activations.
HT_API ht_value ht_unet_time(ht_graph *graph, const ht_unet_config *config, ht_weights *weights,
                             const ht_unet_conditions *conditions);

// text [B, T, cross_dim] -> keys[i] and values[i] [B, T, ht_unet_layer_width] of every layer.
HT_API void ht_unet_context(ht_graph *graph, const ht_unet_config *config, ht_weights *weights,
                            ht_value text, ht_value *keys, ht_value *values);

typedef struct ht_unet_inputs {
    ht_value latent;               // [B, H, W, in_channels], H and W multiples of 2^(levels - 1)
    ht_value table;                // from ht_unet_time
    ht_value step;                 // I32 rows of the table: [1] for the whole batch, or [B]
    const ht_value *keys, *values; // from ht_unet_context
    const ht_value *control;       // what a ControlNet adds to the outputs kept for the way up, in
                                   // the order of the plan, and to the middle's; or NULL
    ht_static_scales scales;       // or zeros
} ht_unet_inputs;
// One denoising step -> [B, H, W, out_channels]
HT_API ht_value ht_unet_step(ht_graph *graph, const ht_unet_config *config, ht_weights *weights,
                             const ht_unet_inputs *inputs);

#endif

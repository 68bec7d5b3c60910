// LoRA and its relatives: files of low-rank changes to the layers of a model, W + s up down (Hu et
// al. 2021), also as LyCORIS has them (Yeh et al. 2023: LoCon, LoHa, LoKr). They stay beside the
// weights, whose formats do not matter: the layers of layers.h add up (down x) to their products.
#ifndef HALFTONE_MODELS_LORA_H
#define HALFTONE_MODELS_LORA_H

#include "weight_map.h"

#include <halftone/graph.h>

// Networks of a model that files can change.
typedef enum ht_lora_network {
    HT_LORA_DENOISER,
    HT_LORA_TEXT,   // the only text encoder, or SDXL's first
    HT_LORA_TEXT_2, // SDXL's second
    HT_LORA_NETWORKS,
} ht_lora_network;

typedef struct ht_lora ht_lora;
typedef struct ht_lora_layers ht_lora_layers; // of one network, of all files

typedef struct ht_lora_desc {
    const ht_weight_map *maps[HT_LORA_NETWORKS]; // NULL: the model has no such network
    uint32_t levels, layers_per_block; // of a UNet, whose layers have other names in single-file
                                       // models; 0: of none
    ht_format format; // F16 or F32: what the branches are kept in on the device
} ht_lora_desc;

// No changes yet. The maps are not needed any more afterwards.
HT_API ht_status ht_lora_create(ht_context *context, const ht_lora_desc *desc, ht_lora **out);
HT_API void ht_lora_destroy(ht_lora **lora);

// Add what a file (or a folder of diffusers or PEFT with one) changes, times the scale of the
// network. Names may be those of kohya, diffusers, PEFT, LyCORIS, and of single-file models. A layer
// that the network does not have, a shape that does not fit, a kind of change that is not of low
// rank (DoRA, whole differences) are failures with one sentence; what is for networks that the
// model does not have is left out.
HT_API ht_status ht_lora_add(ht_lora *lora, const char *path, const float scales[HT_LORA_NETWORKS]);

// What ht_nn wants; NULL when nothing changes the network.
HT_API const ht_lora_layers *ht_lora_of(const ht_lora *lora, ht_lora_network network);
// Values of all branches of the network, with what fills up their ranks.
HT_API uint64_t ht_lora_count(const ht_lora_layers *layers);

// The changes of a layer as one pair of constants of the graph, all files side by side along the
// rank, R (a multiple of 4), their scales in `up`.
//   down [R, I], or of a convolution [R, kh, kw, I]; up [O, R]
// False when there are none, or `layers` is NULL. A failure (values that are not numbers) fails the
// graph.
bool ht_lora_branch(const ht_lora_layers *layers, ht_graph *graph, const char *layer, bool conv,
                    ht_value *down, ht_value *up);

#endif

// Weights in a packed format, chosen by what they do to a layer's outputs: codes and scales that
// make tr((Q - W) H (Q - W)^T) small, H = X^T X being the Gram matrix of the layer's inputs.
#ifndef HT_OPTIMIZE_RECONSTRUCT_H
#define HT_OPTIMIZE_RECONSTRUCT_H

#include <halftone/grid.h>

// A layer. A matrix has one segment a row; a convolution's kernel [O, taps, I] has `taps`, each with
// scales of its own, as packed rows have: width = taps * segment.
typedef struct ht_layer {
    ht_format format; // with a grid
    uint32_t rows;    // N outputs
    uint32_t width;   // K inputs
    uint32_t segment;
    const float *weights; // [N][K]
    const float *gram;    // [K][K], symmetric, without negative directions
} ht_layer;

typedef enum ht_rounding {
    HT_ROUNDING_NEAREST, // scales by plain squared error: what packing does
    HT_ROUNDING_GPTQ,    // Frantar et al. 2022, columns by descending diag(H)
    HT_ROUNDING_LEARNED, // from GPTQ's result, codes and scales one at a time to their best value
    HT_ROUNDINGS,
} ht_rounding;
const char *ht_rounding_name(ht_rounding rounding);
bool ht_rounding_find(const char *name, ht_rounding *rounding);

// Codes and scales of a layer.
typedef struct ht_rounded {
    uint32_t groups; // scales of a segment
    float *outer;    // [N][segments] outer scales; NVFP4's, one for all, at every place
    float *codes;    // [N][K], values of the grid
    float *scales;   // [N][segments][groups], outer scales included
} ht_rounded;

// Room for a layer's codes; released by ht_rounded_free. HT_ERR_NO_MEMORY.
ht_status ht_rounded_create(ht_context *context, const ht_layer *layer, ht_rounded *out);
void ht_rounded_free(ht_context *context, ht_rounded *rounded);

// Scales and nearest codes. With `gram` an error weighs diag(H), else 1.
void ht_round_nearest(const ht_layer *layer, bool gram, ht_rounded *out);
// Codes by error feedback for the scales that `rounded` has.
ht_status ht_round_gptq(ht_context *context, const ht_layer *layer, ht_rounded *rounded);
// Moves single codes and scales while that lessens the error: never worse than what it starts from,
// and at the end no single change is better. `sweeps` bounds the passes.
ht_status ht_round_descend(ht_context *context, const ht_layer *layer, uint32_t sweeps,
                           ht_rounded *rounded);
// One of the above as a whole.
ht_status ht_round_layer(ht_context *context, const ht_layer *layer, ht_rounding rounding,
                         ht_rounded *rounded);

// Some inputs of a layer; of a convolution, whose rows are [taps][inputs], of each tap.
typedef struct ht_columns {
    const uint32_t *numbers; // [count]
    uint32_t count, inputs;
} ht_columns;
// Adds to `values` [N][taps][count] of these columns what takes back most of `lost` [N][K], the change in
// all others, in the layer's outputs; layer->weights is not used.
ht_status ht_absorb(ht_context *context, const ht_layer *layer, const ht_columns *columns,
                    const float *lost, float *values);

// Values [N][K] of codes and scales.
void ht_rounded_values(const ht_layer *layer, const ht_rounded *rounded, float *values);
// tr(D gram D^T) of a difference [N][K]; of the weights themselves it is the signal.
ht_status ht_gram_energy(ht_context *context, const float *difference, const float *gram,
                         uint32_t rows, uint32_t width, double *energy);

#endif

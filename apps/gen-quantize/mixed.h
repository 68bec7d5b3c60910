// Formats chosen layer by layer: how much each layer's noise harms the picture, measured, and a
// knapsack over what each format costs (MixDQ, Zhao et al. 2024).
#ifndef HT_QUANTIZE_MIXED_H
#define HT_QUANTIZE_MIXED_H

#include "better.h"

#include <allocate.h>

// Weights from the smallest to the largest with the base recipe's activations, then, where activations
// have a budget too, some with four-bit ones.
enum { MIXED_FORMATS = 7, MIXED_CHOICES = MIXED_FORMATS + 3 };

// What a layer could get, and what is known of it.
typedef struct mixed_layer {
    char *name;
    bool content; // harm is measured by SSIM of the picture, else by SQNR of the latent
    ht_layer_formats formats[MIXED_CHOICES];
    double noise[MIXED_CHOICES]; // of its outputs
    ht_choice choices[MIXED_CHOICES];
    uint32_t count;
    double harm; // of the whole per unit of its own noise
    uint64_t weights;
    double reads; // packed activations of all steps and prompts, in millions
} mixed_layer;

typedef struct mixed {
    better *better;
    const quantize_options *options;
    ht_app_log *log;
    const volatile int *stop;
    mixed_layer *layers;
    size_t count;
    ht_allocation_layer *problem;
    uint32_t *chosen;
    uint64_t budget; // bytes of these layers
    double activation_bits; // at most, on average over what the layers read; infinite: any
    double work;            // the same as a sum
    uint64_t others; // bytes of all other tensors
} mixed;

// "mixed:4.5bits" or "mixed:3MiB", and ",a6bits" behind it for activations. `base` says which layers are packed at all and how they read.
bool mixed_is(const char *recipe);
// JSON of the recipe, to be freed; NULL after a message. Writes the curve of budgets beside the
// output.
char *mixed_recipe(mixed *m);
void mixed_close(mixed *m);

// sensitivity.c: fills `harm` of every layer, by making pictures of options->prompts with one layer
// packed after the other; read from OUTPUT.sensitivity.json where that is there. False after a
// message, and when stopped.
bool mixed_measure(mixed *m);
// pareto.c: best losses over budgets, and of uniform formats, as JSON and SVG. False after a message.
bool mixed_curve(mixed *m);
// OUTPUT with an ending.
void mixed_beside(const mixed *m, const char *ending, char *path, size_t bytes);

#endif

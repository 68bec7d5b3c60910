// Weights chosen by statistics of what the layers read.
#ifndef HT_QUANTIZE_BETTER_H
#define HT_QUANTIZE_BETTER_H

#include "quantize.h"

#include <common/recipe.h>
#include <halftone/calibrate.h>
#include <improve.h>

// Of one packed layer.
typedef struct better_layer {
    char *name;
    ht_improved improved;
    bool known; // there were statistics
} better_layer;

typedef struct better {
    const quantize_options *options;
    ht_context *context;
    ht_weights *weights;
    const ht_recipe *recipe;
    ht_stats *stats;
    ht_rounding rounding;
    better_layer *layers;
    size_t count;
    bool failed; // out of memory
    ht_app_log *log;
    float *energy; // [energy_width] of the layer that was asked for last
    uint32_t energy_width;
    struct fold *folds; // balance.c
    size_t n_folds;
} better;

// Read options->calibrate and decide on the factors of channels. The struct is the caller's, its
// first fields filled; close it in any case.
bool better_open(better *b);
void better_close(better *b);
// The layer's format: with options->search the best of those that take the same space.
ht_format better_format(better *b, const char *layer, ht_format format);
// Noise of a layer's outputs with such formats, as a share of the signal, rounded as well as
// options->rounding says; NAN where nothing is known.
double better_noise(const better *b, const char *layer, const ht_layer_formats *formats);
// Mean squares of what a layer reads, [width], until the next call; NULL without statistics.
const float *better_energy(better *b, const char *layer, uint32_t width);
// Hooks of ht_quantize_desc; user is the better.
ht_status better_pack(better *b, const ht_quantize_layer *layer, bool *done);
uint32_t better_rank(const better *b, const char *layer, const ht_tensor_desc *desc);
void better_factors(const better *b, const char *tensor, const float **inputs,
                    const float **outputs);
// What was found out about a layer, or NULL.
const better_layer *better_find(const better *b, const char *layer);

// first_token.c: vectors for the packed file, of layers whose text begins with the same token always.
typedef struct first_tokens {
    ht_quantize_extra *list;
    uint32_t count;
} first_tokens;
typedef struct first_tokens_in {
    ht_weights *weights;
    const ht_recipe *recipe; // layers it packs
    const ht_stats *stats;
    const better *better; // or NULL
} first_tokens_in;
// False: out of memory, or weights that cannot be read. Close it in any case.
bool first_tokens_find(const first_tokens_in *in, first_tokens *out);
void first_tokens_close(first_tokens *tokens);

// balance.c: factors by which a layer's inputs come in another size than the statistics say; NULL: none.
const float *balance_inputs(const better *b, const char *layer);
bool balance_choose(better *b);
void balance_close(better *b);

#endif

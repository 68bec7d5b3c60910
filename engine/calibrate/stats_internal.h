// Inside of ht_stats.
#ifndef HT_STATS_INTERNAL_H
#define HT_STATS_INTERNAL_H

#include "core.h"

#include <halftone/calibrate.h>

typedef struct ht_stats_layer_entry {
    char *name;
    uint32_t input;
} ht_stats_layer_entry;

typedef struct ht_stats_input {
    ht_input_stats s;
    uint32_t value; // of its graph, to find the layers that share it
} ht_stats_input;

struct ht_stats {
    ht_context *context;
    ht_stats_desc desc; // conditions: owned
    char *conditions;
    ht_stats_input *inputs;
    uint32_t n_inputs;
    ht_stats_layer_entry *layers;
    uint32_t n_layers;
    float *timesteps;
    uint32_t n_timesteps;
    uint32_t prompts;
    float *scratch; // rows on their way into a Gram matrix
    uint64_t scratch_count;
};

// One array of an input, in memory and in the file: tensor NAME.SUFFIX.
typedef struct ht_stats_array {
    const char *suffix, *dtype; // F64, F32, or F16 that is float in memory
    void **memory;
    uint32_t rank;
    uint64_t dims[3], count;
    uint32_t size; // bytes of a value in memory
} ht_stats_array;
enum { HT_STATS_ARRAYS = 8 };
// Those with values, by the sizes in `s`. Returns how many.
uint32_t ht_stats_arrays(ht_input_stats *s, ht_stats_array out[HT_STATS_ARRAYS]);
// columns, n_rows and the Gram matrix's sizes, by the others and the description.
void ht_stats_size_input(const ht_stats *stats, ht_input_stats *s);

// Sizes of all arrays follow from stage, width, kernel, steps, tokens of `like` and the
// description. Everything is zero at first. The name is copied.
ht_status ht_stats_add_input(ht_stats *stats, const ht_input_stats *like, uint32_t *index);
ht_status ht_stats_add_layer(ht_stats *stats, const char *name, uint32_t input);

// gram.c: gram [block, block] += x^T x over the columns first..first + block of x [rows, stride]; only
// j >= i. Then ht_gram_mirror fills the rest.
void ht_gram_add(const float *x, uint32_t rows, uint32_t stride, uint32_t first, uint32_t block,
                 float *gram);
void ht_gram_mirror(float *gram, uint32_t block);

#endif

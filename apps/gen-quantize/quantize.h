// What the files of gen-quantize share.
#ifndef HT_QUANTIZE_H
#define HT_QUANTIZE_H

#include "options.h"

#include "common/log.h"

#include <common/recipe.h>
#include <halftone/calibrate.h>
#include <halftone/quantize.h>
#include <limits.h>

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CANCELLED = 130 };

// One packed layer.
typedef struct packed_layer {
    char *name;
    ht_format format;
    uint64_t from, bytes;
    double sqnr_db;
    // Of its outputs on rows of its inputs, with --calibrate: before, and now. NAN: not known.
    double nearest_db, got_db;
    const char *rounding; // used; NULL: nearest, nothing being known
    ht_format salient;    // of columns kept apart; NONE: there are none
    uint32_t n_salient;
    uint64_t salient_bytes; // of `bytes`
} packed_layer;

typedef struct quantize_result {
    packed_layer *layers;
    size_t count;
    uint64_t from, bytes; // of all tensors, before and after
    const char *recipe;
    double seconds;
    uint32_t static_layers, dynamic_layers; // of those whose activations could have either
    bool failed;
} quantize_result;

// activations.c: the table of static scales as JSON for the file, by the recipe's choices and by
// measured error; free(). NULL without any, or with result->failed after a message.
typedef struct activations_in {
    ht_context *context;
    ht_weights *weights;
    const ht_recipe *recipe;
    const ht_stats *stats;
    bool calibrated; // the weights will be: the activations' own noise is what counts
    // Layers that read something else than was counted, and so keep dynamic scales; or NULL.
    bool (*changed)(void *user, const char *layer);
    void *user;
} activations_in;
char *quantize_activations(const activations_in *in, quantize_result *result);

int quantize_run(const quantize_options *options, ht_app_log *log, const volatile int *stop);

// statistics.c: count into options->stats, going on with it when it is there. False after a message,
// and when stopped.
bool quantize_collect(const quantize_options *options, ht_app_log *log, const volatile int *stop);
// better.c: --calibrate with prompts means --stats OUTPUT.stats with Gram matrices first; then, and with a
// file of statistics, options->calibrate is that file. False after a message.
bool quantize_calibration(quantize_options *options, ht_app_log *log, char *statistics,
                          size_t bytes);
// show.c: table and plot. False after a message.
bool quantize_show(const quantize_options *options, ht_app_log *log);

// report.c: the JSON of --report and a line for people. False after a message.
bool quantize_report(const quantize_options *options, const quantize_result *result,
                     ht_app_log *log);

#endif

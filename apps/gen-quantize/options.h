// Options of gen-quantize.
#ifndef HT_QUANTIZE_OPTIONS_H
#define HT_QUANTIZE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct quantize_options {
    const char *model, *output, *recipe, *report;
    bool dynamic;
    const char *calibrate, *rounding;
    const char *stats, *prompts, *show_stats, *plot, *device;
    const char *attention, *show_attention;
    double density;
    uint32_t width, height, frames; // of what --attention watches; 0: the model's
    uint32_t low_rank;
    uint32_t steps, limit, rows, gram_width;
    double cfg_scale;
    int64_t seed;
    bool gram, no_balance, no_first_token;
    bool search, overwrite, quiet, help, version;
    int verbose;
} quantize_options;

// False after a message: exit with 2.
bool quantize_options_parse(int argc, char **argv, quantize_options *options);
void quantize_options_help(void);

#endif

// What gen-eval was asked for.
#ifndef HT_EVAL_OPTIONS_H
#define HT_EVAL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { EVAL_MAX_RECIPES = 16, EVAL_NAME = 64, EVAL_PATH = 1024 };

typedef struct eval_options {
    const char *model, *prompts, *recipes, *judge, *output, *device;
    const char *ablate, *calibrate; // a recipe, and statistics or prompts of them
    uint32_t low_rank, calibrate_limit;
    bool search;
    uint32_t steps, limit, frames; // 0: the model's, all, the model's
    double cfg_scale;      // negative: the model's
    int64_t seed;
    bool layers, overwrite, quiet, help, version;
    int verbose;
    // from `recipes`; the first is the reference
    char names[EVAL_MAX_RECIPES][EVAL_NAME];
    char files[EVAL_MAX_RECIPES][EVAL_PATH]; // packed weights of the denoiser; "": none
    uint32_t count;
} eval_options;

// False after a message on stderr.
bool eval_options_parse(int argc, char **argv, eval_options *options);
void eval_options_help(void);

#endif

// Options of gen.
#ifndef HT_GEN_OPTIONS_H
#define HT_GEN_OPTIONS_H

#include "common/job.h"

typedef struct gen_options {
    ht_job job;
    const char *prompt_file;
    const char *output, *preview, *json;
    bool overwrite, no_metadata;
    const char *device;
    uint64_t max_memory;
    uint64_t weights_budget;
    bool no_cache, check, quiet, help, version;
    bool list_devices, list_models, list_samplers, list_recipes, list_formats;
    int verbose;
} gen_options;

// Defaults, then argv. False after a message: exit with 2.
bool gen_options_parse(int argc, char **argv, gen_options *options);
void gen_options_help(void);

#endif

// Names of recipes -> options of a pipeline.
#include "recipes.h"

#include <stdio.h>
#include <string.h>

static ht_format plain_format(const char *name) {
    return strcmp(name, "fp16") == 0   ? HT_FORMAT_F16
           : strcmp(name, "fp32") == 0 ? HT_FORMAT_F32
                                       : HT_FORMAT_NONE;
}

bool eval_recipe_check(const char *name, char *why, size_t why_bytes) {
    if (plain_format(name) != HT_FORMAT_NONE) {
        return true;
    }
    snprintf(why, why_bytes, "unknown recipe '%s'; known: fp16, fp32", name);
    return false;
}

void eval_recipe_apply(const char *name, ht_pipeline_options *options) {
    // fp16 leaves the activations to the pipeline, which knows what is safe.
    if (plain_format(name) == HT_FORMAT_F32) {
        options->weights = options->activations = HT_FORMAT_F32;
    }
}

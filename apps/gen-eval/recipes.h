// Names of recipes -> options of a pipeline.
#ifndef HT_EVAL_RECIPES_H
#define HT_EVAL_RECIPES_H

#include <limits.h>
#include <pipeline.h>

// Set what the recipe needs: "fp32" is everything in f32, any other name a recipe file found where
// gen finds it, unless there is a file of packed weights, which has its own. Behind an @ may stand
// how attentions are computed, as in "fp16@sage8". `path` and `name` are kept by the options. False
// with the sentence in `why` when there is none.
bool eval_recipe_apply(const char *name, const char *file, char path[PATH_MAX],
                       ht_pipeline_options *options, char *why, size_t why_bytes);

#endif

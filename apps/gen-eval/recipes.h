// Names of recipes -> options of a pipeline.
#ifndef HT_EVAL_RECIPES_H
#define HT_EVAL_RECIPES_H

#include <pipeline.h>

// False with the sentence in `why` when there is no such recipe.
bool eval_recipe_check(const char *name, char *why, size_t why_bytes);
void eval_recipe_apply(const char *name, ht_pipeline_options *options);

#endif

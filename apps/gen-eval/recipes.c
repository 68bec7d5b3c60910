// Names of recipes -> options of a pipeline.
#include "recipes.h"

#include "common/models.h"

#include <string.h>

bool eval_recipe_apply(const char *name, char path[PATH_MAX], ht_pipeline_options *options,
                       char *why, size_t why_bytes) {
    if (strcmp(name, "fp32") == 0) {
        options->weights = options->activations = HT_FORMAT_F32;
        return true;
    }
    if (!ht_recipe_path(name, path, PATH_MAX, why, why_bytes)) {
        return false;
    }
    options->recipe = path;
    return true;
}

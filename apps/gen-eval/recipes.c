// Names of recipes -> options of a pipeline.
#include "recipes.h"

#include "common/files.h"
#include "common/models.h"

#include <stdio.h>
#include <string.h>

bool eval_recipe_apply(const char *name, const char *file, char path[PATH_MAX],
                       ht_pipeline_options *options, char *why, size_t why_bytes) {
    if (*file) {
        snprintf(path, PATH_MAX, "%s", file);
        options->denoiser = path;
        return ht_file_exists(file) ||
               (snprintf(why, why_bytes, "there is no file '%s'", file), false);
    }
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

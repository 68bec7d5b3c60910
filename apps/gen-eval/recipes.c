// Names of recipes -> options of a pipeline.
#include "recipes.h"

#include "common/files.h"
#include "common/flags.h"
#include "common/models.h"

#include <common/attention_table.h>

#include <stdio.h>
#include <string.h>

bool eval_recipe_apply(const char *whole, const char *file, char path[PATH_MAX],
                       ht_pipeline_options *options, char *why, size_t why_bytes) {
    const char *at = strchr(whole, '@');
    char name[NAME_MAX];
    ht_attention_choice choice;
    snprintf(name, sizeof(name), "%.*s", at ? (int)(at - whole) : (int)strlen(whole), whole);
    const bool budget = at && *file && ht_parse_size(at + 1, &options->weights_budget);
    options->attention = at && !budget ? at + 1 : NULL;
    if (at && !budget && !ht_attention_choice_parse(at + 1, &choice)) {
        snprintf(why, why_bytes, "'%s': behind @ expected " HT_ATTENTION_CHOICES, whole);
        return false;
    }
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

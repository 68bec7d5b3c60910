// Finding models and recipes by name in the folders where they may be.
#ifndef HT_APP_MODELS_H
#define HT_APP_MODELS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

// Folder of a model: `name` itself when it is a path, else the first NAME under $HALFTONE_MODELS
// (separated by colons), $XDG_DATA_HOME/halftone/models, the data folder of the installation, and
// the source tree. False with a sentence in `why`.
bool ht_model_find(const char *name, char *path, size_t path_bytes, char *why, size_t why_bytes);

// Every model in those folders: name, path and description ("" when there is none).
typedef void (*ht_model_list_fn)(void *user, const char *name, const char *path,
                                 const char *description);
void ht_model_list(ht_model_list_fn each, void *user);

// The same for recipes: a file when the name has a slash or ends in .json, else NAME.json under
// $HALFTONE_RECIPES and the folders beside those of the models.
bool ht_recipe_path(const char *name, char *path, size_t path_bytes, char *why, size_t why_bytes);
void ht_recipe_list(ht_model_list_fn each, void *user);

// The folder above that of the program, so that an installation can be moved.
bool ht_program_prefix(char prefix[PATH_MAX]);

#endif

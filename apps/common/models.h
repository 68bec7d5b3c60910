// Finding models and recipes by name in the folders where they may be.
#ifndef HT_APP_MODELS_H
#define HT_APP_MODELS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

// Folder or file of a model: `name` itself when it is a path, else the first NAME, NAME.safetensors
// or NAME.gguf under $HALFTONE_MODELS
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

// Where the tokenizer of a model in one file may be: beside `model`, in $HALFTONE_TOKENIZERS and the
// folders beside those of the models, in models of those folders, and in what Hugging Face's
// programs have fetched. A list that ends with NULL, for ht_tokenizer_folders_free; NULL: no memory.
char **ht_tokenizer_folders(const char *model);
void ht_tokenizer_folders_free(char **folders);

// The folder above that of the program, so that an installation can be moved.
bool ht_program_prefix(char prefix[PATH_MAX]);

#endif

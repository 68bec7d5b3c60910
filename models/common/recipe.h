// Recipes: which number formats the layers of a network are computed in. A JSON file of rows, each
// a pattern of layer names with a format of weights and one of activations; the first row that
// matches a layer decides, layers that none matches stay float. docs/cli.md has the keys.
#ifndef HALFTONE_MODELS_RECIPE_H
#define HALFTONE_MODELS_RECIPE_H

#include "weight_map.h"

typedef struct ht_recipe ht_recipe;

// Whether calibration gives a layer's activations static scales: where that loses little (AUTO),
// never or always. Without calibration scales are dynamic.
typedef enum ht_scale_choice {
    HT_SCALES_AUTO,
    HT_SCALES_DYNAMIC,
    HT_SCALES_STATIC,
} ht_scale_choice;

// NONE: float, as the graph and the weights have it. Activations are packed only with weights.
typedef struct ht_layer_formats {
    ht_format weights, activations;
    ht_scale_choice scales;
    // Of the columns that are kept apart; weights NONE: none are.
    struct {
        ht_format weights, activations;
        float share; // of all columns, 0..1
    } salient;
} ht_layer_formats;

// How many of a layer's inputs that is: a multiple of 32, as rows are packed, but at least 32 and not
// all; 0 where there are no more than 32, or none are asked for.
HT_API uint32_t ht_recipe_salient(const ht_layer_formats *formats, uint32_t inputs);

// Read a file. Every failure names it and says in one sentence what is wrong.
HT_API ht_status ht_recipe_open(ht_context *context, const char *path, ht_recipe **out);
// The same from its text; `label` stands for the file in messages.
HT_API ht_status ht_recipe_parse(ht_context *context, const char *label, const char *text,
                                 ht_recipe **out);
HT_API void ht_recipe_destroy(ht_recipe **recipe);
HT_API const char *ht_recipe_name(const ht_recipe *recipe);
HT_API const char *ht_recipe_description(const ht_recipe *recipe); // "" when there is none

// The recipe as JSON, without spaces.
HT_API const char *ht_recipe_text(const ht_recipe *recipe);

// Formats of a layer, by the name of its weight without ".weight". False when no row matches (or
// there is no recipe): both are NONE then.
HT_API bool ht_recipe_find(const ht_recipe *recipe, const char *layer, ht_layer_formats *out);
// Format of a tensor LAYER.weight, or of the two that it is in where columns are kept apart
// (HT_SALIENT_WEIGHT, HT_SALIENT_REST). NONE for all other tensors.
HT_API ht_format ht_recipe_weights(const ht_recipe *recipe, const char *tensor);
// Every row that is not optional must match a layer of the network, and the recipe one: a pattern
// that matches none is a mistake.
HT_API ht_status ht_recipe_check(const ht_recipe *recipe, const ht_weight_map *map);

// Does the pattern match all of the text? * stands for any characters, also none and dots; ? for
// one.
HT_API bool ht_recipe_match(const char *pattern, const char *text);

#endif

// Reading recipes, with jansson, and looking layers up in them.
#include "recipe.h"

#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 1000, MAX_TEXT = 256 };

typedef struct row {
    char match[MAX_TEXT];
    bool optional; // may match no layer
    ht_layer_formats formats;
} row;

struct ht_recipe {
    ht_context *context;
    char *path;
    char name[MAX_TEXT], description[MAX_TEXT];
    row *rows;
    uint32_t n_rows;
    char *text; // malloc'ed by jansson
};

bool ht_recipe_match(const char *pattern, const char *text) {
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            ++pattern;
            ++text;
        } else if (star) { // let the last star take one more
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        ++pattern;
    }
    return !*pattern;
}

static ht_status check_keys(ht_context *context, const char *path, json_t *object,
                            const char *const *known, const char *where) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        bool found = false;
        for (uint32_t i = 0; known[i]; ++i) {
            found = found || strcmp(known[i], key) == 0;
        }
        if (!found) {
            return ht_fail(context, HT_ERR_IO, "recipe '%s'%s: unknown key \"%.60s\"", path, where,
                           key);
        }
    }
    return HT_OK;
}

static ht_status read_text(ht_context *context, const char *path, const json_t *object,
                           const char *key, bool needed, const char *where, char out[MAX_TEXT]) {
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if ((value || needed) && (!text || (needed && !*text))) {
        return ht_fail(context, HT_ERR_IO, "recipe '%s'%s: \"%s\" must be a text", path, where,
                       key);
    }
    if (text && strlen(text) >= MAX_TEXT) {
        return ht_fail(context, HT_ERR_IO, "recipe '%s'%s: \"%s\" has %zu bytes, at most %d fit",
                       path, where, key, strlen(text), MAX_TEXT - 1);
    }
    snprintf(out, MAX_TEXT, "%s", text ? text : "");
    return HT_OK;
}

// Absent and "f16" are both float.
static ht_status read_format(ht_context *context, const char *path, const json_t *object,
                             const char *key, const char *where, ht_format *out) {
    char name[MAX_TEXT];
    ht_status status = read_text(context, path, object, key, false, where, name);
    *out = HT_FORMAT_NONE;
    if (status != HT_OK || !*name || strcmp(name, "f16") == 0) {
        return status;
    }
    *out = ht_format_find(name);
    if (!ht_format_is_packed(*out) && !ht_format_is_stack(*out)) {
        return ht_fail(
            context, HT_ERR_IO, "recipe '%s'%s: \"%s\" is %s '%.60s'; see gen --list-formats", path,
            where, key, *out == HT_FORMAT_NONE ? "the unknown format" : "the plain format", name);
    }
    return HT_OK;
}

typedef struct pair {
    ht_format weights, activations;
} pair;

static ht_status check_pair(ht_context *context, const char *path, const char *where,
                            const pair *formats) {
    if (formats->activations != HT_FORMAT_NONE && formats->weights == HT_FORMAT_NONE) {
        return ht_fail(context, HT_ERR_IO,
                       "recipe '%s'%s: %s activations need packed weights, these are f16", path,
                       where, ht_format_name(formats->activations));
    }
    if (formats->activations != HT_FORMAT_NONE && ht_format_is_stack(formats->weights)) {
        return ht_fail(context, HT_ERR_IO,
                       "recipe '%s'%s: %s activations need packed weights; of residual stacks half "
                       "floats are made",
                       path, where, ht_format_name(formats->activations));
    }
    if (formats->activations == HT_FORMAT_INT4Z) {
        return ht_fail(context, HT_ERR_IO,
                       "recipe '%s'%s: activations cannot be int4z, which has zero points; int4 "
                       "can",
                       path, where);
    }
    if (formats->activations != HT_FORMAT_NONE &&
        !ht_format_for_activations(formats->activations)) {
        return ht_fail(context, HT_ERR_IO,
                       "recipe '%s'%s: activations cannot be %s, which is for weights; int8-planes "
                       "and int4-planes can go with weights in bit planes",
                       path, where, ht_format_name(formats->activations));
    }
    if (ht_format_in_planes(formats->activations) && !ht_format_in_planes(formats->weights)) {
        return ht_fail(context, HT_ERR_IO,
                       "recipe '%s'%s: %s activations need weights in bit planes, not %s; int8 "
                       "activations go with any",
                       path, where, ht_format_name(formats->activations),
                       ht_format_name(formats->weights));
    }
    return HT_OK;
}

static ht_status read_scales(ht_context *context, const char *path, const json_t *object,
                             const char *where, ht_scale_choice *out) {
    static const char *const names[] = {"auto", "dynamic", "static"};
    char name[MAX_TEXT];
    const ht_status status = read_text(context, path, object, "scales", false, where, name);
    *out = HT_SCALES_AUTO;
    if (status != HT_OK || !*name) {
        return status;
    }
    for (int i = 0; i < 3; ++i) {
        if (strcmp(name, names[i]) == 0) {
            *out = (ht_scale_choice)i;
            return HT_OK;
        }
    }
    return ht_fail(context, HT_ERR_IO,
                   "recipe '%s'%s: \"scales\" is '%.60s', expected auto, dynamic or static", path,
                   where, name);
}

uint32_t ht_recipe_salient(const ht_layer_formats *formats, uint32_t inputs) {
    enum { STEP = 32 };
    if (formats->salient.weights == HT_FORMAT_NONE || inputs <= STEP) {
        return 0;
    }
    const uint32_t most = (inputs - 1) / STEP * STEP;
    const uint32_t count =
        (uint32_t)((double)formats->salient.share * inputs / STEP + 0.5) * STEP;
    return count < STEP ? STEP : count > most ? most : count;
}

static ht_status read_salient(ht_context *context, const char *path, json_t *object,
                              const char *in_row, ht_layer_formats *formats) {
    static const char *const known[] = {"share", "weights", "activations", NULL};
    json_t *salient = json_object_get(object, "salient");
    char where[64];
    if (!salient) {
        return HT_OK;
    }
    snprintf(where, sizeof(where), "%s \"salient\"", in_row);
    if (!json_is_object(salient)) {
        return ht_fail(context, HT_ERR_IO, "recipe '%s'%s must be an object", path, where);
    }
    ht_status status = check_keys(context, path, salient, known, where);
    if (status == HT_OK) {
        status = read_format(context, path, salient, "weights", where, &formats->salient.weights);
    }
    if (status == HT_OK) {
        status = read_format(context, path, salient, "activations", where,
                             &formats->salient.activations);
    }
    const double share = json_number_value(json_object_get(salient, "share"));
    formats->salient.share = (float)share;
    if (status == HT_OK && !(share > 0 && share < 1)) {
        status = ht_fail(context, HT_ERR_IO,
                         "recipe '%s'%s: \"share\" must be a number between 0 and 1", path, where);
    }
    if (status == HT_OK && (!ht_format_is_packed(formats->weights) ||
                            !ht_format_is_packed(formats->salient.weights))) {
        status = ht_fail(context, HT_ERR_IO,
                         "recipe '%s'%s: columns are kept apart in packed formats, and from packed "
                         "ones; \"weights\" of both must be such",
                         path, where);
    }
    return status == HT_OK ? check_pair(context, path, where,
                                        &(pair){formats->salient.weights,
                                                formats->salient.activations})
                           : status;
}

static ht_status read_row(ht_recipe *recipe, uint32_t index, json_t *object) {
    static const char *const known[] = {"match",    "weights", "activations", "note",
                                        "optional", "scales",  "salient",     NULL};
    ht_context *context = recipe->context;
    const char *path = recipe->path;
    row *r = &recipe->rows[index];
    char where[32], note[MAX_TEXT];
    snprintf(where, sizeof(where), " row %u", index + 1);
    if (!json_is_object(object)) {
        return ht_fail(context, HT_ERR_IO, "recipe '%s'%s must be an object", path, where);
    }
    ht_status status = check_keys(context, path, object, known, where);
    if (status == HT_OK) {
        status = read_text(context, path, object, "match", true, where, r->match);
    }
    if (status == HT_OK) {
        status = read_text(context, path, object, "note", false, where, note);
    }
    const json_t *optional = json_object_get(object, "optional");
    if (status == HT_OK && optional && !json_is_boolean(optional)) {
        status = ht_fail(context, HT_ERR_IO, "recipe '%s'%s: \"optional\" must be true or false",
                         path, where);
    }
    r->optional = json_is_true(optional);
    if (status == HT_OK) {
        status = read_format(context, path, object, "weights", where, &r->formats.weights);
    }
    if (status == HT_OK) {
        status = read_format(context, path, object, "activations", where, &r->formats.activations);
    }
    if (status == HT_OK) {
        status = read_scales(context, path, object, where, &r->formats.scales);
    }
    if (status == HT_OK) {
        status = read_salient(context, path, object, where, &r->formats);
    }
    return status == HT_OK ? check_pair(context, path, where,
                                        &(pair){r->formats.weights, r->formats.activations})
                           : status;
}

static ht_status read_all(ht_recipe *recipe, json_t *root) {
    static const char *const known[] = {"name", "description", "layers", NULL};
    ht_context *context = recipe->context;
    ht_status status = check_keys(context, recipe->path, root, known, "");
    if (status == HT_OK) {
        status = read_text(context, recipe->path, root, "name", true, "", recipe->name);
    }
    if (status == HT_OK) {
        status =
            read_text(context, recipe->path, root, "description", false, "", recipe->description);
    }
    const json_t *layers = json_object_get(root, "layers");
    if (status == HT_OK && (!json_is_array(layers) || json_array_size(layers) > MAX_ROWS)) {
        status =
            ht_fail(context, HT_ERR_IO, "recipe '%s': \"layers\" must be a list of at most %d rows",
                    recipe->path, MAX_ROWS);
    }
    const uint32_t count = status == HT_OK ? (uint32_t)json_array_size(layers) : 0;
    if (status == HT_OK) {
        recipe->rows = ht_alloc(context, (count ? count : 1) * sizeof(*recipe->rows));
        status = recipe->rows ? HT_OK : HT_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count && status == HT_OK; ++i) {
        status = read_row(recipe, i, json_array_get(layers, i));
        recipe->n_rows = i + 1;
    }
    return status;
}

static ht_status read_root(ht_context *context, const char *label, json_t *root, ht_recipe **out) {
    ht_recipe *recipe = ht_alloc(context, sizeof(*recipe));
    *out = recipe;
    if (!recipe) {
        return HT_ERR_NO_MEMORY;
    }
    *recipe = (ht_recipe){.context = context,
                          .path = ht_strdup(context, label),
                          .text = json_dumps(root, JSON_COMPACT)};
    ht_status status = recipe->path && recipe->text ? read_all(recipe, root) : HT_ERR_NO_MEMORY;
    if (status != HT_OK) {
        ht_recipe_destroy(out);
    }
    return status;
}

ht_status ht_recipe_open(ht_context *context, const char *path, ht_recipe **out) {
    ht_config json;
    *out = NULL;
    ht_status status = ht_config_open(context, NULL, path, &json);
    if (status == HT_OK) {
        status = read_root(context, path, json.root, out);
        ht_config_close(&json);
    }
    return status;
}

ht_status ht_recipe_parse(ht_context *context, const char *label, const char *text,
                          ht_recipe **out) {
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    *out = NULL;
    if (!json_is_object(root)) {
        json_decref(root);
        return ht_fail(context, HT_ERR_IO, "recipe '%s': not a JSON object%s%s", label,
                       root ? "" : ": ", root ? "" : error.text);
    }
    const ht_status status = read_root(context, label, root, out);
    json_decref(root);
    return status;
}

void ht_recipe_destroy(ht_recipe **recipe) {
    ht_recipe *r = *recipe;
    if (r) {
        ht_context *context = r->context;
        free(r->text);
        ht_free(context, r->rows);
        ht_free(context, r->path);
        ht_free(context, r);
        *recipe = NULL;
    }
}

const char *ht_recipe_name(const ht_recipe *recipe) {
    return recipe->name;
}

const char *ht_recipe_text(const ht_recipe *recipe) {
    return recipe->text;
}

const char *ht_recipe_description(const ht_recipe *recipe) {
    return recipe->description;
}

bool ht_recipe_find(const ht_recipe *recipe, const char *layer, ht_layer_formats *out) {
    *out = (ht_layer_formats){0};
    for (uint32_t i = 0; recipe && i < recipe->n_rows; ++i) {
        if (ht_recipe_match(recipe->rows[i].match, layer)) {
            *out = recipe->rows[i].formats;
            return true;
        }
    }
    return false;
}

ht_format ht_recipe_weights(const ht_recipe *recipe, const char *tensor) {
    static const char *const endings[] = {HT_SALIENT_WEIGHT, HT_SALIENT_REST};
    char layer[512];
    ht_layer_formats formats = {0};
    const size_t length = strlen(tensor);
    for (int i = 0; i < 2; ++i) {
        const size_t ending = strlen(endings[i]);
        if (length > ending && length - ending < sizeof(layer) &&
            strcmp(tensor + length - ending, endings[i]) == 0) {
            snprintf(layer, sizeof(layer), "%.*s", (int)(length - ending), tensor);
            ht_recipe_find(recipe, layer, &formats);
            return i == 0 ? formats.salient.weights : formats.weights;
        }
    }
    if (ht_weight_layer(tensor, layer, sizeof(layer))) {
        ht_recipe_find(recipe, layer, &formats);
    }
    return formats.weights;
}

// Name of the layer a weight belongs to; false for biases, norms and tables.
static bool layer_of(const ht_weight_entry *entry, char layer[MAX_TEXT]) {
    return entry->rank >= 2 && ht_weight_layer(entry->name, layer, MAX_TEXT);
}

// Rows for networks of different kinds may stand in one recipe; one that serves no layer at all
// would do nothing without a word.
static ht_status check_use(const ht_recipe *recipe, const ht_weight_map *map) {
    char layer[MAX_TEXT];
    ht_layer_formats formats;
    for (uint32_t e = 0; e < map->count; ++e) {
        if (layer_of(&map->entries[e], layer) && ht_recipe_find(recipe, layer, &formats)) {
            return HT_OK;
        }
    }
    return recipe->n_rows == 0 ? HT_OK
                               : ht_fail(recipe->context, HT_ERR_IO,
                                         "recipe '%s' matches no layer of the model", recipe->path);
}

ht_status ht_recipe_check(const ht_recipe *recipe, const ht_weight_map *map) {
    for (uint32_t i = 0; i < recipe->n_rows; ++i) {
        bool matched = recipe->rows[i].optional;
        char layer[MAX_TEXT];
        for (uint32_t e = 0; e < map->count && !matched; ++e) {
            matched =
                layer_of(&map->entries[e], layer) && ht_recipe_match(recipe->rows[i].match, layer);
        }
        if (!matched) {
            return ht_fail(recipe->context, HT_ERR_IO,
                           "recipe '%s' row %u: \"%s\" matches no layer of the model", recipe->path,
                           i + 1, recipe->rows[i].match);
        }
    }
    return check_use(recipe, map);
}

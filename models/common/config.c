// Typed reading of a checkpoint's JSON files, with jansson.
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 4 << 20 };

static char *join(ht_context *context, const char *folder, const char *file) {
    size_t bytes = (folder ? strlen(folder) + 1 : 0) + strlen(file) + 1;
    char *path = ht_alloc(context, bytes);
    if (path) {
        snprintf(path, bytes, "%s%s%s", folder ? folder : "", folder ? "/" : "", file);
    }
    return path;
}

// Whole file, terminated; NULL on failure (reported).
static char *read_file(ht_context *context, const char *path, size_t *bytes) {
    FILE *stream = fopen(path, "rb");
    char *text = NULL;
    if (!stream) {
        ht_fail(context, HT_ERR_IO, "'%s' cannot be opened", path);
        return NULL;
    }
    if (fseek(stream, 0, SEEK_END) == 0) {
        long size = ftell(stream);
        if (size < 0 || size > MAX_FILE_BYTES) {
            ht_fail(context, HT_ERR_IO, "'%s' has %ld bytes; a configuration has at most %d", path,
                    size, MAX_FILE_BYTES);
        } else {
            rewind(stream);
            text = ht_alloc(context, (size_t)size + 1);
            *bytes = text ? fread(text, 1, (size_t)size, stream) : 0;
        }
    } else {
        ht_fail(context, HT_ERR_IO, "'%s' cannot be read", path);
    }
    fclose(stream);
    return text;
}

// Python writes -Infinity, Infinity and NaN outside strings, which JSON does not know.
static void blank_non_numbers(char *text) {
    static const char *const words[][2] = {
        {"-Infinity", "null     "}, {"Infinity", "null    "}, {"NaN", "0  "}};
    bool quoted = false;
    for (char *p = text; *p; ++p) {
        if (quoted && *p == '\\' && p[1]) {
            ++p;
        } else if (*p == '"') {
            quoted = !quoted;
        }
        for (size_t i = 0; !quoted && i < sizeof(words) / sizeof(*words); ++i) {
            size_t length = strlen(words[i][0]);
            if (strncmp(p, words[i][0], length) == 0) {
                memcpy(p, words[i][1], length);
            }
        }
    }
}

// `path` becomes that of *out on success.
static ht_status parse(ht_context *context, char *path, const char *text, size_t bytes,
                       ht_config *out) {
    json_error_t error;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(root)) {
        *out = (ht_config){.context = context, .owned = true, .path = path, .root = root};
        return HT_OK;
    }
    ht_status status =
        root ? ht_fail(context, HT_ERR_IO, "'%s' must hold a JSON object", path)
             : ht_fail(context, HT_ERR_IO, "'%s' line %d: %s", path, error.line, error.text);
    json_decref(root);
    ht_free(context, path);
    return status;
}

ht_status ht_config_open(ht_context *context, const char *folder, const char *file,
                         ht_config *out) {
    *out = (ht_config){.context = context};
    size_t bytes = 0;
    char *path = join(context, folder, file);
    if (!path) {
        return HT_ERR_NO_MEMORY;
    }
    char *text = read_file(context, path, &bytes);
    if (!text) {
        ht_free(context, path);
        return HT_ERR_IO;
    }
    if (strlen(text) == bytes) {
        blank_non_numbers(text);
    }
    ht_status status = parse(context, path, text, bytes, out);
    ht_free(context, text);
    return status;
}

ht_status ht_config_parse(ht_context *context, const char *name, const char *text, ht_config *out) {
    *out = (ht_config){.context = context};
    char *path = join(context, NULL, name);
    return path ? parse(context, path, text, strlen(text), out) : HT_ERR_NO_MEMORY;
}

void ht_config_close(ht_config *json) {
    if (json->root && json->owned) {
        json_decref(json->root);
        ht_free(json->context, json->path);
    }
    *json = (ht_config){0};
}

bool ht_config_exists(const char *folder, const char *file) {
    char path[4096];
    int length = snprintf(path, sizeof(path), "%s/%s", folder, file);
    FILE *stream = length > 0 && (size_t)length < sizeof(path) ? fopen(path, "rb") : NULL;
    if (stream) {
        fclose(stream);
    }
    return stream != NULL;
}

static const json_t *find(const ht_config *json, const char *key) {
    if (json->status != HT_OK || !json->root) {
        return NULL;
    }
    const json_t *value = json_object_get(json->root, key);
    return json_is_null(value) ? NULL : value;
}

static void wrong(ht_config *json, const char *key, const json_t *value, const char *expected) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    json->status = ht_fail(json->context, HT_ERR_IO, "'%s': \"%s\" is %.60s, expected %s",
                           json->path, key, text ? text : "?", expected);
    free(text);
}

bool ht_config_has(const ht_config *json, const char *key) {
    return find(json, key) != NULL;
}

bool ht_config_is_null(const ht_config *json, const char *key) {
    return json->root && json_is_null(json_object_get(json->root, key));
}

static bool whole(const json_t *value, uint32_t min, uint32_t max, uint32_t *out) {
    double real = json_number_value(value);
    if (!json_is_number(value) || real < min || real > max || real != (double)(uint32_t)real) {
        return false;
    }
    *out = (uint32_t)real;
    return true;
}

bool ht_config_is_list(const ht_config *json, const char *key) {
    return json->root && json_is_array(json_object_get(json->root, key));
}

uint32_t ht_config_u32(ht_config *json, const char *key, uint32_t fallback, uint32_t min,
                       uint32_t max) {
    const json_t *value = find(json, key);
    uint32_t number = fallback;
    if (value && !whole(value, min, max, &number)) {
        char expected[64];
        snprintf(expected, sizeof(expected), "a whole number from %u to %u", min, max);
        wrong(json, key, value, expected);
    }
    return number;
}

double ht_config_real(ht_config *json, const char *key, double fallback, double min, double max) {
    const json_t *value = find(json, key);
    if (!value) {
        return fallback;
    }
    double real = json_number_value(value);
    if (!json_is_number(value) || !(real >= min && real <= max)) {
        char expected[64];
        snprintf(expected, sizeof(expected), "a number from %g to %g", min, max);
        wrong(json, key, value, expected);
        return fallback;
    }
    return real;
}

bool ht_config_bool(ht_config *json, const char *key, bool fallback) {
    const json_t *value = find(json, key);
    if (value && !json_is_boolean(value)) {
        wrong(json, key, value, "true or false");
        return fallback;
    }
    return value ? json_is_true(value) : fallback;
}

const char *ht_config_text(ht_config *json, const char *key, const char *fallback) {
    const json_t *value = find(json, key);
    if (value && !json_is_string(value)) {
        wrong(json, key, value, "a text");
        return fallback;
    }
    return value ? json_string_value(value) : fallback;
}

const char *ht_config_text_item(ht_config *json, const char *key, uint32_t index) {
    const json_t *list = find(json, key);
    if (list && !json_is_array(list)) {
        wrong(json, key, list, "a list");
        return NULL;
    }
    const json_t *item = list ? json_array_get(list, index) : NULL;
    return json_is_string(item) ? json_string_value(item) : NULL;
}

// Length of the list under a key, checked against the room for it.
static size_t list_length(ht_config *json, const char *key, const json_t *list, uint32_t capacity) {
    if (!list) {
        return 0;
    }
    if (!json_is_array(list) || json_array_size(list) > capacity) {
        char expected[64];
        snprintf(expected, sizeof(expected), "a list of at most %u numbers", capacity);
        wrong(json, key, list, expected);
        return 0;
    }
    return json_array_size(list);
}

uint32_t ht_config_u32_list(ht_config *json, const char *key, uint32_t *values, uint32_t capacity,
                            uint32_t min, uint32_t max) {
    const json_t *list = find(json, key);
    size_t count = list_length(json, key, list, capacity);
    for (size_t i = 0; i < count; ++i) {
        if (!whole(json_array_get(list, i), min, max, &values[i])) {
            char expected[64];
            snprintf(expected, sizeof(expected), "whole numbers from %u to %u", min, max);
            wrong(json, key, list, expected);
            return 0;
        }
    }
    return (uint32_t)count;
}

uint32_t ht_config_real_list(ht_config *json, const char *key, float *values, uint32_t capacity) {
    const json_t *list = find(json, key);
    size_t count = list_length(json, key, list, capacity);
    for (size_t i = 0; i < count; ++i) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_number(item)) {
            wrong(json, key, list, "a list of numbers");
            return 0;
        }
        values[i] = (float)json_number_value(item);
    }
    return (uint32_t)count;
}

uint32_t ht_config_bool_list(ht_config *json, const char *key, bool *values, uint32_t capacity) {
    const json_t *list = find(json, key);
    size_t count = list_length(json, key, list, capacity);
    for (size_t i = 0; i < count; ++i) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_boolean(item)) {
            wrong(json, key, list, "a list of true and false");
            return 0;
        }
        values[i] = json_is_true(item);
    }
    return (uint32_t)count;
}

bool ht_config_object(ht_config *json, const char *key, ht_config *child) {
    const json_t *value = find(json, key);
    *child = (ht_config){.context = json->context, .path = json->path};
    if (value && !json_is_object(value)) {
        wrong(json, key, value, "an object");
        return false;
    }
    child->root = value ? json_object_get(json->root, key) : NULL;
    return value != NULL;
}

// Typed reading of a checkpoint's JSON files: defaults for missing fields, plausible ranges, and
// failures that name the file and the key. The first failure is kept; later reads do nothing.
#ifndef HT_MODELS_CONFIG_H
#define HT_MODELS_CONFIG_H

#include <halftone/context.h>

struct json_t;

typedef struct ht_config {
    ht_context *context;
    char *path;
    struct json_t *root;
    bool owned;
    ht_status status;
} ht_config;

// Read folder/file (or `file` alone when folder is NULL); the top level must be an object. Python's
// Infinity counts as null, its NaN as 0. On failure *out is empty and needs no close.
ht_status ht_config_open(ht_context *context, const char *folder, const char *file, ht_config *out);
// The same of a text that the program has; `name` is for messages.
ht_status ht_config_parse(ht_context *context, const char *name, const char *text, ht_config *out);
void ht_config_close(ht_config *json);
bool ht_config_exists(const char *folder, const char *file);

// True when the key is there and not null.
bool ht_config_has(const ht_config *json, const char *key);
// True when the key is there and null.
bool ht_config_is_null(const ht_config *json, const char *key);
bool ht_config_is_list(const ht_config *json, const char *key);
uint32_t ht_config_u32(ht_config *json, const char *key, uint32_t fallback, uint32_t min,
                       uint32_t max);
double ht_config_real(ht_config *json, const char *key, double fallback, double min, double max);
bool ht_config_bool(ht_config *json, const char *key, bool fallback);
// The text lives as long as the file is open.
const char *ht_config_text(ht_config *json, const char *key, const char *fallback);
// An item of a list of texts, NULL when the list is that short or the item is null.
const char *ht_config_text_item(ht_config *json, const char *key, uint32_t index);
// A list of numbers; returns how many (0: absent). More than `capacity` is a failure.
uint32_t ht_config_u32_list(ht_config *json, const char *key, uint32_t *values, uint32_t capacity,
                            uint32_t min, uint32_t max);
uint32_t ht_config_real_list(ht_config *json, const char *key, float *values, uint32_t capacity);
uint32_t ht_config_bool_list(ht_config *json, const char *key, bool *values, uint32_t capacity);
// The object under a key; false when absent. The child needs no close, but its status a look.
bool ht_config_object(ht_config *json, const char *key, ht_config *child);

#endif

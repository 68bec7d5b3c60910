// Lists of values in a job: prompts, and a matrix of fields.
#include "batch.h"

#include "common/prompts.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static bool add_axis(batch_axes *out, const char *key, json_t *values, char *why,
                     size_t why_bytes) {
    const ht_flag *field = ht_job_field_find(key);
    const size_t size = json_array_size(values);
    if (!values) {
        return false;
    }
    for (size_t i = 0; i < out->count && field; ++i) {
        if (ht_job_field_find(out->axes[i].key) == field) {
            snprintf(why, why_bytes, "\"%s\" has two lists of values", key);
            json_decref(values);
            return false;
        }
    }
    if (out->count == BATCH_MAX_AXES || size == 0 || size > BATCH_MAX_TASKS / out->combinations) {
        snprintf(why, why_bytes,
                 size == 0 ? "\"%s\": the list of values is empty"
                           : "\"%s\": more than %d lists, or more than %d jobs, from one line",
                 key, BATCH_MAX_AXES, BATCH_MAX_TASKS);
        json_decref(values);
        return false;
    }
    out->axes[out->count++] = (batch_axis){.key = key, .values = values};
    out->combinations *= size;
    return true;
}

static json_t *prompts_of_file(const json_t *path, char *why, size_t why_bytes) {
    ht_prompts prompts;
    if (!json_is_string(path)) {
        snprintf(why, why_bytes, "\"prompt_file\": expected a text");
        return NULL;
    }
    if (!ht_prompts_read(json_string_value(path), 0, &prompts, why, why_bytes)) {
        return NULL;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < prompts.count && list; ++i) {
        if (json_array_append_new(list, json_string(prompts.texts[i])) != 0) {
            snprintf(why, why_bytes, "\"prompt_file\": prompt %zu is not UTF-8", i + 1);
            json_decref(list);
            list = NULL;
        }
    }
    ht_prompts_free(&prompts);
    return list;
}

static json_t *values_of(const char *key, json_t *value, char *why, size_t why_bytes) {
    const ht_flag *field = ht_job_field_find(key);
    const bool number = field && (field->kind == HT_FLAG_U32 || field->kind == HT_FLAG_I64 ||
                                  field->kind == HT_FLAG_REAL);
    char reason[256];
    if (json_is_array(value)) {
        return json_incref(value);
    }
    if (!number || !json_is_string(value)) {
        snprintf(why, why_bytes, "\"matrix\": \"%s\": expected a list of values%s", key,
                 number ? " or a text as \"1-5\"" : "");
        return NULL;
    }
    json_t *list =
        batch_range(json_string_value(value), field->kind != HT_FLAG_REAL, reason, sizeof(reason));
    if (!list) {
        snprintf(why, why_bytes, "\"matrix\": \"%s\": %s", key, reason);
    }
    return list;
}

bool batch_axes_read(const json_t *line, batch_axes *out, char *why, size_t why_bytes) {
    json_t *prompts = json_object_get(line, "prompts"), *matrix = json_object_get(line, "matrix");
    const json_t *file = json_object_get(line, "prompt_file");
    const char *key;
    json_t *value;
    *out = (batch_axes){.combinations = 1};
    bool good = true;
    if (prompts && !json_is_array(prompts)) {
        snprintf(why, why_bytes, "\"prompts\": expected a list of texts");
        return false;
    }
    if (matrix && !json_is_object(matrix)) {
        snprintf(why, why_bytes, "\"matrix\": expected an object of lists");
        return false;
    }
    if (prompts) {
        good = add_axis(out, "prompt", json_incref(prompts), why, why_bytes);
    }
    if (good && file) {
        good = add_axis(out, "prompt", prompts_of_file(file, why, why_bytes), why, why_bytes);
    }
    json_object_foreach(matrix, key, value) {
        good = good && add_axis(out, key, values_of(key, value, why, why_bytes), why, why_bytes);
    }
    if (!good) {
        batch_axes_free(out);
    }
    return good;
}

void batch_axes_free(batch_axes *axes) {
    for (size_t i = 0; i < axes->count; ++i) {
        json_decref(axes->axes[i].values);
    }
    *axes = (batch_axes){0};
}

json_t *batch_axes_at(const batch_axes *axes, size_t index) {
    json_t *object = json_object();
    for (size_t i = axes->count; i-- > 0 && object;) {
        const size_t size = json_array_size(axes->axes[i].values);
        if (json_object_set(object, axes->axes[i].key,
                            json_array_get(axes->axes[i].values, index % size)) != 0) {
            json_decref(object);
            object = NULL;
        }
        index /= size;
    }
    return object;
}

// Jobs from and to JSON, by the table of fields.
#include "job.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool expected(char *why, size_t why_bytes, const char *key, const char *what) {
    snprintf(why, why_bytes, "\"%s\": expected %s", key, what);
    return false;
}

// A text of JSON may hold a zero byte, which a path or prompt of C cannot.
static const char *text_of(const json_t *value) {
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static bool set_number(const ht_flag *field, const char *key, const json_t *value, void *where,
                       char *why, size_t why_bytes) {
    char what[96];
    const bool whole = field->kind == HT_FLAG_U32;
    const double number = json_number_value(value);
    snprintf(what, sizeof(what), "a %snumber from %.10g to %.10g", whole ? "whole " : "",
             field->min, field->max);
    if (!json_is_number(value) || !(number >= field->min && number <= field->max) ||
        (whole && number != floor(number))) {
        return expected(why, why_bytes, key, what);
    }
    if (whole) {
        *(uint32_t *)where = (uint32_t)number;
    } else {
        *(double *)where = number;
    }
    return true;
}

static bool set_list(const char *key, const json_t *value, ht_flag_list *list, char *why,
                     size_t why_bytes) {
    char what[64];
    const size_t count = json_is_array(value) ? json_array_size(value) : 1;
    snprintf(what, sizeof(what), "a text or a list of at most %d texts", HT_FLAG_LIST_ITEMS);
    list->count = 0;
    for (size_t i = 0; i < count && i <= HT_FLAG_LIST_ITEMS; ++i) {
        const char *text = text_of(json_is_array(value) ? json_array_get(value, i) : value);
        if (!text || i == HT_FLAG_LIST_ITEMS) {
            return expected(why, why_bytes, key, what);
        }
        list->items[list->count++] = text;
    }
    return true;
}

static void reset(ht_job *job, const ht_flag *field) {
    static const size_t sizes[] = {
        [HT_FLAG_BOOL] = sizeof(bool),    [HT_FLAG_TEXT] = sizeof(char *),
        [HT_FLAG_U32] = sizeof(uint32_t), [HT_FLAG_I64] = sizeof(int64_t),
        [HT_FLAG_REAL] = sizeof(double),  [HT_FLAG_LIST] = sizeof(ht_flag_list),
    };
    memcpy((char *)job + field->offset, (const char *)&ht_job_defaults + field->offset,
           sizes[field->kind]);
}

static bool set_field(ht_job *job, const ht_flag *field, const char *key, const json_t *value,
                      char *why, size_t why_bytes) {
    void *where = (char *)job + field->offset;
    if (json_is_null(value)) {
        reset(job, field);
        return true;
    }
    switch (field->kind) {
    case HT_FLAG_BOOL:
        *(bool *)where = json_is_true(value);
        return json_is_boolean(value) || expected(why, why_bytes, key, "true or false");
    case HT_FLAG_TEXT:
        *(const char **)where = text_of(value);
        return text_of(value) || expected(why, why_bytes, key, "a text");
    case HT_FLAG_I64:
        *(int64_t *)where = json_integer_value(value);
        return json_is_integer(value) || expected(why, why_bytes, key, "a whole number");
    case HT_FLAG_LIST: return set_list(key, value, where, why, why_bytes);
    default: return set_number(field, key, value, where, why, why_bytes);
    }
}

bool ht_job_set_json(ht_job *job, const char *key, const json_t *value, char *why,
                     size_t why_bytes) {
    const ht_flag *field = ht_job_field_find(key);
    if (!field) {
        char name[64], near[64];
        snprintf(name, sizeof(name), "%s", key);
        for (char *c = name; *c; ++c) {
            *c = *c == '_' ? '-' : *c;
        }
        const ht_flag *nearest = ht_flag_nearest(ht_job_fields, ht_job_field_count, name);
        if (nearest) {
            ht_job_field_key(nearest, near);
            snprintf(why, why_bytes, "there is no field \"%.80s\"; did you mean \"%s\"?", key,
                     near);
        } else {
            snprintf(why, why_bytes, "there is no field \"%.80s\"", key);
        }
        return false;
    }
    if (field->kind == HT_FLAG_LATER) {
        snprintf(why, why_bytes, "\"%s\" (%s) is not in this version", key, field->help);
        return false;
    }
    return set_field(job, field, key, value, why, why_bytes);
}

// Fields of which one statement replaces all earlier ones: what the recipe is, how large the second pass.
static int alternatives_of(const ht_flag *field) {
    const size_t second[] = {offsetof(ht_job, hires), offsetof(ht_job, hires_scale),
                             offsetof(ht_job, hires_width), offsetof(ht_job, hires_height)};
    if (ht_job_is_short_recipe(field) ||
        (field->kind == HT_FLAG_BOOL && field->offset == offsetof(ht_job, fp32)) ||
        (field->kind == HT_FLAG_TEXT && field->offset == offsetof(ht_job, recipe))) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(second) / sizeof(*second); ++i) {
        if (field->kind != HT_FLAG_GROUP && field->kind != HT_FLAG_LATER &&
            field->offset == second[i]) {
            return 2;
        }
    }
    return 0;
}

static void forget_alternatives(ht_job *job, const json_t *object) {
    bool said[3] = {false};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        const ht_flag *field = ht_job_field_find(key);
        said[field ? alternatives_of(field) : 0] = true;
    }
    said[0] = false; // a field of its own
    for (size_t i = 0; i < ht_job_field_count; ++i) {
        if (said[alternatives_of(&ht_job_fields[i])]) {
            reset(job, &ht_job_fields[i]);
        }
    }
}

void ht_job_make_room(ht_job *job, const ht_job *said) {
    json_t *object = ht_job_json(said);
    forget_alternatives(job, object);
    json_decref(object);
}

bool ht_job_read_json(ht_job *job, const json_t *object, char *why, size_t why_bytes) {
    const char *key;
    json_t *value;
    if (!json_is_object(object)) {
        snprintf(why, why_bytes, "expected an object");
        return false;
    }
    forget_alternatives(job, object);
    json_object_foreach((json_t *)object, key, value) {
        if (!ht_job_set_json(job, key, value, why, why_bytes)) {
            return false;
        }
    }
    return true;
}

json_t *ht_job_field_json(const ht_job *job, const ht_flag *field) {
    const void *where = (const char *)job + field->offset;
    switch (field->kind) {
    case HT_FLAG_BOOL: return json_boolean(*(const bool *)where);
    case HT_FLAG_TEXT: {
        const char *text = *(const char *const *)where;
        return text ? json_string(text) : json_null();
    }
    case HT_FLAG_U32: return json_integer(*(const uint32_t *)where);
    case HT_FLAG_I64: return json_integer((json_int_t) * (const int64_t *)where);
    case HT_FLAG_REAL: return json_real(*(const double *)where);
    default: break;
    }
    const ht_flag_list *list = where;
    json_t *array = json_array();
    for (uint32_t i = 0; i < list->count; ++i) {
        if (json_array_append_new(array, json_string(list->items[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *ht_job_json(const ht_job *job) {
    json_t *object = json_object();
    for (size_t i = 0; i < ht_job_field_count && object; ++i) {
        const ht_flag *field = &ht_job_fields[i];
        char key[64];
        if (ht_job_same_field(job, &ht_job_defaults, field)) {
            continue;
        }
        ht_job_field_key(field, key);
        if (json_object_set_new(object, key, ht_job_field_json(job, field)) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

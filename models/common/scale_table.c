// Reading tables of static scales, with jansson.
#include "scale_table.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { VERSION = 1, MAX_STEPS = 1000, MAX_LAYERS = 100000, NAME_BYTES = 200 };

typedef struct layer {
    char name[NAME_BYTES];
    uint32_t scale;
} layer;

struct ht_scale_table {
    ht_context *context;
    uint32_t steps, scales, layers;
    float *timesteps; // [steps]
    float *values;    // [scales][steps]
    layer *list;
};

static ht_status refuse(ht_context *context, const char *label, const char *what) {
    return ht_fail(context, HT_ERR_IO, "weights '%s': %s: %s", label, HT_SCALE_TABLE_KEY, what);
}

// The numbers of a list of t->steps positive ones into `out`.
static bool read_row(const ht_scale_table *t, const json_t *list, bool positive, float *out) {
    if (json_array_size(list) != t->steps) {
        return false;
    }
    for (uint32_t i = 0; i < t->steps; ++i) {
        const json_t *value = json_array_get(list, i);
        out[i] = (float)json_number_value(value);
        if (!json_is_number(value) || !isfinite(out[i]) || (positive && !(out[i] > 0))) {
            return false;
        }
    }
    return true;
}

// The number of the row of scales that was just read: one that is there already, or its own.
static uint32_t place_row(ht_scale_table *t) {
    const float *last = t->values + (size_t)t->scales * t->steps;
    for (uint32_t i = 0; i < t->scales; ++i) {
        if (memcmp(t->values + (size_t)i * t->steps, last, t->steps * sizeof(*last)) == 0) {
            return i;
        }
    }
    return t->scales++;
}

static ht_status read_layers(ht_scale_table *t, const char *label, json_t *layers) {
    const char *name;
    json_t *row;
    json_object_foreach(layers, name, row) {
        if (strlen(name) >= NAME_BYTES ||
            !read_row(t, row, true, t->values + (size_t)t->scales * t->steps)) {
            return ht_fail(t->context, HT_ERR_IO,
                           "weights '%s': %s: '%.200s' needs %u positive scales", label,
                           HT_SCALE_TABLE_KEY, name, t->steps);
        }
        layer *l = &t->list[t->layers++];
        memcpy(l->name, name, strlen(name) + 1);
        l->scale = place_row(t);
    }
    return HT_OK;
}

static ht_status read_root(ht_scale_table *t, const char *label, const json_t *root) {
    const json_t *timesteps = json_object_get(root, "timesteps");
    json_t *layers = json_object_get(root, "layers");
    const json_int_t version = json_integer_value(json_object_get(root, "version"));
    const size_t count = json_object_size(layers);
    t->steps = (uint32_t)json_array_size(timesteps);
    if (version != VERSION) {
        return ht_fail(t->context, HT_ERR_IO, "weights '%s': %s: version %lld, expected %d", label,
                       HT_SCALE_TABLE_KEY, (long long)version, VERSION);
    }
    if (t->steps == 0 || json_array_size(timesteps) > MAX_STEPS || !json_is_object(layers) ||
        count > MAX_LAYERS) {
        return refuse(t->context, label, "no list of timesteps, no layers, or too many");
    }
    t->timesteps = ht_alloc(t->context, t->steps * sizeof(*t->timesteps));
    t->values = ht_alloc(t->context, (count + 1) * t->steps * sizeof(*t->values));
    t->list = ht_alloc(t->context, (count + 1) * sizeof(*t->list));
    if (!t->timesteps || !t->values || !t->list) {
        return HT_ERR_NO_MEMORY;
    }
    if (!read_row(t, timesteps, false, t->timesteps)) {
        return refuse(t->context, label, "a timestep is not a number");
    }
    for (uint32_t i = 1; i < t->steps; ++i) {
        if (!(t->timesteps[i] < t->timesteps[i - 1])) {
            return refuse(t->context, label, "timesteps do not fall");
        }
    }
    return read_layers(t, label, layers);
}

ht_status ht_scale_table_parse(ht_context *context, const char *label, const char *text,
                               ht_scale_table **out) {
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ht_scale_table *t = ht_alloc(context, sizeof(*t));
    ht_status status = t ? HT_OK : HT_ERR_NO_MEMORY;
    *out = t;
    if (t) {
        t->context = context;
        status = root ? read_root(t, label, root) : refuse(context, label, "not JSON");
    }
    json_decref(root);
    if (status != HT_OK) {
        ht_scale_table_destroy(out);
    }
    return status;
}

void ht_scale_table_destroy(ht_scale_table **table) {
    ht_scale_table *t = *table;
    if (t) {
        ht_context *context = t->context;
        ht_free(context, t->timesteps);
        ht_free(context, t->values);
        ht_free(context, t->list);
        ht_free(context, t);
        *table = NULL;
    }
}

uint32_t ht_scale_table_count(const ht_scale_table *t) {
    return t->scales;
}

uint32_t ht_scale_table_find(const ht_scale_table *t, const char *name) {
    for (uint32_t i = 0; i < t->layers; ++i) {
        if (strcmp(t->list[i].name, name) == 0) {
            return t->list[i].scale;
        }
    }
    return UINT32_MAX;
}

void ht_scale_table_at(const ht_scale_table *t, float timestep, float *scales) {
    uint32_t after = 0; // the first calibrated timestep that is not above
    while (after < t->steps && t->timesteps[after] > timestep) {
        ++after;
    }
    const uint32_t high = after > 0 ? after - 1 : 0;
    const uint32_t low = after < t->steps ? after : t->steps - 1;
    const float span = t->timesteps[high] - t->timesteps[low];
    const float share = span > 0 ? (t->timesteps[high] - timestep) / span : 0;
    for (uint32_t i = 0; i < t->scales; ++i) {
        const float *row = t->values + (size_t)i * t->steps;
        scales[i] = high == low || share <= 0 ? row[high]
                    : share >= 1              ? row[low]
                                              : row[high] * powf(row[low] / row[high], share);
    }
}

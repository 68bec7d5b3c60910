// Statistics as a safetensors file: arrays as tensors, the rest as JSON (docs/calibration.md).
#include "stats_internal.h"

#include "formats.h"
#include "safetensors_writer.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char KEY[] = "halftone.statistics";
enum { VERSION = 1, NAME_BYTES = 300, MOST = 1 << 20, MOST_WIDTH = 1 << 24, MOST_KERNEL = 64 };

static const char *const stages[] = {"time", "text", "step"};

// ---- writing

static json_t *input_json(const ht_input_stats *s) {
    json_t *json = json_pack("{s:s, s:s, s:i, s:[i, i], s:i}", "name", s->name, "stage",
                             stages[s->stage], "width", (int)s->width, "kernel", (int)s->kernel_h,
                             (int)s->kernel_w, "steps", (int)s->steps);
    if (s->gram != NULL) {
        json_object_update_new(json, json_pack("{s:b, s:f}", "gram_pixels", s->gram_pixels,
                                               "gram_rows", s->gram_rows));
    }
    if (s->tokens != 0) {
        json_object_update_new(json, json_pack("{s:i, s:f, s:f}", "tokens", (int)s->tokens,
                                               "token_texts", s->token_texts, "first_spread",
                                               s->first_spread));
    }
    return json;
}

static char *describe(const ht_stats *stats) {
    const ht_stats_desc *d = &stats->desc;
    json_t *inputs = json_array(), *layers = json_array(), *timesteps = json_array();
    for (uint32_t i = 0; i < stats->n_inputs; i++) {
        json_array_append_new(inputs, input_json(&stats->inputs[i].s));
    }
    for (uint32_t i = 0; i < stats->n_layers; i++) {
        json_array_append_new(layers, json_pack("[s, i]", stats->layers[i].name,
                                                (int)stats->layers[i].input));
    }
    for (uint32_t i = 0; i < stats->n_timesteps; i++) {
        json_array_append_new(timesteps, json_real((double)stats->timesteps[i]));
    }
    json_t *json = json_pack(
        "{s:i, s:i, s:i, s:b, s:i, s:i, s:o, s:o, s:o, s:o}", "version", VERSION, "prompts",
        (int)stats->prompts, "rows", (int)d->rows, "gram", d->gram, "gram_width",
        (int)d->gram_width, "gram_rows", (int)d->gram_rows, "timesteps", timesteps, "inputs",
        inputs, "layers", layers, "conditions", json_loads(stats->conditions, 0, NULL));
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

// Whole matrices in the file, whatever half is computed.
static ht_status write_array(const ht_stats *stats, ht_st_writer *writer, uint32_t tensor,
                             const ht_input_stats *s, const ht_stats_array *a) {
    if (*a->memory == (void *)s->gram) {
        for (uint32_t b = 0; b < s->gram_blocks; b++) {
            ht_gram_mirror(s->gram + (uint64_t)b * s->gram_block * s->gram_block, s->gram_block);
        }
    }
    if (strcmp(a->dtype, "F16") != 0) {
        return ht_st_writer_write(writer, tensor, 0, *a->memory, a->count * a->size);
    }
    void *halves = ht_alloc(stats->context, a->count * 2);
    if (halves == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    ht_format_pack(HT_FORMAT_F16, *a->memory, halves, a->count);
    const ht_status status = ht_st_writer_write(writer, tensor, 0, halves, a->count * 2);
    ht_free(stats->context, halves);
    return status;
}

// First all headers, then all values.
static ht_status write_inputs(const ht_stats *stats, ht_st_writer *writer) {
    ht_status status = HT_OK;
    for (int values = 0; values < 2; values++) {
        uint32_t tensor = 0;
        for (uint32_t i = 0; i < stats->n_inputs; i++) {
            ht_input_stats *s = &stats->inputs[i].s;
            ht_stats_array arrays[HT_STATS_ARRAYS];
            const uint32_t count = ht_stats_arrays(s, arrays);
            for (uint32_t k = 0; k < count; k++) {
                const ht_stats_array *a = &arrays[k];
                char name[NAME_BYTES];
                snprintf(name, sizeof name, "%s.%s", s->name, a->suffix);
                const uint64_t bytes = a->count * (strcmp(a->dtype, "F16") == 0 ? 2 : a->size);
                if (values == 0) {
                    ht_st_writer_add(writer, name, a->dtype, a->rank, a->dims, bytes);
                } else {
                    HT_TRY(write_array(stats, writer, tensor++, s, a));
                }
            }
        }
        if (values == 0) {
            HT_TRY(ht_st_writer_begin(writer));
        }
    }
fail:
    return status;
}

ht_status ht_stats_save(const ht_stats *stats, const char *path) {
    ht_st_writer *writer = NULL;
    ht_status status = HT_OK;
    char *text = describe(stats);
    if (text == NULL) {
        return ht_fail(stats->context, HT_ERR_INVALID, "the conditions of '%s' are no JSON", path);
    }
    HT_TRY(ht_st_writer_open(stats->context, path, true, &writer));
    ht_st_writer_metadata(writer, KEY, text);
    HT_TRY(write_inputs(stats, writer));
    HT_TRY(ht_st_writer_finish(writer));
fail:
    ht_st_writer_close(&writer);
    free(text);
    return status;
}

// ---- reading

typedef struct reader {
    ht_context *context;
    ht_weights *file;
    const char *path;
    ht_stats *stats;
} reader;

static ht_status refuse(const reader *r, const char *what) {
    return ht_fail(r->context, HT_ERR_IO, "statistics '%s': %s", r->path, what);
}

// A whole number of an object; one that is out of range clears *good.
static uint32_t number(const json_t *object, const char *key, uint32_t least, uint32_t most,
                       bool *good) {
    const json_t *value = json_object_get(object, key);
    const json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < least || n > most) {
        *good = false;
        return least;
    }
    return (uint32_t)n;
}

static double real(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static bool read_like(const json_t *json, ht_input_stats *s) {
    const json_t *kernel = json_object_get(json, "kernel");
    const char *stage = json_string_value(json_object_get(json, "stage"));
    bool good = json_array_size(kernel) == 2 && stage != NULL, known = false;
    *s = (ht_input_stats){.name = json_string_value(json_object_get(json, "name"))};
    for (int i = 0; good && i < 3; i++) {
        if (strcmp(stage, stages[i]) == 0) {
            s->stage = (ht_stats_stage)i;
            known = true;
        }
    }
    s->kernel_h = (uint32_t)json_integer_value(json_array_get(kernel, 0));
    s->kernel_w = (uint32_t)json_integer_value(json_array_get(kernel, 1));
    s->width = number(json, "width", 1, MOST_WIDTH, &good);
    s->steps = number(json, "steps", 1, 1000, &good);
    s->tokens = json_object_get(json, "tokens") ? number(json, "tokens", 1, MOST, &good) : 0;
    return good && known && s->name != NULL && s->kernel_h - 1 < MOST_KERNEL &&
           s->kernel_w - 1 < MOST_KERNEL && strlen(s->name) < NAME_BYTES - 20;
}

// Is the tensor there, of this type and size?
static const ht_weight_info *find_array(const reader *r, const ht_input_stats *s,
                                        const ht_stats_array *a) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.%s", s->name, a->suffix);
    const ht_weight_info *info = ht_weights_find(r->file, name);
    const uint64_t bytes = a->count * (strcmp(a->dtype, "F16") == 0 ? 2 : a->size);
    return info != NULL && strcmp(info->dtype, a->dtype) == 0 && info->bytes == bytes ? info : NULL;
}

static ht_status read_input(const reader *r, const json_t *json) {
    ht_input_stats like;
    ht_stats_array arrays[HT_STATS_ARRAYS];
    uint32_t index;
    ht_status status = HT_OK;
    if (!read_like(json, &like)) {
        return refuse(r, "an input's description is not one");
    }
    ht_stats_size_input(r->stats, &like); // before memory of that size is taken
    const uint32_t count = ht_stats_arrays(&like, arrays);
    for (uint32_t i = 0; i < count; i++) {
        if (find_array(r, &like, &arrays[i]) == NULL) {
            return ht_fail(r->context, HT_ERR_IO,
                           "statistics '%s': tensor '%s.%s' is missing, or not %llu values of %s",
                           r->path, like.name, arrays[i].suffix,
                           (unsigned long long)arrays[i].count, arrays[i].dtype);
        }
    }
    HT_TRY(ht_stats_add_input(r->stats, &like, &index));
    ht_input_stats *s = &r->stats->inputs[index].s;
    r->stats->inputs[index].value = UINT32_MAX;
    s->gram_rows = real(json, "gram_rows");
    s->token_texts = real(json, "token_texts");
    s->first_spread = real(json, "first_spread");
    ht_stats_arrays(s, arrays);
    for (uint32_t i = 0; i < count; i++) {
        const ht_weight_info *info = find_array(r, s, &arrays[i]);
        if (strcmp(arrays[i].dtype, "F16") == 0) {
            ht_format_unpack(HT_FORMAT_F16, info->data, *arrays[i].memory, arrays[i].count);
        } else {
            memcpy(*arrays[i].memory, info->data, info->bytes);
        }
    }
fail:
    return status;
}

// Bins must be powers of two, or adding values would not find theirs.
static bool good_ranges(const ht_input_stats *s) {
    for (uint32_t i = 0; i < s->steps; i++) {
        int exponent;
        const ht_step_range *range = &s->ranges[i];
        const bool empty = range->count == 0 && range->bin == 0;
        if (!empty && (!(range->bin > 1e-60) || !(range->bin < 1e60) ||
                       frexp(range->bin, &exponent) != 0.5 || !isfinite(range->least) ||
                       !isfinite(range->most))) {
            return false;
        }
    }
    return true;
}

static ht_status read_lists(const reader *r, const json_t *root) {
    const json_t *inputs = json_object_get(root, "inputs");
    const json_t *layers = json_object_get(root, "layers");
    const json_t *timesteps = json_object_get(root, "timesteps");
    ht_stats *stats = r->stats;
    ht_status status = HT_OK;
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        HT_TRY(read_input(r, json_array_get(inputs, i)));
        if (!good_ranges(&stats->inputs[i].s)) {
            return refuse(r, "a range is not one");
        }
    }
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const json_t *layer = json_array_get(layers, i);
        const char *name = json_string_value(json_array_get(layer, 0));
        const json_int_t input = json_integer_value(json_array_get(layer, 1));
        if (name == NULL || input < 0 || input >= stats->n_inputs) {
            return refuse(r, "a layer's input is not there");
        }
        HT_TRY(ht_stats_add_layer(stats, name, (uint32_t)input));
    }
    const size_t steps = json_array_size(timesteps);
    if (steps > 1000) {
        return refuse(r, "more than 1000 timesteps");
    }
    stats->timesteps = steps > 0 ? ht_alloc(r->context, steps * sizeof *stats->timesteps) : NULL;
    for (size_t i = 0; stats->timesteps != NULL && i < steps; i++) {
        stats->timesteps[i] = (float)json_number_value(json_array_get(timesteps, i));
        stats->n_timesteps = (uint32_t)steps;
    }
fail:
    return status;
}

static ht_status read_root(reader *r, const json_t *root, ht_stats **out) {
    bool good = true;
    char *conditions = json_dumps(json_object_get(root, "conditions"), JSON_COMPACT);
    const json_int_t version = json_integer_value(json_object_get(root, "version"));
    const ht_stats_desc desc = {.conditions = conditions,
                                .rows = number(root, "rows", 0, MOST, &good),
                                .gram = json_is_true(json_object_get(root, "gram")),
                                .gram_width = number(root, "gram_width", 0, 1 << 16, &good),
                                .gram_rows = number(root, "gram_rows", 0, MOST, &good)};
    const uint32_t prompts = number(root, "prompts", 0, INT32_MAX, &good);
    ht_status status = HT_OK;
    if (version > VERSION) {
        status = ht_fail(r->context, HT_ERR_IO,
                         "statistics '%s': version %lld, this program reads up to %d", r->path,
                         (long long)version, VERSION);
    } else if (!good || conditions == NULL || version < 1) {
        status = refuse(r, "its description is not one");
    }
    HT_TRY(status);
    HT_TRY(ht_stats_create(r->context, &desc, out));
    r->stats = *out;
    r->stats->prompts = prompts;
    HT_TRY(read_lists(r, root));
fail:
    free(conditions);
    return status;
}

ht_status ht_stats_open(ht_context *context, const char *path, ht_stats **out) {
    const ht_weights_desc desc = {.path = path};
    reader r = {.context = context, .path = path};
    json_t *root = NULL;
    ht_status status = HT_OK;
    *out = NULL;
    HT_TRY(ht_weights_open(context, &desc, &r.file));
    const char *text = ht_weights_metadata(r.file, KEY);
    root = text != NULL ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (root == NULL) {
        status = refuse(&r, "this is no file of statistics; gen-quantize --stats makes one");
    }
    HT_TRY(status);
    HT_TRY(read_root(&r, root, out));
fail:
    if (status != HT_OK) {
        ht_stats_destroy(out);
    }
    json_decref(root);
    ht_weights_destroy(&r.file);
    return status;
}

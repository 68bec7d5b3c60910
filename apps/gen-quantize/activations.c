// Static scales of activations from the statistics: which layers take them, as JSON for the file.
#include "quantize.h"

#include <halftone/calibrate.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// AUTO: noise in what a layer gives may grow by this share (0.4 dB).
static const double TOLERANCE = 0.1;

typedef struct chooser {
    const activations_in *in;
    json_t *layers, *measured;
    uint32_t fixed, dynamic;
} chooser;

// [O, I, taps] or [N, K] as the rows of the product have their columns: taps, then channels.
static float *read_rows(const chooser *c, const char *name, const ht_input_stats *s, uint32_t *n) {
    const ht_weight_info *info = ht_weights_find(c->in->weights, name);
    const uint64_t count = info ? ht_desc_count(&info->desc) : 0;
    const uint32_t taps = s->kernel_h * s->kernel_w;
    float *file = malloc((count + 1) * sizeof(*file)), *out = malloc((count + 1) * sizeof(*out));
    *n = s->columns ? (uint32_t)(count / s->columns) : 0;
    if (file && out && *n > 0 && count == (uint64_t)*n * s->columns &&
        ht_weights_read_f32(c->in->weights, name, file, count) == HT_OK) {
        for (uint64_t o = 0; o < *n; ++o) {
            for (uint32_t k = 0; k < s->width; ++k) {
                for (uint32_t t = 0; t < taps; ++t) {
                    out[(o * taps + t) * s->width + k] = file[(o * s->width + k) * taps + t];
                }
            }
        }
        free(file);
        return out;
    }
    free(file);
    free(out);
    return NULL;
}

static bool measure(const chooser *c, const char *layer, const ht_input_stats *s,
                    const ht_layer_formats *formats, const float *scales, ht_scale_trial *trial) {
    char name[512];
    uint32_t n;
    snprintf(name, sizeof(name), "%s.weight", layer);
    float *w = read_rows(c, name, s, &n);
    const ht_tensor_desc desc = {.format = formats->weights,
                                 .rank = 2,
                                 .dims = {n * s->kernel_h * s->kernel_w, s->width}};
    float *packed = w ? malloc((size_t)n * s->columns * sizeof(*packed)) : NULL;
    void *block = packed ? malloc(ht_desc_bytes(&desc)) : NULL;
    bool good = block != NULL;
    if (good) {
        ht_desc_pack(&desc, HT_SCALE_SEARCH, w, block);
        ht_desc_unpack(&desc, block, packed);
        // Ten decibels better than these, calibrated weights would not hide what is lost here.
        good = ht_calibrate_try(c->in->context, s, w, c->in->calibrated ? w : packed, n,
                                formats->activations, scales, trial) == HT_OK;
    }
    free(block);
    free(packed);
    free(w);
    return good;
}

static json_t *decibels(double signal, double error) {
    return error > 0 && signal > 0 ? json_real(10 * log10(signal / error)) : json_null();
}

static bool choose_layer(chooser *c, const char *layer, const ht_input_stats *s) {
    ht_layer_formats formats;
    ht_scale_trial trial;
    float scales[1000];
    ht_recipe_find(c->in->recipe, layer, &formats);
    if (c->in->changed && c->in->changed(c->in->user, layer)) {
        ++c->dynamic;
        return true;
    }
    if (formats.activations == HT_FORMAT_NONE || formats.scales == HT_SCALES_DYNAMIC ||
        s->stage != HT_STATS_STEP || s->steps > 1000 ||
        !ht_calibrate_scales(s, formats.activations, scales)) {
        return true;
    }
    if (!measure(c, layer, s, &formats, scales, &trial)) {
        return false;
    }
    json_object_set_new(c->measured, layer,
                        json_pack("[o, o]", decibels(trial.signal, trial.dynamic_error),
                                  decibels(trial.signal, trial.fixed_error)));
    if (formats.scales == HT_SCALES_AUTO &&
        trial.fixed_error > (1 + TOLERANCE) * trial.dynamic_error) {
        ++c->dynamic;
        return true;
    }
    ++c->fixed;
    json_t *row = json_array();
    for (uint32_t i = 0; i < s->steps; ++i) {
        json_array_append_new(row, json_real((double)scales[i]));
    }
    return json_object_set_new(c->layers, layer, row) == 0;
}

char *quantize_activations(const activations_in *in, quantize_result *result) {
    chooser c = {.in = in,
                 .layers = json_object(),
                 .measured = json_object()};
    const ht_input_stats *input;
    const char *layer;
    uint32_t steps;
    bool good = true;
    for (uint32_t i = 0; good && ht_stats_layer(in->stats, i, &layer, &input); ++i) {
        good = choose_layer(&c, layer, input);
    }
    json_t *timesteps = json_array();
    const float *values = ht_stats_timesteps(in->stats, &steps);
    for (uint32_t i = 0; i < steps; ++i) {
        json_array_append_new(timesteps, json_real((double)values[i]));
    }
    json_t *json = json_pack("{s:i, s:o, s:o, s:o, s:o}", "version", 1, "timesteps", timesteps,
                             "layers", c.layers, "measured_db", c.measured, "conditions",
                             json_loads(ht_stats_conditions(in->stats), 0, NULL));
    char *text = good && json && c.fixed + c.dynamic > 0 ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    result->static_layers = c.fixed;
    result->dynamic_layers = c.dynamic;
    result->failed = !good;
    return text;
}

// Keys and values of a text's first token where that is the same in every text (CLIP's start of text):
// computed once with the float weights and kept beside the packed ones (MixDQ, Zhao et al. 2024).
#include "better.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Half floats' rounding between two runs of an encoder, as a share of the largest value.
static const double CONSTANT = 1e-3;

void first_tokens_close(first_tokens *t) {
    for (uint32_t i = 0; i < t->count; ++i) {
        free((char *)t->list[i].name);
        free((float *)t->list[i].values);
    }
    free(t->list);
    *t = (first_tokens){0};
}

// Takes `values` over.
static bool append(first_tokens *t, const char *name, float *values, uint32_t count) {
    ht_quantize_extra *larger = realloc(t->list, (t->count + 1) * sizeof(*larger));
    t->list = larger ? larger : t->list;
    char *own = larger && values ? strdup(name) : NULL;
    if (!own) {
        free(values);
        return false;
    }
    t->list[t->count++] = (ht_quantize_extra){.name = own, .values = values, .count = count};
    return true;
}

static bool is_constant(const ht_input_stats *s) {
    double largest = 0;
    if (s->stage != HT_STATS_TEXT || !s->first_token || s->token_texts < 2) {
        return false;
    }
    for (uint32_t k = 0; k < s->width; ++k) {
        largest = fmax(largest, fabs((double)s->first_token[k]));
    }
    return largest > 0 && s->first_spread <= CONSTANT * largest;
}

// W token + bias, as the packed model scales its outputs; NULL: out of memory or unreadable.
static float *product(const first_tokens_in *in, const char *layer, const ht_input_stats *s,
                      uint32_t *outputs) {
    char name[512];
    snprintf(name, sizeof(name), "%.480s.weight", layer);
    const ht_weight_info *info = ht_weights_find(in->weights, name);
    if (!info || info->desc.rank != 2 || info->desc.dims[1] != s->width) {
        return NULL;
    }
    const uint32_t n = *outputs = info->desc.dims[0];
    const float *of_inputs = NULL, *of_outputs = NULL;
    float *w = malloc((size_t)n * s->width * sizeof(*w)), *y = calloc(n, sizeof(*y));
    bool good = w && y && ht_weights_read_f32(in->weights, name, w, (size_t)n * s->width) == HT_OK;
    if (good && in->better) {
        better_factors(in->better, name, &of_inputs, &of_outputs);
    }
    snprintf(name, sizeof(name), "%.480s.bias", layer);
    if (good && ht_weights_find(in->weights, name)) {
        good = ht_weights_read_f32(in->weights, name, y, n) == HT_OK;
    }
    for (uint32_t i = 0; good && i < n; ++i) {
        double sum = (double)y[i];
        for (uint32_t k = 0; k < s->width; ++k) {
            sum += (double)w[(size_t)i * s->width + k] * (double)s->first_token[k];
        }
        y[i] = (float)sum * (of_outputs ? of_outputs[i] : 1);
    }
    free(w);
    if (!good) {
        free(y);
        return NULL;
    }
    return y;
}

static bool is_packed_text_layer(const first_tokens_in *in, const char *layer) {
    const size_t length = strlen(layer);
    const char *leaf = length > 4 ? layer + length - 4 : "";
    ht_layer_formats formats;
    ht_recipe_find(in->recipe, layer, &formats);
    return formats.weights != HT_FORMAT_NONE &&
           (strcmp(leaf, "to_k") == 0 || strcmp(leaf, "to_v") == 0);
}

bool first_tokens_find(const first_tokens_in *in, first_tokens *out) {
    const ht_input_stats *s;
    const char *layer;
    *out = (first_tokens){0};
    for (uint32_t i = 0; ht_stats_layer(in->stats, i, &layer, &s); ++i) {
        char name[512];
        uint32_t count;
        if (!is_constant(s) || !is_packed_text_layer(in, layer)) {
            continue;
        }
        if (out->count == 0) {
            float *token = malloc(s->width * sizeof(*token));
            if (token) {
                memcpy(token, s->first_token, s->width * sizeof(*token));
            }
            if (!append(out, HT_FIRST_TOKEN_TEXT, token, s->width)) {
                return false;
            }
        }
        snprintf(name, sizeof(name), "%.480s" HT_FIRST_TOKEN, layer);
        float *values = product(in, layer, s, &count);
        if (!append(out, name, values, count)) {
            return false;
        }
    }
    return true;
}

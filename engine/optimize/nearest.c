// Layers, their groups, and rounding to nearest with searched scales.
#include "optimize_internal.h"

#include <math.h>
#include <string.h>

static const char *const NAMES[] = {"nearest", "gptq", "learned"};

const char *ht_rounding_name(ht_rounding rounding) {
    return NAMES[rounding];
}

bool ht_rounding_find(const char *name, ht_rounding *rounding) {
    for (int i = 0; i < HT_ROUNDINGS; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *rounding = (ht_rounding)i;
            return true;
        }
    }
    return false;
}

void ht_snap_of(ht_format format, ht_snap *out) {
    out->count = ht_format_grid(format, out->values);
    for (uint32_t i = 0; i + 1 < out->count; i++) {
        out->middles[i] = (out->values[i] + out->values[i + 1]) / 2;
    }
}

ht_groups ht_groups_of(const ht_layer *layer) {
    const ht_tensor_desc row = {.format = layer->format, .rank = 1, .dims = {layer->segment}};
    ht_packed_layout at;
    ht_packed_layout_of(&row, &at);
    const uint32_t group = ht_format_group(layer->format);
    return (ht_groups){.segments = layer->width / layer->segment,
                       .groups = at.groups,
                       .length = group ? group : at.padded};
}

ht_status ht_rounded_create(ht_context *context, const ht_layer *layer, ht_rounded *out) {
    const ht_groups g = ht_groups_of(layer);
    const size_t scales = (size_t)layer->rows * g.segments * g.groups;
    const size_t outers = (size_t)layer->rows * g.segments;
    *out = (ht_rounded){.groups = g.groups};
    out->codes = ht_alloc(context, (size_t)layer->rows * layer->width * sizeof *out->codes);
    out->outer = out->codes ? ht_alloc(context, outers * sizeof *out->outer) : NULL;
    out->scales = out->outer ? ht_alloc(context, scales * sizeof *out->scales) : NULL;
    for (size_t i = 0; out->scales && i < outers; i++) {
        out->outer[i] = 1;
    }
    for (size_t i = 0; out->scales && i < scales; i++) {
        out->scales[i] = 1; // of groups without values too
    }
    if (!out->scales) {
        ht_rounded_free(context, out);
        return HT_ERR_NO_MEMORY;
    }
    return HT_OK;
}

void ht_rounded_free(ht_context *context, ht_rounded *rounded) {
    ht_free(context, rounded->codes);
    ht_free(context, rounded->outer);
    ht_free(context, rounded->scales);
    *rounded = (ht_rounded){0};
}

void ht_rounded_values(const ht_layer *layer, const ht_rounded *rounded, float *values) {
    const ht_groups g = ht_groups_of(layer);
    for (uint32_t r = 0; r < layer->rows; r++) {
        const float *scales = rounded->scales + (size_t)r * g.segments * g.groups;
        for (uint32_t k = 0; k < layer->width; k++) {
            const size_t at = (size_t)r * layer->width + k;
            values[at] = rounded->codes[at] * scales[ht_group_at(layer, &g, k)];
        }
    }
}

// ---- nearest

typedef struct search {
    const ht_layer *layer;
    ht_groups groups;
    ht_snap snap;
    bool gram;
    ht_rounded *out;
} search;

static double weighted_error(const search *s, const float *w, uint32_t k, uint32_t count,
                             float scale) {
    const uint32_t width = s->layer->width;
    const float inverse = 1 / scale;
    double error = 0;
    for (uint32_t i = 0; i < count; i++) {
        const double off = ht_snap_to(&s->snap, w[i] * inverse) * scale - w[i];
        const double weight = s->gram ? s->layer->gram[(size_t)(k + i) * width + k + i] : 1;
        error += off * off * weight;
    }
    return error;
}

static float largest_of(const float *w, uint32_t count) {
    float largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(w[i]));
    }
    return largest;
}

// The best scale of a group with this outer scale, and its error.
static float best_scale(const search *s, const float *w, uint32_t k, uint32_t count, float outer,
                        double *least) {
    float tries[HT_SCALE_TRIES], best = 1;
    const float largest = largest_of(w, count);
    if (!(largest > 0)) {
        *least = 0;
        return ht_format_scale(s->layer->format, 1, outer);
    }
    const uint32_t n = ht_format_scale_tries(s->layer->format, largest, outer, tries);
    *least = INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        const double error = weighted_error(s, w, k, count, tries[i]);
        if (error < *least) {
            *least = error;
            best = tries[i];
        }
    }
    return best;
}

// The outer scale with which the groups of a segment, each with its own best, err least.
static float best_outer(const search *s, const float *w, uint32_t first, const float *tries,
                        uint32_t n) {
    const uint32_t segment = s->layer->segment;
    double least = INFINITY;
    float best = tries[0];
    for (uint32_t i = 0; i < n; i++) {
        double sum = 0, error;
        for (uint32_t k = first, count; k < first + segment && sum < least; k += count) {
            count = ht_group_count(s->layer, &s->groups, k);
            best_scale(s, w + k - first, k, count, tries[i], &error);
            sum += error;
        }
        best = sum < least ? tries[i] : best;
        least = sum < least ? sum : least;
    }
    return best;
}

// Scales and codes of the groups of a segment.
static void round_segment(const search *s, uint32_t row, uint32_t first) {
    const ht_layer *layer = s->layer;
    const size_t at = (size_t)row * layer->width + first;
    const float *w = layer->weights + at;
    float *outer = &s->out->outer[(size_t)row * s->groups.segments + first / layer->segment];
    float tries[HT_SCALE_TRIES];
    const uint32_t n =
        ht_format_row_scale_tries(layer->format, largest_of(w, layer->segment), tries);
    *outer = n ? best_outer(s, w, first, tries, n) : *outer;
    for (uint32_t k = first, count; k < first + layer->segment; k += count) {
        double error;
        count = ht_group_count(layer, &s->groups, k);
        const float best = best_scale(s, w + k - first, k, count, *outer, &error);
        s->out->scales[(size_t)row * s->groups.segments * s->groups.groups +
                       ht_group_at(layer, &s->groups, k)] = best;
        for (uint32_t i = 0; i < count; i++) {
            s->out->codes[at + k - first + i] = ht_snap_to(&s->snap, w[k - first + i] / best);
        }
    }
}

static void round_rows(void *user, uint64_t first, uint64_t rows) {
    const search *s = user;
    for (uint64_t r = first; r < first + rows; r++) {
        for (uint32_t k = 0; k < s->layer->width; k += s->layer->segment) {
            round_segment(s, (uint32_t)r, k);
        }
    }
}

void ht_round_nearest(const ht_layer *layer, bool gram, ht_rounded *out) {
    search s = {.layer = layer, .groups = ht_groups_of(layer), .gram = gram, .out = out};
    float largest = 0;
    ht_snap_of(layer->format, &s.snap);
    for (uint32_t r = 0; r < layer->rows; r++) {
        const float *row = layer->weights + (size_t)r * layer->width;
        largest = fmaxf(largest, largest_of(row, layer->width));
    }
    const float outer = ht_format_outer_scale(layer->format, largest); // of the tensor
    for (size_t i = 0; i < (size_t)layer->rows * s.groups.segments; i++) {
        out->outer[i] = outer;
    }
    ht_parallel(layer->rows, 1, round_rows, &s);
}

// From measured harm to a recipe.
#include "mixed.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char PREFIX[] = "mixed:";

bool mixed_is(const char *recipe) {
    return strncmp(recipe, PREFIX, sizeof(PREFIX) - 1) == 0;
}

void mixed_beside(const mixed *m, const char *ending, char *path, size_t bytes) {
    size_t length = strlen(m->options->output);
    length -= length > 1 && m->options->output[length - 1] == '/';
    snprintf(path, bytes, "%.*s%s", (int)length, m->options->output, ending);
}

void mixed_close(mixed *m) {
    for (size_t i = 0; i < m->count; ++i) {
        free(m->layers[i].name);
    }
    free(m->layers);
    free(m->problem);
    free(m->chosen);
}

// ---- layers

// Formats of weights that are tried, from the smallest to the largest, with the base recipe's
// activations; NONE is half floats. Two and three bits are in planes of signs.
static const ht_format tried[] = {HT_FORMAT_BIN2, HT_FORMAT_BIN3,  HT_FORMAT_INT4,
                                  HT_FORMAT_FP4,  HT_FORMAT_NVFP4, HT_FORMAT_INT8_F16,
                                  HT_FORMAT_NONE};
enum { CAREFUL = MIXED_FORMATS - 2 };
_Static_assert(sizeof(tried) / sizeof(*tried) == MIXED_FORMATS, "every format has its place");
// Weights that may read four-bit activations.
static const ht_format narrow[] = {HT_FORMAT_FP4, HT_FORMAT_NVFP4, HT_FORMAT_INT8_F16};
_Static_assert(MIXED_FORMATS + sizeof(narrow) / sizeof(*narrow) == MIXED_CHOICES, "likewise");
static const ht_format NARROW = HT_FORMAT_NVFP4;

static uint64_t packed_bytes(const ht_weight_info *info, ht_format format) {
    const uint64_t count = ht_desc_count(&info->desc);
    const uint32_t channels = info->desc.dims[1];
    const ht_tensor_desc row = {.format = format, .rank = 2, .dims = {1, channels}};
    ht_packed_layout at;
    if (format == HT_FORMAT_NONE) {
        return 2 * count;
    }
    ht_packed_layout_of(&row, &at);
    return count / channels * (at.row_bytes + at.scale_row_bytes + at.outers * sizeof(float));
}

// Float layers read floats.
static void add_choice(mixed_layer *l, const ht_weight_info *info, ht_format weights,
                       ht_format activations) {
    const ht_layer_formats f = {
        .weights = weights,
        .activations = weights == HT_FORMAT_NONE ? HT_FORMAT_NONE : activations};
    // What stays float is counted as eight bits: it is not what a budget of activations is about.
    const uint32_t bits = f.activations == NARROW ? 4 : 8;
    l->choices[l->count] =
        (ht_choice){.bytes = packed_bytes(info, weights), .work = bits * l->reads};
    l->formats[l->count++] = f;
}

static double values_read(const mixed *m, const char *layer) {
    const ht_input_stats *s = ht_stats_find(m->better->stats, layer);
    double sum = 0;
    for (uint32_t i = 0; s && i < s->steps; ++i) {
        sum += s->ranges[i].count;
    }
    return sum / 1e6; // of the size that a solver likes
}

static bool add_layer(mixed *m, const ht_weight_info *info, const char *name,
                      const ht_layer_formats *base) {
    mixed_layer *larger = realloc(m->layers, (m->count + 1) * sizeof(*larger));
    if (!larger) {
        return false;
    }
    m->layers = larger;
    mixed_layer *l = &larger[m->count++];
    *l = (mixed_layer){.name = strdup(name),
                       .content = strstr(name, "attn2") || strstr(name, ".ff."),
                       .weights = ht_desc_count(&info->desc)};
    l->reads = base->activations == HT_FORMAT_NONE ? 0 : values_read(m, name);
    for (int i = 0; i < MIXED_FORMATS; ++i) {
        add_choice(l, info, tried[i], base->activations);
    }
    for (size_t i = 0;
         l->reads > 0 && isfinite(m->activation_bits) && i < sizeof(narrow) / sizeof(*narrow);
         ++i) {
        add_choice(l, info, narrow[i], NARROW);
    }
    m->work += l->reads * m->activation_bits;
    return l->name != NULL;
}

static bool find_layers(mixed *m) {
    const ht_weights *weights = m->better->weights;
    for (size_t i = 0; i < ht_weights_count(weights); ++i) {
        const ht_weight_info *info = ht_weights_get(weights, i);
        char name[512];
        ht_layer_formats base;
        if (info->desc.rank >= 2 && ht_weight_layer(info->name, name, sizeof(name)) &&
            ht_recipe_find(m->better->recipe, name, &base) && base.weights != HT_FORMAT_NONE) {
            if (!add_layer(m, info, name, &base)) {
                return false;
            }
        } else {
            m->others += info->bytes;
        }
    }
    return m->count > 0;
}

// Layers that the statistics do not know keep the most careful format but one.
static void find_noise(mixed *m) {
    for (size_t i = 0; i < m->count && !*m->stop; ++i) {
        mixed_layer *l = &m->layers[i];
        for (uint32_t c = 0; c < l->count; ++c) {
            const bool is_float = l->formats[c].weights == HT_FORMAT_NONE;
            l->noise[c] = is_float ? 0 : better_noise(m->better, l->name, &l->formats[c]);
        }
        if (isnan(l->noise[0])) {
            l->formats[0] = l->formats[CAREFUL];
            l->choices[0] = l->choices[CAREFUL];
            l->noise[0] = 0;
            l->count = 1;
        }
        if (!m->options->quiet && (i % 16 == 15 || i + 1 == m->count)) {
            fprintf(stderr, "noise of %zu of %zu layers known\n", i + 1, m->count);
        }
    }
}

// ---- budget

// ",a6bits" behind the budget of weights.
static bool read_activation_bits(mixed *m) {
    const char *comma = strchr(m->options->recipe, ',');
    char *unit;
    m->activation_bits = INFINITY;
    if (!comma) {
        return true;
    }
    m->activation_bits = comma[1] == 'a' ? strtod(comma + 2, &unit) : 0;
    if (!(m->activation_bits >= 4 && m->activation_bits <= 8) || strcmp(unit, "bits") != 0) {
        ht_app_say(m->log, HT_LOG_ERROR,
                   "--recipe %s: expected 4 to 8 bits of activations, as in mixed:4.5bits,a6bits",
                   m->options->recipe);
        return false;
    }
    return true;
}

static bool read_budget(mixed *m) {
    const char *text = m->options->recipe + sizeof(PREFIX) - 1;
    char *unit;
    const double value = strtod(text, &unit);
    uint64_t weights = 0;
    for (size_t i = 0; i < m->count; ++i) {
        weights += m->layers[i].weights;
    }
    const size_t length = strcspn(unit, ",");
    const bool bits = length == 4 && strncmp(unit, "bits", 4) == 0;
    const bool mib = length == 3 && strncmp(unit, "MiB", 3) == 0;
    if (unit == text || !(bits || mib) || !(value > 0) || value > 1e9) {
        ht_app_say(m->log, HT_LOG_ERROR,
                   "--recipe %s: expected bits per weight or the size of the file, as in "
                   "mixed:4.5bits or mixed:3MiB",
                   m->options->recipe);
        return false;
    }
    const double bytes = bits ? value * (double)weights / 8 : value * 1048576 - (double)m->others;
    m->budget = bytes > 0 ? (uint64_t)bytes : 0;
    return true;
}

static bool allocate(mixed *m) {
    ht_allocated sums;
    m->problem = calloc(m->count, sizeof(*m->problem));
    m->chosen = calloc(m->count, sizeof(*m->chosen));
    if (!m->problem || !m->chosen) {
        return false;
    }
    for (size_t i = 0; i < m->count; ++i) {
        mixed_layer *l = &m->layers[i];
        for (uint32_t c = 0; c < l->count; ++c) {
            l->choices[c].loss = l->harm * l->noise[c];
        }
        m->problem[i] = (ht_allocation_layer){l->choices, l->count};
    }
    const ht_allocation problem = {m->problem, (uint32_t)m->count, m->budget,
                                   isfinite(m->activation_bits) ? m->work : (double)INFINITY};
    if (ht_allocate(m->better->context, &problem, m->chosen, &sums) != HT_OK) {
        return false;
    }
    if (!m->options->quiet && isfinite(m->activation_bits)) {
        fprintf(stderr, "activations of %.3f bits on average, at most %.3f\n",
                sums.work * m->activation_bits / m->work, m->activation_bits);
    }
    if (!m->options->quiet) {
        fprintf(stderr,
                "%s: %llu of %llu bytes used by %zu layers, expected loss %.3g (at least "
                "%.3g)\n",
                m->options->recipe, (unsigned long long)sums.bytes, (unsigned long long)m->budget,
                m->count, sums.loss, sums.bound);
    }
    return true;
}

// ---- recipe

static const char *name_of(ht_format format) {
    return format == HT_FORMAT_NONE ? "f16" : ht_format_name(format);
}

static char *write_recipe(const mixed *m) {
    json_t *rows = json_array();
    for (size_t i = 0; i < m->count; ++i) {
        const ht_layer_formats *f = &m->layers[i].formats[m->chosen[i]];
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "match", m->layers[i].name,
                                              "weights", name_of(f->weights), "activations",
                                              name_of(f->activations)));
    }
    json_t *recipe = json_pack("{s:s, s:s, s:o}", "name", m->options->recipe, "description",
                               "formats chosen layer by layer", "layers", rows);
    char *text = recipe ? json_dumps(recipe, JSON_COMPACT) : NULL;
    json_decref(recipe);
    return text;
}

char *mixed_recipe(mixed *m) {
    if (!read_activation_bits(m) || !find_layers(m) || !read_budget(m)) {
        return NULL;
    }
    find_noise(m);
    return mixed_measure(m) && allocate(m) && mixed_curve(m) ? write_recipe(m) : NULL;
}

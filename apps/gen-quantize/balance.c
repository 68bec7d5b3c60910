// Channels of even sizes (SmoothQuant, Xiao et al. 2023): a layer's inputs are divided by factors that
// its weights are multiplied by, and whatever makes the inputs takes the division: a norm's weight
// and bias, or the rows of the layer in front where only linear things are between. Factors are powers
// of two, so nothing is lost in any float.
#include "better.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_READERS = 3 };

// How the inputs of some layers of a block come about.
typedef struct rule {
    const char *maker; // its outputs are divided: weight's rows or vector, and bias
    bool norm;
    bool half; // of a GEGLU's first layer: the half that is not in the activation
    const char *readers[MAX_READERS];
} rule;

static const rule rules[] = {
    {"norm1", true, false, {"attn1.to_q", "attn1.to_k", "attn1.to_v"}},
    {"norm2", true, false, {"attn2.to_q"}},
    {"norm3", true, false, {"ff.net.0.proj"}},
    {"attn1.to_v", false, false, {"attn1.to_out.0"}},
    {"attn2.to_v", false, false, {"attn2.to_out.0"}},
    {"ff.net.0.proj", false, true, {"ff.net.2"}},
};

typedef struct fold {
    const rule *rule;
    char prefix[256];        // of the block, with its last dot
    uint32_t width, outputs; // channels; of the maker
    float *factors;          // [width]
    float *inverse;          // [outputs]
} fold;

void balance_close(better *b) {
    for (size_t i = 0; i < b->n_folds; ++i) {
        free(b->folds[i].factors);
        free(b->folds[i].inverse);
    }
    free(b->folds);
}

static bool is_part(const fold *f, const char *part, const char *name) {
    const size_t length = strlen(f->prefix);
    return strncmp(name, f->prefix, length) == 0 && strcmp(name + length, part) == 0;
}

const float *balance_inputs(const better *b, const char *layer) {
    for (size_t i = 0; i < b->n_folds; ++i) {
        for (int r = 0; r < MAX_READERS && b->folds[i].rule->readers[r]; ++r) {
            if (is_part(&b->folds[i], b->folds[i].rule->readers[r], layer)) {
                return b->folds[i].factors;
            }
        }
    }
    return NULL;
}

void better_factors(const better *b, const char *tensor, const float **inputs,
                    const float **outputs) {
    char layer[512];
    snprintf(layer, sizeof(layer), "%s", tensor);
    char *leaf = strrchr(layer, '.');
    if (!leaf) {
        return;
    }
    const bool bias = strcmp(leaf, ".bias") == 0;
    if (!bias && strcmp(leaf, ".weight") != 0) {
        return;
    }
    *leaf = 0;
    *inputs = bias ? NULL : balance_inputs(b, layer);
    for (size_t i = 0; i < b->n_folds; ++i) {
        if (is_part(&b->folds[i], b->folds[i].rule->maker, layer)) {
            *outputs = b->folds[i].inverse;
        }
    }
}

// ---- choice

// A reader's weights [N][K], what it reads, and how.
typedef struct reader {
    float *weights;
    uint32_t outputs;
    ht_format format, activations;
    const ht_input_stats *stats;
} reader;

static bool open_reader(const better *b, const fold *f, const char *part, reader *r) {
    char name[512];
    ht_layer_formats formats;
    snprintf(name, sizeof(name), "%s%s", f->prefix, part);
    ht_recipe_find(b->recipe, name, &formats);
    *r = (reader){.format = formats.weights,
                  .activations = formats.activations,
                  .stats = ht_stats_find(b->stats, name)};
    strncat(name, ".weight", sizeof(name) - strlen(name) - 1);
    const ht_weight_info *info = ht_weights_find(b->weights, name);
    if (!info || !r->stats || !ht_format_has_grid(r->format) || info->desc.rank < 2 ||
        r->stats->columns != r->stats->width || r->stats->n_rows == 0 ||
        info->desc.dims[1] != r->stats->width) {
        return false;
    }
    const size_t count = (size_t)info->desc.dims[0] * r->stats->width;
    r->outputs = info->desc.dims[0];
    r->weights = ht_alloc(b->context, count * sizeof(*r->weights));
    return r->weights && ht_weights_read_f32(b->weights, name, r->weights, count) == HT_OK;
}

// Largest input of each channel over all steps, and largest weight over the readers.
static void sizes_of(const reader *readers, int count, float *inputs, float *weights) {
    const ht_input_stats *s = readers[0].stats;
    for (uint32_t k = 0; k < s->width; ++k) {
        inputs[k] = weights[k] = 0;
        for (uint32_t step = 0; step < s->steps; ++step) {
            inputs[k] = fmaxf(inputs[k], s->channel_max[(size_t)step * s->width + k]);
        }
        for (int r = 0; r < count; ++r) {
            for (uint32_t n = 0; n < readers[r].outputs; ++n) {
                weights[k] = fmaxf(weights[k], fabsf(readers[r].weights[(size_t)n * s->width + k]));
            }
        }
    }
}

// inputs^a / weights^(1-a), its mean exponent 0; a = 0 at strength 0 leaves all as it is.
static void set_factors(const float *inputs, const float *weights, uint32_t width, float strength,
                        float *factors) {
    double mean = 0;
    for (uint32_t k = 0; k < width; ++k) {
        const bool dead = !(inputs[k] > 0) || !(weights[k] > 0);
        factors[k] = dead ? 0 : strength * log2f(inputs[k]) - (1 - strength) * log2f(weights[k]);
        mean += factors[k] / width;
    }
    for (uint32_t k = 0; k < width; ++k) {
        const float exponent = strength > 0 ? rintf(factors[k] - (float)mean) : 0;
        factors[k] = exp2f(fminf(fmaxf(exponent, -6), 6));
    }
}

// Noise of a reader's outputs on its sample rows: weights rounded to nearest, rows as it reads them.
static double reader_noise(const better *b, const reader *r, const float *factors) {
    const ht_input_stats *s = r->stats;
    const size_t count = (size_t)r->outputs * s->width;
    float *rows = ht_alloc(b->context, (size_t)s->n_rows * s->width * sizeof(*rows));
    float *weights = ht_alloc(b->context, count * sizeof(*weights));
    ht_improved improved = {.nearest_db = -INFINITY};
    ht_rounded rounded = {0};
    const ht_layer layer = {.format = r->format,
                            .rows = r->outputs,
                            .width = s->width,
                            .segment = s->width,
                            .weights = weights};
    const ht_improve_desc desc = {.activations = r->activations, .rows = rows, .n_rows = s->n_rows};
    if (rows && weights) {
        for (size_t i = 0; i < (size_t)s->n_rows * s->width; ++i) {
            rows[i] = s->rows[i] / factors[i % s->width];
        }
        for (size_t i = 0; i < count; ++i) {
            weights[i] = r->weights[i] * factors[i % s->width];
        }
        if (ht_rounded_create(b->context, &layer, &rounded) == HT_OK) {
            ht_improve(b->context, &layer, &desc, NULL, NULL, &rounded, &improved);
        }
    }
    ht_rounded_free(b->context, &rounded);
    ht_free(b->context, weights);
    ht_free(b->context, rows);
    return pow(10, -improved.nearest_db / 10);
}

// The strength that leaves least noise; false when that is none at all.
static bool choose(const better *b, const fold *f, const reader *readers, int count) {
    static const float strengths[] = {0, 0.25f, 0.5f, 0.75f, 1};
    float *inputs = ht_alloc(b->context, 2 * f->width * sizeof(*inputs));
    double least = INFINITY;
    float best = 0;
    for (size_t i = 0; inputs && i < sizeof(strengths) / sizeof(*strengths); ++i) {
        double noise = 0;
        sizes_of(readers, count, inputs, inputs + f->width);
        set_factors(inputs, inputs + f->width, f->width, strengths[i], f->factors);
        for (int r = 0; r < count; ++r) {
            noise += reader_noise(b, &readers[r], f->factors);
        }
        if (noise < 0.98 * least) { // a change must be worth it
            least = noise;
            best = strengths[i];
        }
    }
    if (inputs) {
        set_factors(inputs, inputs + f->width, f->width, best, f->factors);
    }
    ht_free(b->context, inputs);
    return best > 0;
}

static bool maker_fits(const better *b, fold *f) {
    char name[512];
    snprintf(name, sizeof(name), "%s%s.weight", f->prefix, f->rule->maker);
    const ht_weight_info *info = ht_weights_find(b->weights, name);
    f->outputs = info ? info->desc.dims[0] : 0;
    return info && (info->desc.rank == 1) == f->rule->norm &&
           f->outputs == (f->rule->half ? 2 : 1) * f->width;
}

// One rule in one block.
static bool try_fold(better *b, const rule *how, const char *prefix) {
    reader readers[MAX_READERS] = {{0}};
    fold f = {.rule = how};
    int count = 0;
    bool good = true;
    snprintf(f.prefix, sizeof(f.prefix), "%s", prefix);
    for (; good && count < MAX_READERS && how->readers[count]; ++count) {
        good = open_reader(b, &f, how->readers[count], &readers[count]);
    }
    f.width = good ? readers[0].stats->width : 0;
    good = good && maker_fits(b, &f);
    f.factors = good ? calloc(f.width, sizeof(*f.factors)) : NULL;
    f.inverse = good ? calloc(f.outputs, sizeof(*f.inverse)) : NULL;
    good = f.factors && f.inverse && choose(b, &f, readers, count);
    for (int r = 0; r < count; ++r) {
        ht_free(b->context, readers[r].weights);
    }
    fold *larger = good ? realloc(b->folds, (b->n_folds + 1) * sizeof(*larger)) : NULL;
    if (!larger) {
        free(f.factors);
        free(f.inverse);
        return false;
    }
    for (uint32_t i = 0; i < f.outputs; ++i) {
        f.inverse[i] = i < f.width ? 1 / f.factors[i] : 1;
    }
    b->folds = larger;
    b->folds[b->n_folds++] = f;
    return true;
}

// Blocks are known by the layers that end a feed-forward network.
bool balance_choose(better *b) {
    static const char last[] = "ff.net.2.weight";
    for (size_t i = 0; i < ht_weights_count(b->weights); ++i) {
        const char *name = ht_weights_get(b->weights, i)->name;
        const size_t length = strlen(name), tail = sizeof(last) - 1;
        char prefix[256];
        if (length < tail || length - tail >= sizeof(prefix) ||
            strcmp(name + length - tail, last) != 0) {
            continue;
        }
        snprintf(prefix, sizeof(prefix), "%.*s", (int)(length - tail), name);
        for (size_t r = 0; r < sizeof(rules) / sizeof(*rules); ++r) {
            if (try_fold(b, &rules[r], prefix)) {
                ht_app_say(b->log, HT_LOG_INFO, "%s%s: channels balanced", prefix, rules[r].maker);
            }
        }
    }
    return true;
}

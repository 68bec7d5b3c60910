// From statistics and a layer's values to its codes.
#include "better.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool quantize_calibration(quantize_options *o, ht_app_log *log, char *statistics, size_t bytes) {
    const char *ending = o->calibrate ? strrchr(o->calibrate, '.') : NULL;
    ht_rounding rounding;
    if (!ht_rounding_find(o->rounding, &rounding)) {
        ht_app_say(log, HT_LOG_ERROR, "--rounding: expected nearest, gptq or learned, not '%s'",
                   o->rounding);
        return false;
    }
    if (ending && (strcmp(ending, ".txt") == 0 || strcmp(ending, ".jsonl") == 0)) {
        size_t length = strlen(o->output);
        length -= length > 1 && o->output[length - 1] == '/';
        snprintf(statistics, bytes, "%.*s.stats", (int)length, o->output);
        o->prompts = o->calibrate;
        o->stats = o->calibrate = statistics;
        o->gram = o->dynamic = true; // static scales do not know of balanced channels
    }
    if (strncmp(o->recipe, "mixed:", 6) == 0 && !o->prompts) {
        ht_app_say(log, HT_LOG_ERROR, "a mixed recipe needs prompts, not '%s'", o->calibrate);
        return false;
    }
    return true;
}

bool better_open(better *b) {
    if (ht_stats_open(b->context, b->options->calibrate, &b->stats) != HT_OK) {
        return false;
    }
    ht_rounding_find(b->options->rounding, &b->rounding);
    bool any = false;
    for (uint32_t i = 0; i < ht_stats_count(b->stats); ++i) {
        any = any || ht_stats_get(b->stats, i)->gram;
    }
    if (!any) {
        ht_app_say(b->log, HT_LOG_ERROR, "'%s' has no Gram matrices: collect it with --gram",
                   b->options->calibrate);
    }
    return any && (b->options->no_balance || balance_choose(b));
}

void better_close(better *b) {
    for (size_t i = 0; i < b->count; ++i) {
        free(b->layers[i].name);
    }
    free(b->layers);
    ht_free(b->context, b->energy);
    balance_close(b);
    ht_stats_destroy(&b->stats);
}

const better_layer *better_find(const better *b, const char *layer) {
    for (size_t i = 0; i < b->count; ++i) {
        if (strcmp(b->layers[i].name, layer) == 0) {
            return &b->layers[i];
        }
    }
    return NULL;
}

static void note(better *b, const char *layer, const ht_improved *improved, bool known) {
    better_layer *larger = realloc(b->layers, (b->count + 1) * sizeof(*larger));
    b->layers = larger ? larger : b->layers;
    char *name = larger ? strdup(layer) : NULL;
    b->failed = b->failed || !name;
    if (name) {
        b->layers[b->count++] = (better_layer){name, *improved, known};
    }
}

// ---- a layer and what it reads

typedef struct problem {
    ht_layer layer;
    ht_improve_desc desc;
    float *gram, *rows; // when they are not the statistics' own
} problem;

static void free_problem(const better *b, problem *p) {
    ht_free(b->context, p->gram);
    ht_free(b->context, p->rows);
}

// [blocks][block][block] -> [width][width]
static float *spread(ht_context *context, const ht_input_stats *s, uint32_t width) {
    float *gram = ht_alloc(context, (size_t)width * width * sizeof(*gram));
    for (uint32_t i = 0; gram && i < s->gram_blocks * s->gram_block; ++i) {
        const uint32_t first = i / s->gram_block * s->gram_block;
        memcpy(gram + (size_t)i * width + first, s->gram + (size_t)i * s->gram_block,
               s->gram_block * sizeof(*gram));
    }
    return gram;
}

// Inputs of other sizes: x -> x / factor where the weights are multiplied by it.
static void multiply(const ht_input_stats *s, const float *factors, problem *p) {
    const uint32_t width = p->layer.width;
    for (size_t i = 0; i < (size_t)width * width; ++i) {
        p->gram[i] /= factors[i / width % s->width] * factors[i % width % s->width];
    }
    for (size_t i = 0; i < (size_t)p->desc.n_rows * width; ++i) {
        p->rows[i] = s->rows[i] / factors[i % width % s->width];
    }
}

// The problem of some columns alone: `p` has all, width [taps][inputs].
static ht_status select_columns(const better *b, const ht_quantize_layer *l, problem *p) {
    const uint32_t channels = l->desc.dims[l->desc.rank - 1], all = p->layer.width;
    const uint32_t width = all / l->n_inputs * channels;
    float *gram = ht_alloc(b->context, (size_t)width * width * sizeof(*gram));
    float *rows = ht_alloc(b->context, ((size_t)p->desc.n_rows * width + 1) * sizeof(*rows));
    uint32_t *at = ht_alloc(b->context, width * sizeof(*at));
    const bool good = gram && rows && at;
    for (uint32_t i = 0; i < width && good; ++i) {
        at[i] = i / channels * l->n_inputs + l->columns[i % channels];
    }
    for (size_t i = 0; i < (size_t)width * width && good; ++i) {
        gram[i] = p->layer.gram[(size_t)at[i / width] * all + at[i % width]];
    }
    for (size_t i = 0; i < (size_t)p->desc.n_rows * width && good; ++i) {
        rows[i] = p->desc.rows[i / width * all + at[i % width]];
    }
    ht_free(b->context, at);
    free_problem(b, p);
    p->gram = gram;
    p->rows = rows;
    p->layer.gram = gram;
    p->desc.rows = rows;
    p->layer.width = width;
    p->layer.segment = channels;
    return good ? HT_OK : HT_ERR_NO_MEMORY;
}

// Where the statistics are those of single pixels, each tap of a kernel is a layer of its own. Of all
// the layer's inputs, also when it has but some columns of them.
static ht_status pose(const better *b, const ht_quantize_layer *l, const ht_input_stats *s,
                      problem *p) {
    const ht_tensor_desc *d = &l->desc;
    const uint32_t channels = l->columns ? l->n_inputs : d->dims[d->rank - 1], outputs = d->dims[0];
    const uint32_t taps = (uint32_t)(ht_desc_count(d) / d->dims[d->rank - 1] / outputs);
    const uint32_t parts = s->gram_pixels ? taps : 1;
    ht_layer_formats formats;
    ht_recipe_find(b->recipe, l->name, &formats);
    *p = (problem){.layer = {.format = d->format,
                             .rows = outputs * parts,
                             .width = taps / parts * channels,
                             .segment = channels,
                             .weights = l->values},
                   .desc = {.rounding = b->rounding,
                            .activations = l->salient ? formats.salient.activations
                                                      : formats.activations,
                            .rows = s->rows,
                            .n_rows = s->n_rows * parts,
                            .rank = l->rank}};
    p->layer.gram = s->gram;
    const float *factors = balance_inputs(b, l->name);
    if (s->gram_blocks > 1 || factors) {
        p->gram = spread(b->context, s, p->layer.width);
        p->layer.gram = p->gram;
    }
    if (factors) {
        const size_t count = (size_t)p->desc.n_rows * p->layer.width;
        p->rows = ht_alloc(b->context, count * sizeof(*p->rows));
        p->desc.rows = p->rows;
    }
    if ((!p->gram && (s->gram_blocks > 1 || factors)) || (factors && !p->rows)) {
        return HT_ERR_NO_MEMORY;
    }
    if (factors) {
        multiply(s, factors, p);
    }
    return HT_OK;
}

static bool serves_inputs(const ht_input_stats *s, const ht_tensor_desc *d, uint32_t inputs) {
    return s && s->gram && s->gram_rows > 0 && s->width == inputs &&
           s->columns == ht_desc_count(d) / d->dims[0] / d->dims[d->rank - 1] * inputs;
}

static bool serves(const ht_input_stats *s, const ht_tensor_desc *d) {
    return serves_inputs(s, d, d->dims[d->rank - 1]);
}

// ---- hooks

// Branches need whole rows: not where each tap is a layer of its own.
uint32_t better_rank(const better *b, const char *layer, const ht_tensor_desc *desc) {
    const ht_input_stats *s = ht_stats_find(b->stats, layer);
    const uint32_t rank = b->options->low_rank;
    const uint64_t inputs = ht_desc_count(desc) / desc->dims[0];
    return serves(s, desc) && !s->gram_pixels && ht_format_bits(desc->format) <= 4 &&
                   rank < desc->dims[0] && rank < inputs
               ? rank
               : 0;
}

const float *better_energy(better *b, const char *layer, uint32_t width) {
    const ht_input_stats *s = b->stats ? ht_stats_find(b->stats, layer) : NULL;
    const float *factors = b->stats ? balance_inputs(b, layer) : NULL;
    if (!s || !s->gram || s->width != width) {
        return NULL;
    }
    ht_free(b->context, b->energy);
    b->energy = ht_alloc(b->context, width * sizeof(*b->energy));
    for (uint32_t i = 0; b->energy && i < s->gram_blocks * s->gram_block; ++i) {
        const float square = s->gram[(size_t)i * s->gram_block + i % s->gram_block];
        const float factor = factors ? factors[i % width] : 1;
        b->energy[i % width] += square / (factor * factor);
    }
    return b->energy;
}

// Of a layer whose columns are kept apart, when both parts are packed: its outputs' signal to noise,
// beside those of all columns in the format of most, nearest codes.
static ht_status judge_whole(const better *b, const ht_quantize_layer *l, const ht_layer *all,
                             const float *values, ht_improved *out) {
    const uint32_t width = all->width, own = l->desc.dims[l->desc.rank - 1];
    const size_t count = (size_t)all->rows * width;
    double signal = 0, noise = 0, nearest = 0;
    ht_layer_formats formats;
    ht_recipe_find(b->recipe, l->name, &formats);
    ht_tensor_desc desc = l->desc;
    desc.format = formats.weights;
    desc.dims[desc.rank - 1] = l->n_inputs;
    float *off = ht_alloc(b->context, count * sizeof(*off));
    void *packed = ht_alloc(b->context, ht_desc_bytes(&desc));
    ht_status status = off && packed ? HT_OK : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        memcpy(off, l->lost, count * sizeof(*off));
        for (size_t i = 0; i < count / l->n_inputs * own; ++i) {
            const size_t at = i / own * l->n_inputs + l->columns[i % own];
            off[at] = values[i] - l->whole[at];
        }
        status = ht_gram_energy(b->context, off, all->gram, all->rows, width, &noise);
    }
    if (status == HT_OK) {
        ht_desc_pack(&desc, HT_SCALE_SEARCH, l->whole, packed);
        ht_desc_unpack(&desc, packed, off);
        for (size_t i = 0; i < count; ++i) {
            off[i] -= l->whole[i];
        }
        status = ht_gram_energy(b->context, off, all->gram, all->rows, width, &nearest);
    }
    if (status == HT_OK) {
        status = ht_gram_energy(b->context, l->whole, all->gram, all->rows, width, &signal);
    }
    out->nearest_db = 10 * log10(signal / nearest);
    out->got_db = 10 * log10(signal / noise);
    ht_free(b->context, packed);
    ht_free(b->context, off);
    return status;
}

// The layer of `p` into l->packed; *values: what it stands for now.
static ht_status pack_problem(const better *b, const ht_quantize_layer *l, const problem *p,
                              float *values, ht_improved *improved) {
    ht_rounded rounded = {0};
    ht_status status = ht_rounded_create(b->context, &p->layer, &rounded);
    if (status == HT_OK) {
        status = ht_improve(b->context, &p->layer, &p->desc, l->up, l->down, &rounded, improved);
    }
    if (status == HT_OK) {
        ht_rounded_values(&p->layer, &rounded, values);
        ht_desc_pack_scaled(&l->desc, rounded.outer, rounded.scales, values, l->packed);
    }
    ht_rounded_free(b->context, &rounded);
    return status;
}

// Some columns of a layer: the salient ones take back what the others have lost, as far as they can.
static ht_status pack_columns(better *b, const ht_quantize_layer *l, const ht_input_stats *s,
                              float *values) {
    const size_t count = ht_desc_count(&l->desc);
    problem all = {0}, part = {0};
    ht_improved improved;
    float *target = ht_alloc(b->context, count * sizeof(*target));
    ht_status status = target ? pose(b, l, s, &all) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        memcpy(target, l->values, count * sizeof(*target));
        status = pose(b, l, s, &part);
    }
    if (status == HT_OK) {
        status = select_columns(b, l, &part);
    }
    if (status == HT_OK && l->salient) {
        const uint32_t own = l->desc.dims[l->desc.rank - 1];
        const ht_columns columns = {l->columns, own, l->n_inputs};
        status = ht_absorb(b->context, &all.layer, &columns, l->lost, target);
    }
    part.layer.weights = target;
    if (status == HT_OK) {
        status = pack_problem(b, l, &part, values, &improved);
    }
    if (status == HT_OK && l->salient) {
        status = judge_whole(b, l, &all.layer, values, &improved);
        note(b, l->name, &improved, true);
    }
    free_problem(b, &all);
    free_problem(b, &part);
    ht_free(b->context, target);
    return status;
}

ht_status better_pack(better *b, const ht_quantize_layer *l, bool *done) {
    const ht_input_stats *s = ht_stats_find(b->stats, l->name);
    ht_improved improved = {.nearest_db = NAN, .got_db = NAN};
    if (!ht_format_has_grid(l->desc.format) || !serves_inputs(s, &l->desc, l->n_inputs)) {
        note(b, l->name, &improved, false);
        return HT_OK;
    }
    problem p = {0};
    float *values = ht_alloc(b->context, ht_desc_count(&l->desc) * sizeof(*values));
    ht_status status = values ? HT_OK : HT_ERR_NO_MEMORY;
    if (status == HT_OK && l->columns) {
        status = pack_columns(b, l, s, values);
    } else if (status == HT_OK) {
        status = pose(b, l, s, &p);
        status = status == HT_OK ? pack_problem(b, l, &p, values, &improved) : status;
        note(b, l->name, &improved, status == HT_OK);
    }
    *done = status == HT_OK;
    free_problem(b, &p);
    ht_free(b->context, values);
    return status;
}

// ---- formats

// Noise of a layer's outputs with a format, by the inputs' mean squares: scales searched, nearest codes.
static double format_noise(const better *b, const problem *p, ht_format format) {
    ht_layer layer = p->layer;
    ht_rounded rounded;
    double noise = INFINITY;
    layer.format = format;
    float *values = ht_alloc(b->context, (size_t)layer.rows * layer.width * sizeof(*values));
    if (values && ht_rounded_create(b->context, &layer, &rounded) == HT_OK) {
        ht_round_nearest(&layer, true, &rounded);
        ht_rounded_values(&layer, &rounded, values);
        for (size_t i = 0; i < (size_t)layer.rows * layer.width; ++i) {
            values[i] -= layer.weights[i];
        }
        ht_gram_energy(b->context, values, layer.gram, layer.rows, layer.width, &noise);
        ht_rounded_free(b->context, &rounded);
    }
    ht_free(b->context, values);
    return noise;
}

static bool alike(ht_format a, ht_format b) {
    const ht_tensor_desc x = {.format = a, .rank = 2, .dims = {1, 1024}};
    const ht_tensor_desc y = {.format = b, .rank = 2, .dims = {1, 1024}};
    return ht_format_has_grid(b) && ht_format_group(a) == ht_format_group(b) &&
           ht_format_bits(a) == ht_format_bits(b) && ht_desc_bytes(&x) == ht_desc_bytes(&y);
}

// [O, I, taps] -> [O, taps, I]
static void reorder(const float *in, float *out, uint32_t outputs, uint32_t channels,
                    uint32_t taps) {
    for (size_t i = 0; i < (size_t)outputs * channels * taps; ++i) {
        const size_t o = i / channels / taps, c = i / taps % channels, t = i % taps;
        out[(o * taps + t) * channels + c] = in[i];
    }
}

// A layer's values, as the device has them and multiplied, and what it reads. `l` and `p` point into
// them: free_problem and free() of the context afterwards. False without statistics.
static bool load(const better *b, const char *layer, ht_format format, ht_quantize_layer *l,
                 problem *p, float **values) {
    const ht_input_stats *s = ht_stats_find(b->stats, layer);
    char name[512];
    snprintf(name, sizeof(name), "%s.weight", layer);
    const ht_weight_info *info = ht_weights_find(b->weights, name);
    *p = (problem){0};
    *values = NULL;
    if (!s || !info || !ht_format_has_grid(format) || info->desc.rank < 2) {
        return false;
    }
    const size_t count = ht_desc_count(&info->desc);
    const uint32_t outputs = info->desc.dims[0], channels = info->desc.dims[1];
    const uint32_t taps = (uint32_t)(count / outputs / channels);
    *l = (ht_quantize_layer){.name = layer,
                             .desc = {.format = format,
                                      .rank = taps > 1 ? 3 : 2,
                                      .dims = {outputs, taps > 1 ? taps : channels, channels}}};
    if (!serves(s, &l->desc)) {
        return false;
    }
    *values = ht_alloc(b->context, 2 * count * sizeof(**values));
    l->values = *values;
    if (!*values || ht_weights_read_f32(b->weights, name, *values + count, count) != HT_OK ||
        pose(b, l, s, p) != HT_OK) {
        return false;
    }
    reorder(*values + count, *values, outputs, channels, taps);
    const float *factors = balance_inputs(b, layer);
    for (size_t i = 0; factors && i < count; ++i) {
        (*values)[i] *= factors[i % channels];
    }
    return true;
}

ht_format better_format(better *b, const char *layer, ht_format format) {
    ht_quantize_layer l;
    problem p;
    float *values;
    double least = INFINITY;
    if (load(b, layer, format, &l, &p, &values)) {
        const ht_format asked = format;
        for (size_t i = 0; ht_format_at(i) != HT_FORMAT_NONE; ++i) {
            const ht_format other = ht_format_at(i);
            const double noise =
                alike(asked, other) ? format_noise(b, &p, other) : (double)INFINITY;
            if (noise < least) {
                least = noise;
                format = other;
            }
        }
    }
    free_problem(b, &p);
    ht_free(b->context, values);
    return format;
}

double better_noise(const better *b, const char *layer, const ht_layer_formats *formats) {
    ht_quantize_layer l;
    problem p;
    float *values;
    ht_rounded rounded = {0};
    ht_improved out = {.got_db = NAN};
    if (load(b, layer, formats->weights, &l, &p, &values) &&
        ht_rounded_create(b->context, &p.layer, &rounded) == HT_OK) {
        p.desc.activations = formats->activations;
        p.desc.rounding = b->rounding;
        ht_improve(b->context, &p.layer, &p.desc, NULL, NULL, &rounded, &out);
    }
    ht_rounded_free(b->context, &rounded);
    free_problem(b, &p);
    ht_free(b->context, values);
    return pow(10, -out.got_db / 10);
}

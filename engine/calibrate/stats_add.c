// Counting one run of a layer into its input's statistics. What is drawn at random depends on the
// prompt's number only, so that a collection that was stopped and gone on with is the same.
#include "stats_internal.h"

#include "formats.h"

#include <math.h>
#include <string.h>

// ---- which rows count

typedef struct rows {
    const ht_layer_run *run;
    const uint32_t *tokens; // per item, or NULL
    uint32_t length;        // rows of an item, with tokens
    uint32_t width;
    uint64_t stored; // rows of x
} rows;

static bool counts(const rows *r, uint64_t row) {
    return r->tokens == NULL || row % r->length < r->tokens[row / r->length];
}

// ---- ranges and histograms

typedef struct extent {
    double least, most, sum, squares, count;
    bool finite;
} extent;

static extent measure(const rows *r, float *channel_max) {
    extent e = {.least = INFINITY, .most = -INFINITY, .finite = true};
    for (uint64_t row = 0; row < r->stored; row++) {
        const float *x = r->run->x + row * r->width;
        if (!counts(r, row)) {
            continue;
        }
        float least = INFINITY, most = -INFINITY;
        double sum = 0, squares = 0;
        for (uint32_t k = 0; k < r->width; k++) {
            const float size = fabsf(x[k]);
            channel_max[k] = size > channel_max[k] ? size : channel_max[k];
            least = x[k] < least ? x[k] : least;
            most = x[k] > most ? x[k] : most;
            sum += (double)x[k];
            squares += (double)x[k] * (double)x[k];
        }
        e.finite = e.finite && isfinite(squares);
        e.least = fmin(e.least, (double)least);
        e.most = fmax(e.most, (double)most);
        e.sum += sum;
        e.squares += squares;
        e.count += r->width;
    }
    return e;
}

// Bins of twice the width until `size` fits; pairs are added up, so nothing is lost.
static void widen(ht_step_range *range, double *histogram, double size) {
    if (range->bin == 0) {
        int exponent;
        frexp(size > 0 ? size : 1e-30, &exponent);
        range->bin = ldexp(1.0, exponent) / HT_HISTOGRAM_BINS;
    }
    while (size >= range->bin * HT_HISTOGRAM_BINS) {
        for (int i = 0; i < HT_HISTOGRAM_BINS / 2; i++) {
            histogram[i] = histogram[2 * i] + histogram[2 * i + 1];
        }
        memset(histogram + HT_HISTOGRAM_BINS / 2, 0, HT_HISTOGRAM_BINS / 2 * sizeof *histogram);
        range->bin *= 2;
    }
}

static void count_sizes(const rows *r, const ht_step_range *range, double *histogram) {
    const float inverse = (float)(1 / range->bin); // a power of two: exact
    for (uint64_t row = 0; row < r->stored; row++) {
        const float *x = r->run->x + row * r->width;
        for (uint32_t k = 0; counts(r, row) && k < r->width; k++) {
            histogram[(uint32_t)(fabsf(x[k]) * inverse)]++;
        }
    }
}

static ht_status add_range(ht_stats *stats, ht_input_stats *s, const rows *r, uint32_t step) {
    ht_step_range *range = &s->ranges[step];
    double *histogram = s->histograms + (uint64_t)step * HT_HISTOGRAM_BINS;
    const extent e = measure(r, s->channel_max + (uint64_t)step * s->width);
    if (!e.finite) {
        return ht_fail(stats->context, HT_ERR_UNSUPPORTED,
                       "layer '%s' reads values that are not numbers, at step %u", r->run->layer,
                       step + 1);
    }
    if (e.count == 0) {
        return HT_OK;
    }
    const bool first = range->count == 0;
    range->least = first ? e.least : fmin(range->least, e.least);
    range->most = first ? e.most : fmax(range->most, e.most);
    range->count += e.count;
    range->sum += e.sum;
    range->squares += e.squares;
    widen(range, histogram, fmax(-e.least, e.most));
    count_sizes(r, range, histogram);
    return HT_OK;
}

// ---- rows

// SplitMix64 (Steele, Lea, Flood 2014).
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// Row `row` of the product: the pixels under the kernel, tap by tap; zeros beyond the edges.
static void take_row(const rows *r, const ht_input_stats *s, uint64_t row, float *out) {
    const ht_window *w = &r->run->window;
    const uint64_t pixels = (uint64_t)w->out_h * w->out_w;
    const uint64_t item = row / pixels, oy = row % pixels / w->out_w, ox = row % w->out_w;
    for (uint32_t ky = 0; ky < s->kernel_h; ky++) {
        for (uint32_t kx = 0; kx < s->kernel_w; kx++, out += r->width) {
            const int64_t y = (int64_t)(oy * w->stride + ky) - w->pad_top;
            const int64_t x = (int64_t)(ox * w->stride + kx) - w->pad_left;
            const bool inside = y >= 0 && x >= 0 && y < (int64_t)w->in_h * w->upsample &&
                                x < (int64_t)w->in_w * w->upsample;
            if (!inside) {
                memset(out, 0, r->width * sizeof *out);
                continue;
            }
            const uint64_t at = (item * w->in_h + (uint64_t)y / w->upsample) * w->in_w +
                                (uint64_t)x / w->upsample;
            memcpy(out, r->run->x + at * r->width, r->width * sizeof *out);
        }
    }
}

// A row that counts, drawn at random.
static uint64_t draw(const rows *r, uint64_t count, uint64_t *state) {
    uint64_t row;
    do {
        row = next_random(state) % count;
    } while (!counts(r, row));
    return row;
}

static uint64_t product_rows(const rows *r) {
    const ht_window *w = &r->run->window;
    const uint64_t batch = r->stored / ((uint64_t)w->in_h * w->in_w);
    return batch * w->out_h * w->out_w;
}

// Each of the step's slots holds any row of any prompt so far with the same chance.
static void add_samples(const ht_stats *stats, ht_input_stats *s, const rows *r, uint32_t step,
                        uint64_t *state) {
    const uint64_t count = product_rows(r);
    for (uint32_t slot = step; slot < s->n_rows; slot += s->steps) {
        if (next_random(state) % (stats->prompts + 1) == 0) {
            float *out = s->rows + (uint64_t)slot * s->columns;
            take_row(r, s, draw(r, count, state), out);
            for (uint32_t i = 0; i < s->columns; i++) {
                const float kept = fminf(fmaxf(out[i], -65504.0f), 65504.0f);
                out[i] = ht_fmt_f32_from_f16(ht_fmt_f16_from_f32(kept));
            }
        }
    }
}

static ht_status add_gram(ht_stats *stats, ht_input_stats *s, const rows *r, uint64_t *state) {
    const uint64_t count = s->gram_pixels ? r->stored : product_rows(r);
    const uint32_t across = s->gram_pixels ? s->width : s->columns;
    const bool all = count <= stats->desc.gram_rows;
    const uint32_t most = all ? (uint32_t)count : stats->desc.gram_rows;
    if (stats->scratch_count < (uint64_t)most * across) {
        ht_free(stats->context, stats->scratch);
        stats->scratch_count = (uint64_t)most * across;
        stats->scratch = ht_alloc(stats->context, stats->scratch_count * sizeof(float));
        if (stats->scratch == NULL) {
            stats->scratch_count = 0;
            return HT_ERR_NO_MEMORY;
        }
    }
    uint32_t taken = 0;
    for (uint32_t i = 0; i < most; i++) {
        const uint64_t row = all ? i : draw(r, count, state);
        float *out = stats->scratch + (uint64_t)taken * across;
        if (!counts(r, row)) {
            continue;
        }
        taken++;
        if (s->gram_pixels) {
            memcpy(out, r->run->x + row * r->width, r->width * sizeof *out);
        } else {
            take_row(r, s, row, out);
        }
    }
    for (uint32_t b = 0; b < s->gram_blocks; b++) {
        ht_gram_add(stats->scratch, taken, across, b * s->gram_block, s->gram_block,
                    s->gram + (uint64_t)b * s->gram_block * s->gram_block);
    }
    s->gram_rows += taken;
    return HT_OK;
}

// ---- text

static void add_tokens(ht_input_stats *s, const rows *r) {
    const uint32_t items = (uint32_t)(r->stored / r->length);
    for (uint32_t b = 0; b < items; b++) {
        const uint32_t used = r->tokens != NULL ? r->tokens[b] : r->length;
        const float *first = r->run->x + (uint64_t)b * r->length * r->width;
        for (uint32_t t = 0; t < used && t < s->tokens; t++) {
            double size = 0;
            for (uint32_t k = 0; k < r->width; k++) {
                size = fmax(size, fabs((double)first[(uint64_t)t * r->width + k]));
            }
            s->token_max[t] = fmax(s->token_max[t], size);
            s->token_sum[t] += size;
        }
        for (uint32_t k = 0; k < r->width; k++) {
            if (s->token_texts == 0) {
                s->first_token[k] = first[k];
            }
            s->first_spread =
                fmax(s->first_spread, fabs((double)first[k] - (double)s->first_token[k]));
        }
        s->token_texts++;
    }
}

// ---- all of it

static bool same_kernel(const ht_input_stats *s, const ht_layer_run *run) {
    return s->kernel_h == run->window.kernel_h && s->kernel_w == run->window.kernel_w;
}

// The layer's input, made when it is new; shared where another layer reads the same.
static ht_status find_input(ht_stats *stats, const ht_layer_run *run, const ht_stats_place *place,
                            const rows *r, uint32_t *index) {
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < stats->n_layers; i++) {
        if (strcmp(stats->layers[i].name, run->layer) == 0) {
            *index = stats->layers[i].input;
            return HT_OK;
        }
    }
    for (uint32_t i = 0; i < stats->n_inputs; i++) {
        const ht_stats_input *input = &stats->inputs[i];
        if (input->value == run->input && input->s.stage == place->stage &&
            same_kernel(&input->s, run)) {
            *index = i;
            return ht_stats_add_layer(stats, run->layer, i);
        }
    }
    const ht_input_stats like = {.name = run->layer,
                                 .stage = place->stage,
                                 .width = r->width,
                                 .kernel_h = run->window.kernel_h,
                                 .kernel_w = run->window.kernel_w,
                                 .steps = place->steps,
                                 .tokens = place->stage == HT_STATS_TEXT ? r->length : 0};
    HT_TRY(ht_stats_add_input(stats, &like, index));
    stats->inputs[*index].value = run->input;
    HT_TRY(ht_stats_add_layer(stats, run->layer, *index));
fail:
    return status;
}

static ht_status keep_timestep(ht_stats *stats, const ht_stats_place *place) {
    if (place->stage != HT_STATS_STEP) {
        return HT_OK;
    }
    if (stats->timesteps == NULL) {
        stats->timesteps = ht_alloc(stats->context, place->steps * sizeof *stats->timesteps);
        if (stats->timesteps == NULL) {
            return HT_ERR_NO_MEMORY;
        }
        stats->n_timesteps = place->steps;
    }
    if (place->step < stats->n_timesteps) {
        stats->timesteps[place->step] = place->timestep;
    }
    return HT_OK;
}

ht_status ht_stats_add(ht_stats *stats, const ht_layer_run *run, const ht_stats_place *place) {
    const ht_tensor_desc *x = &run->x_desc;
    const uint32_t width = x->dims[x->rank - 1];
    rows r = {.run = run,
              .tokens = place->tokens,
              .length = x->rank >= 2 ? x->dims[x->rank - 2] : 1,
              .width = width,
              .stored = ht_desc_count(x) / width};
    uint32_t index;
    ht_status status = HT_OK;
    HT_TRY(find_input(stats, run, place, &r, &index));
    HT_TRY(keep_timestep(stats, place));
    ht_input_stats *s = &stats->inputs[index].s;
    if (s->width != width || !same_kernel(s, run) || place->step >= s->steps) {
        return ht_fail(stats->context, HT_ERR_INVALID,
                       "layer '%s' was counted with %u channels and %u steps, and now has %u and "
                       "step %u",
                       run->layer, s->width, s->steps, width, place->step + 1);
    }
    if (strcmp(s->name, run->layer) != 0) {
        return HT_OK; // counted where the first layer read it
    }
    uint64_t state = ((uint64_t)stats->prompts << 40) ^ ((uint64_t)index << 12) ^ place->step;
    HT_TRY(add_range(stats, s, &r, place->step));
    add_samples(stats, s, &r, place->step, &state);
    if (s->gram != NULL) {
        HT_TRY(add_gram(stats, s, &r, &state));
    }
    if (s->tokens != 0) {
        add_tokens(s, &r);
    }
fail:
    return status;
}

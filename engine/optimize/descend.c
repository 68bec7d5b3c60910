// Rounding learned by coordinate descent: the error is quadratic in every single code and scale, so
// the best value of each, the others being as they are, is known exactly (decoupleQ's and AdaRound's
// aim without a learning rate). Rows are independent of each other.
#include "optimize_internal.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct descent {
    const ht_layer *layer;
    ht_groups groups;
    ht_snap snap;
    ht_rounded *out;
    float *gradient; // [N][K]: (Q - W) H
    uint32_t sweeps;
} descent;

// What must be gained, against rounding errors that would let two codes change places forever.
static bool gains(double change, double scale) {
    return change < -1e-6 * scale;
}

static void add(float *gradient, float factor, const float *row, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        gradient[i] += factor * row[i];
    }
}

static uint32_t move_codes(const descent *d, float *codes, const float *scales, float *gradient) {
    const uint32_t width = d->layer->width;
    uint32_t moved = 0;
    for (uint32_t k = 0; k < width; k++) {
        const float *row = d->layer->gram + (size_t)k * width;
        const float scale = scales[ht_group_at(d->layer, &d->groups, k)];
        if (!(row[k] > 0)) {
            continue;
        }
        const float code = ht_snap_to(&d->snap, codes[k] - gradient[k] / (row[k] * scale));
        const float step = (code - codes[k]) * scale;
        const double own = (double)step * step * row[k];
        if (code != codes[k] && gains(own + 2.0 * step * gradient[k], own)) {
            codes[k] = code;
            add(gradient, step, row, width);
            moved++;
        }
    }
    return moved;
}

static bool move_scale(const descent *d, const float *codes, float outer, float *scale,
                       float *gradient, uint32_t first, uint32_t count) {
    const uint32_t width = d->layer->width;
    double own = 0, slope = 0;
    for (uint32_t i = first; i < first + count; i++) {
        const float *row = d->layer->gram + (size_t)i * width;
        double sum = 0;
        for (uint32_t j = first; j < first + count; j++) {
            sum += (double)row[j] * codes[j];
        }
        own += sum * codes[i];
        slope += (double)gradient[i] * codes[i];
    }
    if (!(own > 0) || slope / own >= *scale) { // would not be positive
        return false;
    }
    const float wanted = (float)(*scale - slope / own);
    const float next = ht_format_scale(d->layer->format, wanted, outer);
    const float step = next - *scale;
    if (step == 0 || !gains(step * (step * own + 2 * slope), step * step * own)) {
        return false;
    }
    *scale = next;
    for (uint32_t i = first; i < first + count; i++) {
        if (codes[i] != 0) {
            add(gradient, step * codes[i], d->layer->gram + (size_t)i * width, width);
        }
    }
    return true;
}

static uint32_t move_scales(const descent *d, const float *codes, const float *outer, float *scales,
                            float *gradient) {
    uint32_t moved = 0;
    for (uint32_t k = 0; k < d->layer->width;) {
        const uint32_t count = ht_group_count(d->layer, &d->groups, k);
        moved += move_scale(d, codes, outer[k / d->layer->segment],
                            &scales[ht_group_at(d->layer, &d->groups, k)], gradient, k, count);
        k += count;
    }
    return moved;
}

static void descend_rows(void *user, uint64_t first, uint64_t rows) {
    const descent *d = user;
    const size_t of_row = (size_t)d->groups.segments * d->groups.groups;
    for (uint64_t r = first; r < first + rows; r++) {
        float *codes = d->out->codes + r * d->layer->width, *scales = d->out->scales + r * of_row;
        float *gradient = d->gradient + r * d->layer->width;
        for (uint32_t sweep = 0; sweep < d->sweeps; sweep++) {
            uint32_t moved = move_codes(d, codes, scales, gradient);
            moved +=
                move_scales(d, codes, d->out->outer + r * d->groups.segments, scales, gradient);
            if (moved == 0) {
                break;
            }
        }
    }
}

ht_status ht_round_descend(ht_context *context, const ht_layer *layer, uint32_t sweeps,
                           ht_rounded *rounded) {
    descent d = {.layer = layer, .groups = ht_groups_of(layer), .out = rounded, .sweeps = sweeps};
    const size_t count = (size_t)layer->rows * layer->width;
    const int n = (int)layer->rows, k = (int)layer->width;
    float *difference = ht_alloc(context, count * sizeof *difference);
    d.gradient = difference ? ht_alloc(context, count * sizeof *d.gradient) : NULL;
    if (d.gradient) {
        ht_snap_of(layer->format, &d.snap);
        ht_rounded_values(layer, rounded, difference);
        for (size_t i = 0; i < count; i++) {
            difference[i] -= layer->weights[i];
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, k, k, 1, difference, k,
                    layer->gram, k, 0, d.gradient, k);
        ht_parallel(layer->rows, 1, descend_rows, &d);
    }
    ht_free(context, d.gradient);
    ht_free(context, difference);
    return d.gradient ? HT_OK : HT_ERR_NO_MEMORY;
}

// ---- all together

ht_status ht_round_layer(ht_context *context, const ht_layer *layer, ht_rounding rounding,
                         ht_rounded *rounded) {
    enum { SWEEPS = 20 };
    ht_status status = HT_OK;
    ht_round_nearest(layer, rounding != HT_ROUNDING_NEAREST, rounded);
    if (rounding != HT_ROUNDING_NEAREST) {
        status = ht_round_gptq(context, layer, rounded);
    }
    if (status == HT_OK && rounding == HT_ROUNDING_LEARNED) {
        status = ht_round_descend(context, layer, SWEEPS, rounded);
    }
    return status;
}

ht_status ht_gram_energy(ht_context *context, const float *difference, const float *gram,
                         uint32_t rows, uint32_t width, double *energy) {
    enum { PIECE = 256 };
    const int k = (int)width;
    float *product = ht_alloc(context, (size_t)PIECE * width * sizeof *product);
    *energy = 0;
    for (uint32_t first = 0; product && first < rows; first += PIECE) {
        const uint32_t n = rows - first < PIECE ? rows - first : PIECE;
        const float *d = difference + (size_t)first * width;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, k, k, 1, d, k, gram, k, 0,
                    product, k);
        for (size_t i = 0; i < (size_t)n * width; i++) {
            *energy += (double)d[i] * product[i];
        }
    }
    ht_free(context, product);
    return product ? HT_OK : HT_ERR_NO_MEMORY;
}

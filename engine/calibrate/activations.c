// Static scales of activations: what is best for each step, and what they cost against scales that
// are found row by row.
#include "core.h"

#include <halftone/calibrate.h>
#include <halftone/grid.h>

#include <math.h>
#include <string.h>

bool ht_calibrate_scales(const ht_input_stats *s, ht_format format, float *scales) {
    float largest = 0;
    for (uint32_t i = 0; i < s->steps; i++) {
        const ht_step_range *r = &s->ranges[i];
        scales[i] = ht_clip_search(format, s->histograms + (uint64_t)i * HT_HISTOGRAM_BINS, r->bin,
                                   fmax(-r->least, r->most), NULL);
        largest = scales[i] > largest ? scales[i] : largest;
    }
    for (uint32_t i = 0; i < s->steps; i++) {
        scales[i] = scales[i] > 0 ? scales[i] : largest;
    }
    return largest > 0;
}

// Rows of outputs side by side: each thread has its own sums.
typedef struct trial {
    const ht_input_stats *s;
    const float *w, *packed;   // [n, columns]
    const float *x, *by_row, *by_step; // [n_rows, columns]
    double *sums;              // [n][3]
} trial;

static double dot(const float *a, const float *b, uint32_t count) {
    double sums[4] = {0};
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        for (uint32_t k = 0; k < 4; k++) {
            sums[k] += (double)a[i + k] * (double)b[i + k];
        }
    }
    for (; i < count; i++) {
        sums[0] += (double)a[i] * (double)b[i];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

static void outputs(void *user, uint64_t first, uint64_t count) {
    const trial *t = user;
    const uint32_t columns = t->s->columns;
    for (uint64_t n = first; n < first + count; n++) {
        double *sums = t->sums + 3 * n;
        for (uint32_t r = 0; r < t->s->n_rows; r++) {
            const uint64_t at = (uint64_t)r * columns;
            const double y = dot(t->x + at, t->w + n * columns, columns);
            const double dynamic = dot(t->by_row + at, t->packed + n * columns, columns) - y;
            const double fixed = dot(t->by_step + at, t->packed + n * columns, columns) - y;
            sums[0] += y * y;
            sums[1] += dynamic * dynamic;
            sums[2] += fixed * fixed;
        }
    }
}

// The sample rows as the packed format has them; pixels of a convolution have scales of their own.
static bool pack_rows(ht_context *context, const ht_input_stats *s, ht_format format,
                      const float *scales, float *by_row, float *by_step) {
    const uint32_t taps = s->kernel_h * s->kernel_w;
    const ht_tensor_desc desc = {
        .format = format, .rank = 2, .dims = {s->n_rows * taps, s->width}};
    void *packed = ht_alloc(context, ht_desc_bytes(&desc));
    float *each = ht_alloc(context, (uint64_t)desc.dims[0] * sizeof *each);
    const bool good = packed != NULL && each != NULL;
    if (good) {
        ht_desc_pack(&desc, HT_SCALE_MAX, s->rows, packed);
        ht_desc_unpack(&desc, packed, by_row);
        for (uint32_t i = 0; i < desc.dims[0]; i++) {
            each[i] = scales[s->row_steps[i / taps]];
        }
        ht_desc_pack_scaled(&desc, NULL, each, s->rows, packed);
        ht_desc_unpack(&desc, packed, by_step);
    }
    ht_free(context, each);
    ht_free(context, packed);
    return good;
}

ht_status ht_calibrate_try(ht_context *context, const ht_input_stats *s, const float *w,
                           const float *packed, uint32_t n, ht_format format, const float *scales,
                           ht_scale_trial *out) {
    const uint64_t count = (uint64_t)s->n_rows * s->columns;
    float *rows = ht_alloc(context, 2 * count * sizeof *rows);
    double *sums = ht_alloc(context, 3 * (uint64_t)n * sizeof *sums);
    ht_status status = HT_ERR_NO_MEMORY;
    *out = (ht_scale_trial){0};
    if (rows != NULL && sums != NULL &&
        pack_rows(context, s, format, scales, rows, rows + count)) {
        trial t = {s, w, packed, s->rows, rows, rows + count, sums};
        ht_parallel(n, 8, outputs, &t);
        for (uint64_t i = 0; i < n; i++) {
            out->signal += sums[3 * i];
            out->dynamic_error += sums[3 * i + 1];
            out->fixed_error += sums[3 * i + 2];
        }
        status = HT_OK;
    }
    ht_free(context, sums);
    ht_free(context, rows);
    return status;
}

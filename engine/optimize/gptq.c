// GPTQ: columns are rounded one after another, and what rounding one changes in the outputs the
// columns that follow take back as far as they can (Frantar et al. 2022).
#include "optimize_internal.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 };

typedef struct column {
    float importance;
    uint32_t index;
} column;

typedef struct gptq {
    const ht_layer *layer;
    ht_groups groups;
    ht_snap snap;
    ht_rounded *out;
    column *order;         // by descending diagonal of H
    double *inverse;       // [K][K]: H, then its inverse's factor, in that order
    float *factor;         // the same, upper triangle
    float *left;           // [N][K] weights as the columns before have changed them, in that order
    float *errors;         // [N][BLOCK]
    uint32_t block, count; // columns of the block
} gptq;

static int by_importance(const void *a, const void *b) {
    const column *x = a, *y = b;
    if (x->importance != y->importance) {
        return x->importance < y->importance ? 1 : -1;
    }
    return x->index < y->index ? -1 : x->index > y->index;
}

// Dead inputs (never other than 0) get a 1 on the diagonal; `damping` of its mean is added.
static void permuted_gram(const gptq *g, double damping) {
    const uint32_t k = g->layer->width;
    const float *gram = g->layer->gram;
    double mean = 0;
    for (uint32_t i = 0; i < k; i++) {
        mean += (double)gram[(size_t)i * k + i] / k;
    }
    for (uint32_t i = 0; i < k; i++) {
        const float *row = gram + (size_t)g->order[i].index * k;
        for (uint32_t j = 0; j < k; j++) {
            g->inverse[(size_t)i * k + j] = row[g->order[j].index];
        }
        const double own = g->order[i].importance;
        g->inverse[(size_t)i * k + i] = own > 0 ? own + damping * mean : fmax(mean, 1);
    }
}

// Upper factor U of the inverse, inverse = U^T U. Column-major 'L' is row-major's upper triangle.
static ht_status factorise(const gptq *g) {
    const lapack_int k = (lapack_int)g->layer->width;
    for (double damping = 0.01; damping < 2; damping *= 10) {
        permuted_gram(g, damping);
        if (LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', k, g->inverse, k) == 0 &&
            LAPACKE_dpotri(LAPACK_COL_MAJOR, 'L', k, g->inverse, k) == 0 &&
            LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', k, g->inverse, k) == 0) {
            for (size_t i = 0; i < (size_t)k * (size_t)k; i++) {
                g->factor[i] = (float)g->inverse[i];
            }
            return HT_OK;
        }
    }
    return HT_ERR_INVALID;
}

static void round_block(void *user, uint64_t first, uint64_t rows) {
    const gptq *g = user;
    const uint32_t k = g->layer->width, end = g->block + g->count;
    const size_t scales_of_row = (size_t)g->groups.segments * g->groups.groups;
    for (uint64_t r = first; r < first + rows; r++) {
        float *left = g->left + r * k, *errors = g->errors + r * BLOCK;
        for (uint32_t i = g->block; i < end; i++) {
            const uint32_t index = g->order[i].index;
            const float scale =
                g->out->scales[r * scales_of_row + ht_group_at(g->layer, &g->groups, index)];
            const float *u = g->factor + (size_t)i * k;
            const float code = ht_snap_to(&g->snap, left[i] / scale);
            const float error = (left[i] - code * scale) / u[i];
            g->out->codes[r * k + index] = code;
            errors[i - g->block] = error;
            for (uint32_t j = i + 1; j < end; j++) {
                left[j] -= error * u[j];
            }
        }
    }
}

static void round_all(gptq *g) {
    const uint32_t k = g->layer->width;
    for (g->block = 0; g->block < k; g->block += BLOCK) {
        const uint32_t rest = k - g->block;
        g->count = rest < BLOCK ? rest : BLOCK;
        ht_parallel(g->layer->rows, 1, round_block, g);
        const uint32_t next = g->block + g->count;
        if (next < k) {
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)g->layer->rows,
                        (int)(k - next), (int)g->count, -1, g->errors, BLOCK,
                        g->factor + (size_t)g->block * k + next, (int)k, 1, g->left + next, (int)k);
        }
    }
}

static ht_status take_memory(ht_context *context, gptq *g) {
    const size_t k = g->layer->width, n = g->layer->rows;
    g->order = ht_alloc(context, k * sizeof *g->order);
    g->inverse = g->order ? ht_alloc(context, k * k * sizeof *g->inverse) : NULL;
    g->factor = g->inverse ? ht_alloc(context, k * k * sizeof *g->factor) : NULL;
    g->left = g->factor ? ht_alloc(context, n * k * sizeof *g->left) : NULL;
    g->errors = g->left ? ht_alloc(context, n * BLOCK * sizeof *g->errors) : NULL;
    return g->errors ? HT_OK : HT_ERR_NO_MEMORY;
}

ht_status ht_round_gptq(ht_context *context, const ht_layer *layer, ht_rounded *rounded) {
    gptq g = {.layer = layer, .groups = ht_groups_of(layer), .out = rounded};
    const uint32_t k = layer->width;
    ht_snap_of(layer->format, &g.snap);
    ht_status status = take_memory(context, &g);
    if (status == HT_OK) {
        for (uint32_t i = 0; i < k; i++) {
            g.order[i] = (column){layer->gram[(size_t)i * k + i], i};
        }
        qsort(g.order, k, sizeof *g.order, by_importance);
        status = factorise(&g);
        if (status != HT_OK) {
            ht_fail(context, status, "a Gram matrix of %u inputs is not that of any inputs", k);
        }
    }
    if (status == HT_OK) {
        for (size_t r = 0; r < layer->rows; r++) {
            for (uint32_t i = 0; i < k; i++) {
                g.left[r * k + i] = layer->weights[r * k + g.order[i].index];
            }
        }
        round_all(&g);
    }
    ht_free(context, g.errors);
    ht_free(context, g.left);
    ht_free(context, g.factor);
    ht_free(context, g.inverse);
    ht_free(context, g.order);
    return status;
}

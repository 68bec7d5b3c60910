// Low-rank branches. With M = D H D^T the best columns U are M's leading eigenvectors, and V = U^T D:
// no inverse of H is needed.
#include "low_rank.h"

#include "optimize_internal.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

// m [N][N] = D H D^T
static ht_status weigh(ht_context *context, const float *difference, const float *gram,
                       uint32_t rows, uint32_t width, float *m) {
    const int n = (int)rows, k = (int)width;
    const float *left = difference;
    float *product = NULL;
    if (gram) {
        product = ht_alloc(context, (size_t)rows * width * sizeof *product);
        if (!product) {
            return HT_ERR_NO_MEMORY;
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, k, k, 1, difference, k, gram, k,
                    0, product, k);
        left = product;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, k, 1, left, k, difference, k, 0, m,
                n);
    ht_free(context, product);
    return HT_OK;
}

// Leading eigenvectors of m into the columns of u [N][rank].
static ht_status eigenvectors(ht_context *context, const float *m, uint32_t rows, uint32_t rank,
                              float *u) {
    const lapack_int n = (lapack_int)rows;
    double *a = ht_alloc(context, (size_t)rows * rows * sizeof *a);
    double *values = a ? ht_alloc(context, rows * sizeof *values) : NULL;
    double *vectors = values ? ht_alloc(context, (size_t)rank * rows * sizeof *vectors) : NULL;
    lapack_int *support = vectors ? ht_alloc(context, 2 * rank * sizeof *support) : NULL;
    ht_status status = support ? HT_OK : HT_ERR_NO_MEMORY;
    lapack_int found = 0;
    for (size_t i = 0; status == HT_OK && i < (size_t)rows * rows; i++) {
        a[i] = ((double)m[i] + (double)m[i % rows * rows + i / rows]) / 2;
    }
    if (status == HT_OK &&
        LAPACKE_dsyevr(LAPACK_COL_MAJOR, 'V', 'I', 'L', n, a, n, 0, 0, n - (lapack_int)rank + 1, n,
                       0, &found, values, vectors, n, support) != 0) {
        status = ht_fail(context, HT_ERR_INVALID, "no eigenvectors of a matrix of %u rows", rows);
    }
    for (uint32_t c = 0; status == HT_OK && c < rank; c++) { // ascending: the last first
        for (uint32_t r = 0; r < rows; r++) {
            u[(size_t)r * rank + c] = (float)vectors[(size_t)(rank - 1 - c) * rows + r];
        }
    }
    ht_free(context, support);
    ht_free(context, vectors);
    ht_free(context, values);
    ht_free(context, a);
    return status;
}

ht_status ht_low_rank(ht_context *context, const float *difference, const float *gram,
                      uint32_t rows, uint32_t width, uint32_t rank, float *u, float *v) {
    float *m = ht_alloc(context, (size_t)rows * rows * sizeof *m);
    ht_status status = m ? HT_OK : HT_ERR_NO_MEMORY;
    HT_TRY(status);
    HT_TRY(weigh(context, difference, gram, rows, width, m));
    HT_TRY(eigenvectors(context, m, rows, rank, u));
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)rank, (int)width, (int)rows, 1, u,
                (int)rank, difference, (int)width, 0, v, (int)width);
fail:
    ht_free(context, m);
    return status;
}

// ---- with codes

typedef struct branch {
    ht_context *context;
    const ht_layer *layer;
    uint32_t rank;
    size_t n_u, n_v, n_w;
    float *rest;   // W - U V
    float *values; // of the codes, then what they lose
    float *u, *v;  // tried
    ht_rounded rounded;
} branch;

static void as_halves(float *values, size_t count, uint16_t *scratch) {
    ht_format_pack(HT_FORMAT_F16, values, scratch, count);
    ht_format_unpack(HT_FORMAT_F16, scratch, values, count);
}

// Branch for what `values` lose of the weights; codes of what it leaves; their error.
static ht_status try_branch(branch *b, ht_rounding rounding, double *error) {
    const ht_layer *l = b->layer;
    ht_layer left = *l;
    ht_status status = HT_OK;
    uint16_t *halves = ht_alloc(b->context, (b->n_u > b->n_v ? b->n_u : b->n_v) * sizeof *halves);
    if (!halves) {
        return HT_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < b->n_w; i++) {
        b->rest[i] = l->weights[i] - b->values[i];
    }
    HT_TRY(ht_low_rank(b->context, b->rest, l->gram, l->rows, l->width, b->rank, b->u, b->v));
    as_halves(b->u, b->n_u, halves);
    as_halves(b->v, b->n_v, halves);
    memcpy(b->rest, l->weights, b->n_w * sizeof *b->rest);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)l->rows, (int)l->width,
                (int)b->rank, -1, b->u, (int)b->rank, b->v, (int)l->width, 1, b->rest,
                (int)l->width);
    left.weights = b->rest;
    HT_TRY(ht_round_layer(b->context, &left, rounding, &b->rounded));
    ht_rounded_values(l, &b->rounded, b->values);
    for (size_t i = 0; i < b->n_w; i++) {
        b->rest[i] -= b->values[i];
    }
    HT_TRY(ht_gram_energy(b->context, b->rest, l->gram, l->rows, l->width, error));
fail:
    ht_free(b->context, halves);
    return status;
}

static void keep(branch *b, float *u, float *v, ht_rounded *out) {
    const ht_groups g = ht_groups_of(b->layer);
    memcpy(u, b->u, b->n_u * sizeof *u);
    memcpy(v, b->v, b->n_v * sizeof *v);
    memcpy(out->codes, b->rounded.codes, b->n_w * sizeof *out->codes);
    memcpy(out->scales, b->rounded.scales,
           (size_t)b->layer->rows * g.segments * g.groups * sizeof *out->scales);
    memcpy(out->outer, b->rounded.outer, b->layer->rows * g.segments * sizeof *out->outer);
}

static ht_status take_memory(branch *b) {
    const ht_status status = ht_rounded_create(b->context, b->layer, &b->rounded);
    b->rest = ht_alloc(b->context, b->n_w * sizeof *b->rest);
    b->values = ht_alloc(b->context, b->n_w * sizeof *b->values);
    b->u = ht_alloc(b->context, b->n_u * sizeof *b->u);
    b->v = ht_alloc(b->context, b->n_v * sizeof *b->v);
    return status == HT_OK && b->rest && b->values && b->u && b->v ? HT_OK : HT_ERR_NO_MEMORY;
}

ht_status ht_round_low_rank(ht_context *context, const ht_layer *layer, ht_rounding rounding,
                            uint32_t rank, uint32_t rounds, float *u, float *v,
                            ht_rounded *rounded) {
    branch b = {.context = context,
                .layer = layer,
                .rank = rank,
                .n_u = (size_t)layer->rows * rank,
                .n_v = (size_t)rank * layer->width,
                .n_w = (size_t)layer->rows * layer->width};
    double least = INFINITY;
    ht_status status = take_memory(&b);
    for (uint32_t round = 0; status == HT_OK && round < rounds; round++) { // values are 0 at first
        double error;
        status = try_branch(&b, rounding, &error);
        if (status != HT_OK || !(error < least)) {
            break;
        }
        least = error;
        keep(&b, u, v, rounded);
    }
    ht_free(context, b.v);
    ht_free(context, b.u);
    ht_free(context, b.values);
    ht_free(context, b.rest);
    ht_rounded_free(context, &b.rounded);
    return status;
}

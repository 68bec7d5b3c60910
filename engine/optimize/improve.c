// Choosing how a layer is rounded.
#include "improve.h"

#include "optimize_internal.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

// ---- rows

ht_status ht_read_rows(ht_context *context, ht_format activations, uint32_t segment,
                       const float *rows, uint32_t n_rows, uint32_t width, float *out) {
    const ht_tensor_desc desc = {
        .format = activations, .rank = 2, .dims = {n_rows * (width / segment), segment}};
    if (!ht_format_is_packed(activations)) {
        memcpy(out, rows, (size_t)n_rows * width * sizeof *out);
        return HT_OK;
    }
    void *packed = ht_alloc(context, ht_desc_bytes(&desc));
    if (!packed) {
        return HT_ERR_NO_MEMORY;
    }
    ht_desc_pack(&desc, HT_SCALE_MAX, rows, packed);
    ht_desc_unpack(&desc, packed, out);
    ht_free(context, packed);
    return HT_OK;
}

// ---- choice

typedef struct choice {
    ht_context *context;
    const ht_layer *layer; // as given
    const ht_improve_desc *desc;
    float *read;                // [n_rows][K]
    float *want, *got, *hidden; // [n_rows][N], and [n_rows][rank]
    float *values;              // [N][K]
    ht_rounded tried;
    float *u, *v; // of the one tried
} choice;

static void product(const float *x, const float *w, uint32_t rows, uint32_t outputs, uint32_t width,
                    float beta, float *y) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)outputs, (int)width, 1, x,
                (int)width, w, (int)width, beta, y, (int)outputs);
}

// Noise of the outputs of codes (and branch) in c->values, as dB below the signal.
static ht_status judge(const choice *c, const float *u, const float *v, double *db) {
    const ht_layer *l = c->layer;
    const uint32_t n = c->desc->n_rows;
    const size_t count = (size_t)n * l->rows;
    double signal = 0, noise = 0;
    ht_status status = HT_OK;
    if (n == 0) {
        HT_TRY(ht_gram_energy(c->context, l->weights, l->gram, l->rows, l->width, &signal));
        for (size_t i = 0; i < (size_t)l->rows * l->width; i++) {
            c->values[i] -= l->weights[i];
        }
        if (u) {
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)l->rows, (int)l->width,
                        (int)c->desc->rank, 1, u, (int)c->desc->rank, v, (int)l->width, 1,
                        c->values, (int)l->width);
        }
        HT_TRY(ht_gram_energy(c->context, c->values, l->gram, l->rows, l->width, &noise));
    } else {
        product(c->read, c->values, n, l->rows, l->width, 0, c->got);
        if (u) { // the branch reads what was not rounded
            product(c->desc->rows, v, n, c->desc->rank, l->width, 0, c->hidden);
            product(c->hidden, u, n, l->rows, c->desc->rank, 1, c->got);
        }
        for (size_t i = 0; i < count; i++) {
            signal += (double)c->want[i] * c->want[i];
            noise += ((double)c->got[i] - c->want[i]) * ((double)c->got[i] - c->want[i]);
        }
    }
    *db = noise > 0 ? 10 * log10(signal / noise) : INFINITY;
fail:
    return status;
}

static ht_status take_memory(choice *c) {
    const ht_layer *l = c->layer;
    const size_t n = c->desc->n_rows, weights = (size_t)l->rows * l->width;
    const size_t rank = c->desc->rank;
    ht_status status = ht_rounded_create(c->context, l, &c->tried);
    c->values = ht_alloc(c->context, weights * sizeof(float));
    c->read = ht_alloc(c->context, (n * l->width + 1) * sizeof(float));
    c->want = ht_alloc(c->context, (n * l->rows + 1) * sizeof(float));
    c->got = ht_alloc(c->context, (n * l->rows + 1) * sizeof(float));
    c->hidden = ht_alloc(c->context, (n * rank + 1) * sizeof(float));
    c->u = ht_alloc(c->context, (l->rows * rank + 1) * sizeof(float));
    c->v = ht_alloc(c->context, (l->width * rank + 1) * sizeof(float));
    const bool good = c->values && c->read && c->want && c->got && c->hidden && c->u && c->v;
    return status == HT_OK && !good ? HT_ERR_NO_MEMORY : status;
}

static void release(choice *c) {
    float *all[] = {c->values, c->read, c->want, c->got, c->hidden, c->u, c->v};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ht_free(c->context, all[i]);
    }
    ht_rounded_free(c->context, &c->tried);
}

static void keep(const choice *c, float *u, float *v, ht_rounded *out) {
    const ht_groups g = ht_groups_of(c->layer);
    const size_t weights = (size_t)c->layer->rows * c->layer->width;
    const size_t scales = (size_t)c->layer->rows * g.segments * g.groups;
    memcpy(out->codes, c->tried.codes, weights * sizeof(float));
    memcpy(out->scales, c->tried.scales, scales * sizeof(float));
    memcpy(out->outer, c->tried.outer, c->layer->rows * g.segments * sizeof(float));
    if (c->desc->rank > 0) {
        memcpy(u, c->u, c->layer->rows * c->desc->rank * sizeof(float));
        memcpy(v, c->v, c->layer->width * c->desc->rank * sizeof(float));
    }
}

// Round, judge, and keep when it is better than what there was.
static ht_status try_rounding(choice *c, ht_rounding rounding, float *u, float *v,
                              ht_rounded *rounded, ht_improved *out) {
    enum { ROUNDS = 3 };
    const uint32_t rank = c->desc->rank;
    double db;
    ht_status status = HT_OK;
    if (rank > 0) {
        HT_TRY(
            ht_round_low_rank(c->context, c->layer, rounding, rank, ROUNDS, c->u, c->v, &c->tried));
    } else {
        HT_TRY(ht_round_layer(c->context, c->layer, rounding, &c->tried));
    }
    ht_rounded_values(c->layer, &c->tried, c->values);
    HT_TRY(judge(c, rank ? c->u : NULL, c->v, &db));
    if (rounding == HT_ROUNDING_NEAREST && rank == 0) {
        out->nearest_db = db;
    }
    if (rounding == HT_ROUNDING_NEAREST || db > out->got_db) {
        out->got_db = db;
        out->rounding = rounding;
        keep(c, u, v, rounded);
    }
fail:
    return status;
}

// What packing alone would do, without a branch.
static ht_status judge_nearest(choice *c, double *db) {
    ht_status status = ht_round_layer(c->context, c->layer, HT_ROUNDING_NEAREST, &c->tried);
    ht_rounded_values(c->layer, &c->tried, c->values);
    return status == HT_OK ? judge(c, NULL, NULL, db) : status;
}

ht_status ht_improve(ht_context *context, const ht_layer *layer, const ht_improve_desc *desc,
                     float *u, float *v, ht_rounded *rounded, ht_improved *out) {
    choice c = {.context = context, .layer = layer, .desc = desc};
    ht_status status = HT_OK;
    HT_TRY(take_memory(&c));
    if (desc->n_rows > 0) {
        HT_TRY(ht_read_rows(context, desc->activations, layer->segment, desc->rows, desc->n_rows,
                            layer->width, c.read));
        product(desc->rows, layer->weights, desc->n_rows, layer->rows, layer->width, 0, c.want);
    }
    HT_TRY(desc->rank ? judge_nearest(&c, &out->nearest_db) : HT_OK);
    for (int r = HT_ROUNDING_NEAREST; r <= (int)desc->rounding; r++) {
        if (desc->rank > 0 && r == HT_ROUNDING_GPTQ && desc->rounding != HT_ROUNDING_GPTQ) {
            continue; // slow, and what learned rounding starts from
        }
        HT_TRY(try_rounding(&c, (ht_rounding)r, u, v, rounded, out));
    }
fail:
    release(&c);
    return status;
}

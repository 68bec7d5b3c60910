// Reference of predicted blocks: every mean in double, a sort instead of a search.
#include "ref_gemm.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 64 }; // tokens, HT_ATTENTION_BLOCK_TOKENS

// One head of one picture, blocks of q or of k.
typedef struct side {
    const ht_ref_attention_args *a;
    const float *x;
    uint32_t tokens, blocks, image, head;
    double *mean;         // [head_dim], taken off before rows are compared
    double *row;          // [head_dim]
    double *pools;        // [blocks, head_dim]
    double *similarities; // [blocks]
} side;

static uint32_t block_count(uint32_t tokens) {
    return (tokens + BLOCK - 1) / BLOCK;
}

uint64_t ht_ref_attention_predict_scratch(const ht_ref_predict_args *args) {
    const ht_ref_attention_args *a = &args->shape;
    const uint64_t rows = block_count(a->queries), columns = block_count(a->keys);
    return (rows + columns) * (a->head_dim + UINT64_C(1)) + UINT64_C(3) * a->head_dim + 2 * columns;
}

static const float *row_of(const side *s, uint32_t position) {
    const uint64_t token =
        (uint64_t)s->image * s->tokens + ht_ref_attention_token(s->a, s->head, position);
    return s->x + (token * s->a->heads + s->head) * s->a->head_dim;
}

static uint32_t end_of(const side *s, uint32_t block) {
    const uint32_t end = (block + 1) * BLOCK;
    return end < s->tokens ? end : s->tokens;
}

static void pool(const side *s) {
    const uint32_t dim = s->a->head_dim;
    for (uint32_t b = 0; b < s->blocks; b++) {
        for (uint32_t d = 0; d < dim; d++) {
            double sum = 0.0;
            for (uint32_t n = b * BLOCK; n < end_of(s, b); n++) {
                sum += row_of(s, n)[d];
            }
            s->pools[(uint64_t)b * dim + d] = sum / (end_of(s, b) - b * BLOCK);
        }
    }
}

static void average(const side *s) {
    const uint32_t dim = s->a->head_dim;
    for (uint32_t d = 0; d < dim; d++) {
        s->mean[d] = 0.0;
        for (uint32_t n = 0; n < s->tokens; n++) {
            s->mean[d] += row_of(s, n)[d];
        }
        s->mean[d] /= s->tokens;
    }
}

static double similarity(const side *s, uint32_t block) {
    const uint32_t dim = s->a->head_dim, begin = block * BLOCK, end = end_of(s, block);
    double sum = 0.0;
    for (uint32_t d = 0; d < dim; d++) {
        s->row[d] = 0.0;
    }
    for (uint32_t n = begin; n < end; n++) {
        double squares = 0.0;
        for (uint32_t d = 0; d < dim; d++) {
            squares += pow(row_of(s, n)[d] - s->mean[d], 2);
        }
        for (uint32_t d = 0; d < dim && squares > 0.0; d++) {
            s->row[d] += (row_of(s, n)[d] - s->mean[d]) / sqrt(squares);
        }
    }
    for (uint32_t d = 0; d < dim; d++) {
        sum += pow(s->row[d] / (end - begin), 2);
    }
    return sum;
}

static int falling(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

// The list of a block of queries; weights, sorted: [columns] each. Returns how many are kept.
static uint32_t select_blocks(const ht_ref_predict_args *args, const side *q, const side *k,
                              uint32_t block, double *weights, double *sorted, float *list) {
    const uint32_t dim = args->shape.head_dim;
    double top = -INFINITY, total = 0.0, sum = 0.0, cut = 0.0;
    uint32_t kept = 0;
    for (uint32_t n = 0; n < k->blocks; n++) {
        weights[n] = -INFINITY;
        if (k->similarities[n] > args->similarity) {
            weights[n] = 0.0;
            for (uint32_t d = 0; d < dim; d++) {
                weights[n] += q->pools[(uint64_t)block * dim + d] *
                              k->pools[(uint64_t)n * dim + d] * args->shape.scale;
            }
            top = fmax(top, weights[n]);
        }
    }
    for (uint32_t n = 0; n < k->blocks; n++) {
        weights[n] = weights[n] > -INFINITY ? exp(weights[n] - top) : -1.0;
        sorted[n] = weights[n];
        total += fmax(weights[n], 0.0);
    }
    qsort(sorted, k->blocks, sizeof *sorted, falling);
    for (uint32_t n = 0; n < k->blocks && sum < args->share * total; n++) {
        cut = sorted[n];
        sum += cut;
    }
    const bool all = args->share >= 1.0 || block < block_count(args->text) ||
                     q->similarities[block] <= args->similarity;
    for (uint32_t n = 0; n < k->blocks; n++) {
        if (all || weights[n] < 0.0 || weights[n] >= cut || n < block_count(args->text)) {
            list[kept++] = (float)n;
        }
    }
    for (uint32_t n = kept; n < k->blocks; n++) {
        list[n] = 0.0f;
    }
    return kept;
}

void ht_ref_attention_predict(const float *q, const float *k, const ht_ref_predict_args *args,
                              double *scratch, float *out) {
    const ht_ref_attention_args *a = &args->shape;
    const uint32_t rows = block_count(a->queries), columns = block_count(a->keys);
    const uint64_t lists = (uint64_t)a->batch * a->heads * rows;
    double *next = scratch;
    side s[2] = {{a, q, a->queries, rows, 0, 0, NULL, NULL, NULL, NULL},
                 {a, k, a->keys, columns, 0, 0, NULL, NULL, NULL, NULL}};
    for (int i = 0; i < 2; i++) {
        s[i].pools = next;
        s[i].similarities = s[i].pools + (uint64_t)s[i].blocks * a->head_dim;
        next = s[i].similarities + s[i].blocks;
    }
    double *row = next, *means = row + a->head_dim, *weights = means + UINT64_C(2) * a->head_dim;
    for (uint64_t head = 0; head < (uint64_t)a->batch * a->heads; head++) {
        for (int i = 0; i < 2; i++) {
            s[i].row = row;
            s[i].mean = means + (uint64_t)i * a->head_dim;
            s[i].image = (uint32_t)(head / a->heads);
            s[i].head = (uint32_t)(head % a->heads);
            pool(&s[i]);
            for (uint32_t d = 0; d < a->head_dim; d++) {
                s[i].mean[d] = 0.0;
            }
            if (i == 1) {
                average(&s[i]);
            }
            for (uint32_t b = 0; b < s[i].blocks; b++) {
                s[i].similarities[b] = similarity(&s[i], b);
            }
        }
        for (uint32_t b = 0; b < rows; b++) {
            const uint64_t list = head * rows + b;
            const uint64_t entries = 2 * lists + list * columns;
            out[2 * list] = (float)entries;
            out[2 * list + 1] = (float)select_blocks(args, &s[0], &s[1], b, weights,
                                                     weights + columns, out + entries);
        }
    }
}

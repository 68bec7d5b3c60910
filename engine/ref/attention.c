// Reference of attention: softmax over all keys of one query at a time, or over those of kept
// blocks.
#include "ref_gemm.h"

#include <math.h>

enum { BLOCK = 64 }; // tokens, HT_ATTENTION_BLOCK_TOKENS

// The token at a position of a head's order.
uint32_t ht_ref_attention_token(const ht_ref_attention_args *a, uint32_t head, uint32_t position) {
    if (a->orders == NULL) {
        return position;
    }
    return (uint32_t)a->orders[(uint64_t)a->head_orders[head] * a->keys + position];
}

bool ht_ref_attention_keeps(const ht_ref_attention_args *a, uint32_t image, uint32_t head,
                            uint32_t query, uint32_t key) {
    if (a->blocks == NULL) {
        return true;
    }
    const uint64_t rows = (a->queries + BLOCK - 1) / BLOCK;
    const uint64_t picture = a->by_picture ? image * a->heads * rows : 0;
    const float *list = &a->blocks[2 * (picture + head * rows + query / BLOCK)];
    const float *entries = &a->blocks[(uint64_t)list[0]];
    for (uint32_t i = 0; i < (uint32_t)list[1]; i++) {
        if ((uint32_t)entries[i] == key / BLOCK) {
            return true;
        }
    }
    return false;
}

static double score(const float *q, const float *k, const ht_ref_attention_args *a, uint32_t image,
                    uint32_t query, uint32_t key, uint32_t head) {
    double sum = 0.0;
    for (uint32_t d = 0; d < a->head_dim; d++) {
        sum += (double)q[d] * k[d];
    }
    sum *= a->scale;
    if (a->rel_bias != NULL) {
        sum += a->rel_bias[((uint64_t)key + a->queries - 1 - query) * a->heads + head];
    }
    if (a->mask != NULL) {
        sum += fmax(a->mask[(uint64_t)image * a->keys + key], -1e30);
    }
    return sum;
}

// One query of one head, at position `at` of its order: q, out [head_dim]; k, v are the head's
// values of the first key.
static void attend(const float *q, const float *k, const float *v, const ht_ref_attention_args *a,
                   uint32_t image, uint32_t at, uint32_t head, double *weights, float *out) {
    const uint64_t width = (uint64_t)a->heads * a->head_dim;
    double highest = -INFINITY;
    double total = 0.0;
    for (uint32_t n = 0; n < a->keys; n++) {
        const uint32_t key = ht_ref_attention_token(a, head, n);
        weights[n] = ht_ref_attention_keeps(a, image, head, at, n)
                         ? score(q, k + key * width, a, image, at, key, head)
                         : -INFINITY;
        highest = fmax(highest, weights[n]);
    }
    for (uint32_t n = 0; n < a->keys; n++) {
        weights[n] = weights[n] > -INFINITY ? exp(weights[n] - highest) : 0.0;
        total += weights[n];
    }
    for (uint32_t d = 0; d < a->head_dim; d++) {
        double sum = 0.0;
        for (uint32_t n = 0; n < a->keys; n++) {
            sum += weights[n] * v[ht_ref_attention_token(a, head, n) * width + d];
        }
        out[d] = total > 0.0 ? (float)(sum / total) : 0.0f;
    }
}

void ht_ref_attention(const float *q, const float *k, const float *v,
                      const ht_ref_attention_args *a, double *scratch, float *out) {
    const uint64_t width = (uint64_t)a->heads * a->head_dim;
    for (uint32_t b = 0; b < a->batch; b++) {
        for (uint32_t i = 0; i < a->queries; i++) {
            for (uint32_t h = 0; h < a->heads; h++) {
                const uint64_t query = (uint64_t)b * a->queries + ht_ref_attention_token(a, h, i);
                const uint64_t at = query * width + h * a->head_dim;
                const uint64_t keys = (uint64_t)b * a->keys * width + h * a->head_dim;
                attend(q + at, k + keys, v + keys, a, b, i, h, scratch, out + at);
            }
        }
    }
}

// Reference of attention: softmax over all keys of one query at a time.
#include "ref_gemm.h"

#include <math.h>

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

// One query of one head: q, out [head_dim]; k, v are the head's values of the first key.
static void attend(const float *q, const float *k, const float *v, const ht_ref_attention_args *a,
                   uint32_t image, uint32_t query, uint32_t head, double *weights, float *out) {
    const uint64_t width = (uint64_t)a->heads * a->head_dim;
    double highest = -INFINITY;
    double total = 0.0;
    for (uint32_t key = 0; key < a->keys; key++) {
        weights[key] = score(q, k + key * width, a, image, query, key, head);
        highest = fmax(highest, weights[key]);
    }
    for (uint32_t key = 0; key < a->keys; key++) {
        weights[key] = exp(weights[key] - highest);
        total += weights[key];
    }
    for (uint32_t d = 0; d < a->head_dim; d++) {
        double sum = 0.0;
        for (uint32_t key = 0; key < a->keys; key++) {
            sum += weights[key] * v[key * width + d];
        }
        out[d] = (float)(sum / total);
    }
}

void ht_ref_attention(const float *q, const float *k, const float *v,
                      const ht_ref_attention_args *a, double *scratch, float *out) {
    const uint64_t width = (uint64_t)a->heads * a->head_dim;
    for (uint32_t b = 0; b < a->batch; b++) {
        for (uint32_t i = 0; i < a->queries; i++) {
            for (uint32_t h = 0; h < a->heads; h++) {
                const uint64_t at = ((uint64_t)b * a->queries + i) * width + h * a->head_dim;
                const uint64_t keys = (uint64_t)b * a->keys * width + h * a->head_dim;
                attend(q + at, k + keys, v + keys, a, b, i, h, scratch, out + at);
            }
        }
    }
}

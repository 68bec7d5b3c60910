// Reference of attention by integer codes. Means and sums in double; where the device rounds to
// f32 before it rounds to a code, so does this.
#include "ref_gemm.h"

#include "formats.h"

#include <math.h>

enum { BLOCK = 64, TOP_V = 127, TOP_WEIGHT = 127 };
static const float LEAST = 1.17549435e-38f; // of a scale

// One head of one picture. Arrays of the caller's scratch, positions in the head's order.
typedef struct head {
    const ht_ref_attention_args *a;
    uint32_t image, index;
    double top;              // largest code of q and k
    const ht_fmt_row *e4m3;  // of weights and v; NULL: integers
    double *k_mean, *v_mean; // [head_dim]
    double *v_scale;         // [head_dim]
    double *q_mean;          // [head_dim] of a block of queries
    double *q_codes;         // [head_dim] of a query
    double *k_codes;         // [keys, head_dim]
    double *v_codes;         // [keys, head_dim]
    double *k_scale;         // [keys]
    double *weights;         // [keys]
} head;

uint64_t ht_ref_attention_codes_scratch(const ht_ref_attention_args *a) {
    return UINT64_C(5) * a->head_dim + UINT64_C(2) * a->keys * a->head_dim + UINT64_C(2) * a->keys;
}

static head open_head(const ht_ref_attention_args *a, uint32_t bits, bool e4m3, double *scratch) {
    const uint64_t d = a->head_dim;
    const uint64_t kd = a->keys * d;
    return (head){.a = a,
                  .top = bits == 8 ? 127 : 7,
                  .e4m3 = e4m3 ? ht_fmt_find(HT_FORMAT_E4M3) : NULL,
                  .k_mean = scratch,
                  .v_mean = scratch + d,
                  .v_scale = scratch + 2 * d,
                  .q_mean = scratch + 3 * d,
                  .q_codes = scratch + 4 * d,
                  .k_codes = scratch + 5 * d,
                  .v_codes = scratch + 5 * d + kd,
                  .k_scale = scratch + 5 * d + 2 * kd,
                  .weights = scratch + 5 * d + 2 * kd + a->keys};
}

// Row of the head at a position.
static const float *row_of(const head *h, const float *x, uint32_t tokens, uint32_t position) {
    const uint64_t token =
        (uint64_t)h->image * tokens + ht_ref_attention_token(h->a, h->index, position);
    return x + (token * h->a->heads + h->index) * h->a->head_dim;
}

// Codes of a row less `mean`; returns the scale.
static double encode(const head *h, const float *row, const double *mean, double *codes) {
    float size = 0.0f;
    for (uint32_t d = 0; d < h->a->head_dim; d++) {
        size = fmaxf(size, fabsf(row[d] - (float)mean[d]));
    }
    const float scale = fmaxf(size / (float)h->top, LEAST);
    const float inverse = 1.0f / scale;
    for (uint32_t d = 0; d < h->a->head_dim; d++) {
        const float value = (row[d] - (float)mean[d]) * inverse;
        codes[d] = nearbyint(fmin(fmax(value, -h->top), h->top));
    }
    return scale;
}

static void mean_of(const head *h, const float *x, uint32_t tokens, uint32_t begin, uint32_t end,
                    double *mean) {
    for (uint32_t d = 0; d < h->a->head_dim; d++) {
        mean[d] = 0.0;
        for (uint32_t n = begin; n < end; n++) {
            mean[d] += row_of(h, x, tokens, n)[d];
        }
        mean[d] /= end - begin;
    }
}

// The number that a code of a weight or of v stands for.
static double rounded(const head *h, float value, double top) {
    if (h->e4m3 != NULL) {
        return ht_fmt_decode(h->e4m3, ht_fmt_encode(h->e4m3, value));
    }
    return nearbyint(fmin(fmax(value, -top), top));
}

static void encode_values(const head *h, const float *v) {
    const uint32_t dim = h->a->head_dim;
    mean_of(h, v, h->a->keys, 0, h->a->keys, h->v_mean);
    for (uint32_t d = 0; d < dim; d++) {
        const float mean = (float)h->v_mean[d];
        float size = 0.0f;
        for (uint32_t n = 0; n < h->a->keys; n++) {
            size = fmaxf(size, fabsf(row_of(h, v, h->a->keys, n)[d] - mean));
        }
        const float top = h->e4m3 != NULL ? ht_fmt_largest(h->e4m3) : TOP_V;
        const float scale = fmaxf(size / top, LEAST);
        const float inverse = 1.0f / scale;
        h->v_scale[d] = scale;
        for (uint32_t n = 0; n < h->a->keys; n++) {
            const float value = (row_of(h, v, h->a->keys, n)[d] - mean) * inverse;
            h->v_codes[(uint64_t)n * dim + d] = rounded(h, value, TOP_V);
        }
    }
}

// In units of log2.
static double score(const head *h, const float *k, double q_scale, uint32_t key) {
    const ht_ref_attention_args *a = h->a;
    const double log2e = 1.4426950408889634;
    const double *codes = h->k_codes + (uint64_t)key * a->head_dim;
    const float *row = row_of(h, k, a->keys, key);
    double sum = 0.0, means = 0.0;
    for (uint32_t d = 0; d < a->head_dim; d++) {
        sum += h->q_codes[d] * codes[d];
        means += h->q_mean[d] * row[d];
    }
    sum = (sum * q_scale * h->k_scale[key] + means) * a->scale;
    if (a->mask != NULL) {
        const uint64_t token = ht_ref_attention_token(a, h->index, key);
        sum += fmax(a->mask[(uint64_t)h->image * a->keys + token], -1e30);
    }
    return sum * log2e;
}

// Is a block negligible whose highest score is `top`, beside the highest so far?
static bool is_negligible(const head *h, double top, double so_far) {
    return h->a->negligible != 0 && top < so_far - h->a->negligible;
}

// Scores to weights: codes of a block, the largest of the block 127, times what the block counts
// beside the highest score of the query. Returns their sum.
static double weigh(const head *h, double highest) {
    double total = 0.0, so_far = -INFINITY;
    for (uint32_t begin = 0; begin < h->a->keys; begin += BLOCK) {
        const uint32_t end = begin + BLOCK < h->a->keys ? begin + BLOCK : h->a->keys;
        double top = -INFINITY;
        for (uint32_t n = begin; n < end; n++) {
            top = fmax(top, h->weights[n]);
        }
        const bool counts = top > -INFINITY && !is_negligible(h, top, so_far);
        so_far = fmax(so_far, top);
        for (uint32_t n = begin; n < end; n++) {
            const double share = counts ? exp2(h->weights[n] - top) : 0.0;
            const float weight = (float)(share * (h->e4m3 != NULL ? 448.0 : TOP_WEIGHT));
            h->weights[n] = rounded(h, weight, TOP_WEIGHT) * exp2(top - highest);
            total += h->weights[n];
        }
    }
    return total;
}

static void attend(const head *h, const float *q, const float *k, uint32_t query, float *out) {
    const ht_ref_attention_args *a = h->a;
    const double scale = encode(h, row_of(h, q, a->queries, query), h->q_mean, h->q_codes);
    double highest = -INFINITY;
    for (uint32_t n = 0; n < a->keys; n++) {
        h->weights[n] = ht_ref_attention_keeps(a, h->image, h->index, query, n)
                            ? score(h, k, scale, n)
                            : -INFINITY;
        highest = fmax(highest, h->weights[n]);
    }
    const double total = highest > -INFINITY ? weigh(h, highest) : 0.0;
    for (uint32_t d = 0; d < a->head_dim; d++) {
        double sum = 0.0;
        for (uint32_t n = 0; n < a->keys && total > 0.0; n++) {
            sum += h->weights[n] * h->v_codes[(uint64_t)n * a->head_dim + d];
        }
        out[d] = total > 0.0 ? (float)(sum / total * h->v_scale[d] + h->v_mean[d]) : 0.0f;
    }
}

static void attend_head(head *h, const float *q, const float *k, const float *v, uint32_t bits,
                        float *out) {
    const ht_ref_attention_args *a = h->a;
    mean_of(h, k, a->keys, 0, a->keys, h->k_mean);
    for (uint32_t n = 0; n < a->keys; n++) {
        h->k_scale[n] =
            encode(h, row_of(h, k, a->keys, n), h->k_mean, h->k_codes + (uint64_t)n * a->head_dim);
    }
    encode_values(h, v);
    for (uint32_t d = 0; d < a->head_dim; d++) {
        h->q_mean[d] = 0.0;
    }
    for (uint32_t n = 0; n < a->queries; n++) {
        if (bits == 4 && n % BLOCK == 0) {
            const uint32_t end = n + BLOCK < a->queries ? n + BLOCK : a->queries;
            mean_of(h, q, a->queries, n, end, h->q_mean);
        }
        const uint64_t token =
            (uint64_t)h->image * a->queries + ht_ref_attention_token(a, h->index, n);
        attend(h, q, k, n, out + (token * a->heads + h->index) * a->head_dim);
    }
}

void ht_ref_attention_codes(const float *q, const float *k, const float *v,
                            const ht_ref_attention_args *a, uint32_t bits, bool e4m3,
                            double *scratch, float *out) {
    head h = open_head(a, bits, e4m3, scratch);
    for (h.image = 0; h.image < a->batch; h.image++) {
        for (h.index = 0; h.index < a->heads; h.index++) {
            attend_head(&h, q, k, v, bits, out);
        }
    }
}

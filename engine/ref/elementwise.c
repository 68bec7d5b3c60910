// Reference of affine, add and mul.
#include "ref.h"

void ht_ref_affine(const float *x, uint64_t count, float scale, float shift, float *out) {
    for (uint64_t i = 0; i < count; i++) {
        out[i] = (float)((double)x[i] * scale + shift);
    }
}

void ht_ref_add(const float *a, uint64_t count, const float *b, uint64_t b_count, float *out) {
    for (uint64_t i = 0; i < count; i++) {
        out[i] = a[i] + b[i % b_count];
    }
}

void ht_ref_mul(const float *a, uint64_t count, const float *b, uint64_t b_count, float *out) {
    for (uint64_t i = 0; i < count; i++) {
        out[i] = a[i] * b[i % b_count];
    }
}

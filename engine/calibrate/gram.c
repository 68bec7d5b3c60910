// Gram matrices: sums of outer products of rows, four rows at a time.
#include "stats_internal.h"

// Without fused multiply-add, so that results are the same everywhere.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

typedef struct product {
    const float *x;
    uint32_t rows, stride, block;
    float *gram;
} product;

// Lines first.. of the upper triangle; each is written by one thread, in the order of the rows.
WIDE static void lines(void *user, uint64_t first, uint64_t count) {
    const product *p = user;
    for (uint64_t i = first; i < first + count; i++) {
        float *restrict line = p->gram + i * p->block;
        uint32_t r = 0;
        for (; r + 4 <= p->rows; r += 4) {
            const float *restrict a = p->x + (uint64_t)r * p->stride;
            const float *restrict b = a + p->stride;
            const float *restrict c = b + p->stride;
            const float *restrict d = c + p->stride;
            const float fa = a[i], fb = b[i], fc = c[i], fd = d[i];
            for (uint64_t j = i; j < p->block; j++) {
                line[j] += (fa * a[j] + fb * b[j]) + (fc * c[j] + fd * d[j]);
            }
        }
        for (; r < p->rows; r++) {
            const float *restrict a = p->x + (uint64_t)r * p->stride;
            for (uint64_t j = i; j < p->block; j++) {
                line[j] += a[i] * a[j];
            }
        }
    }
}

void ht_gram_add(const float *x, uint32_t rows, uint32_t stride, uint32_t first, uint32_t block,
                 float *gram) {
    product p = {x + first, rows, stride, block, gram};
    ht_parallel(block, 64, lines, &p);
}

void ht_gram_mirror(float *gram, uint32_t block) {
    for (uint64_t i = 0; i < block; i++) {
        for (uint64_t j = 0; j < i; j++) {
            gram[i * block + j] = gram[j * block + i];
        }
    }
}

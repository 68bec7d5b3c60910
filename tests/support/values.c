// Seeded numbers, comparison of arrays, and the counting allocator.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// A 64-bit linear congruential step; the high half is the result.
uint32_t ht_test_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint32_t high = (uint32_t)(*state >> 32);
    return high ^ high >> 15;
}

static double uniform(uint64_t *state) {
    return ht_test_random(state) * (1.0 / 4294967296.0);
}

void ht_test_fill_normal(uint64_t seed, float *values, size_t count) {
    uint64_t state = seed * 2 + 1;
    for (size_t i = 0; i < count; i++) {
        double sum = -6.0;
        for (int k = 0; k < 12; k++) {
            sum += uniform(&state);
        }
        values[i] = (float)sum;
    }
}

void ht_test_fill_uniform(uint64_t seed, float *values, size_t count, float low, float high) {
    uint64_t state = seed * 2 + 1;
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)(low + (high - low) * uniform(&state));
    }
}

ht_test_error ht_test_compare(const float *got, const float *want, size_t count) {
    ht_test_error error = {.finite = true};
    double squares = 0.0;
    double norm = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)got[i] - want[i]);
        error.finite = error.finite && isfinite(got[i]) && isfinite(want[i]);
        squares += difference * difference;
        norm += (double)want[i] * want[i];
        if (!(difference <= error.max_abs)) {
            error.max_abs = difference;
            error.worst = i;
        }
    }
    error.rel_l2 = norm > 0.0 ? sqrt(squares / norm) : sqrt(squares);
    return error;
}

void ht_test_assert_close(const char *what, const float *got, const float *want, size_t count,
                          double rel_l2_bound) {
    const ht_test_error error = ht_test_compare(got, want, count);
    if (!error.finite || !(error.rel_l2 <= rel_l2_bound)) {
        fail_msg("%s: rel L2 %.3g (bound %.3g)%s, worst at %zu: got %.9g, want %.9g", what,
                 error.rel_l2, rel_l2_bound, error.finite ? "" : ", not finite", error.worst,
                 (double)got[error.worst], (double)want[error.worst]);
    }
}

static void *count_resize(void *user, void *pointer, size_t bytes) {
    ht_test_allocator *a = user;
    a->calls++;
    if (a->calls == a->fail_at) {
        return NULL;
    }
    void *block = realloc(pointer, bytes);
    if (block != NULL && pointer == NULL) {
        a->live++;
    }
    return block;
}

static void count_release(void *user, void *pointer) {
    ht_test_allocator *a = user;
    if (pointer != NULL) {
        a->live--;
    }
    free(pointer);
}

void ht_test_allocator_init(ht_test_allocator *a) {
    *a = (ht_test_allocator){
        .callbacks = {.resize = count_resize, .release = count_release, .user = a}};
}

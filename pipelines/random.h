// Random numbers as PyTorch's CPU generator draws them, so that a seed gives the same picture.
#ifndef HALFTONE_PIPELINES_RANDOM_H
#define HALFTONE_PIPELINES_RANDOM_H

#include <halftone/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HT_MT_WORDS = 624 };

typedef struct ht_random {
    uint32_t state[HT_MT_WORDS];
    uint32_t next;
    bool has_cached; // the second value of a pair, kept for the next short call
    double cached;
} ht_random;

// Only the low 32 bits of the seed count, as in PyTorch.
HT_API void ht_random_seed(ht_random *random, uint64_t seed);
// The next 32 bits of the stream.
HT_API uint32_t ht_random_u32(ht_random *random);
// What torch.randn(count) gives, f32. Later calls continue the stream.
HT_API void ht_random_normal(ht_random *random, float *values, size_t count);

#endif

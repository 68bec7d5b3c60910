// Mersenne twister and the normal distribution of PyTorch's CPU generator.
#include "random.h"

#include <math.h>

static const double TWO_PI = 6.283185307179586;

void ht_random_seed(ht_random *random, uint64_t seed) {
    random->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < HT_MT_WORDS; ++i) {
        uint32_t last = random->state[i - 1];
        random->state[i] = 1812433253u * (last ^ (last >> 30)) + i;
    }
    random->next = HT_MT_WORDS;
    random->has_cached = false;
    random->cached = 0;
}

static void refill(ht_random *random) {
    uint32_t *s = random->state;
    for (uint32_t i = 0; i < HT_MT_WORDS; ++i) {
        uint32_t mixed = (s[i] & 0x80000000u) | (s[(i + 1) % HT_MT_WORDS] & 0x7fffffffu);
        uint32_t twist = (mixed >> 1) ^ ((mixed & 1u) ? 0x9908b0dfu : 0u);
        s[i] = s[(i + 397) % HT_MT_WORDS] ^ twist;
    }
    random->next = 0;
}

uint32_t ht_random_u32(ht_random *random) {
    if (random->next >= HT_MT_WORDS) {
        refill(random);
    }
    uint32_t y = random->state[random->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static float uniform_f32(ht_random *random) {
    return (float)(ht_random_u32(random) & 0xffffffu) * (1.0f / 16777216.0f);
}

static double uniform_f64(ht_random *random) {
    uint64_t high = ht_random_u32(random), low = ht_random_u32(random);
    return (double)((high << 32 | low) & ((1ull << 53) - 1)) * (1.0 / 9007199254740992.0);
}

// Box-Muller over 16 uniforms in place: 8 radii, then 8 angles.
static void transform_16(float *values) {
    for (int j = 0; j < 8; ++j) {
        float radius = sqrtf(-2.0f * logf(1.0f - values[j]));
        float angle = (float)TWO_PI * values[j + 8];
        values[j] = radius * cosf(angle);
        values[j + 8] = radius * sinf(angle);
    }
}

static void normal_short(ht_random *random, float *values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        if (random->has_cached) {
            values[i] = (float)random->cached;
            random->has_cached = false;
            continue;
        }
        double u1 = uniform_f64(random), u2 = uniform_f64(random);
        double radius = sqrt(-2.0 * log1p(-u2)), angle = TWO_PI * u1;
        values[i] = (float)(radius * cos(angle));
        random->cached = radius * sin(angle);
        random->has_cached = true;
    }
}

void ht_random_normal(ht_random *random, float *values, size_t count) {
    if (count < 16) {
        normal_short(random, values, count);
        return;
    }
    for (size_t i = 0; i < count; ++i) {
        values[i] = uniform_f32(random);
    }
    for (size_t i = 0; i + 16 <= count; i += 16) {
        transform_16(values + i);
    }
    if (count % 16 != 0) { // the last 16 are drawn anew, over the end of the last full group
        float *tail = values + count - 16;
        for (size_t j = 0; j < 16; ++j) {
            tail[j] = uniform_f32(random);
        }
        transform_16(tail);
    }
}

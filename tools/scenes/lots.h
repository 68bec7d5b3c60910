// Numbers that look drawn by lot, and follow from a seed.
#ifndef SCENES_LOTS_H
#define SCENES_LOTS_H

#include <stdint.h>

static inline uint64_t lot_hash(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t lot_next(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    return lot_hash(*state);
}

static inline float lot_uniform(uint64_t *state, float low, float high) {
    float unit = (float)(lot_next(state) >> 40) * (1.0f / 16777216.0f);
    return low + (high - low) * unit;
}

// 0 to n - 1.
static inline int lot_pick(uint64_t *state, int n) {
    return (int)((lot_next(state) >> 33) % (uint64_t)n);
}

#endif

// Residual stacks: a block taken off a matrix, and added to one.
#include "stack_format.h"

#include "formats.h"

#include <string.h>

enum { ROUNDS = 8 }; // of the subspace iteration; the first singular value of |R| stands far out

static uint64_t rounded(uint64_t value, uint64_t step) {
    return (value + step - 1) / step * step;
}

void ht_stack_layout_of(const ht_tensor_desc *desc, uint32_t rank, ht_stack_layout *out) {
    const uint32_t width = desc->rank == 0 ? 1 : desc->dims[desc->rank - 1];
    *out = (ht_stack_layout){.width = width, .rank = rank};
    out->rows = width ? ht_desc_count(desc) / width : 0;
    out->padded = (uint32_t)rounded(width, 32);
    out->left = rounded(out->rows * out->padded / 8, 16);
    out->right = rounded(out->left + out->rows * rank * 2, 16);
    out->bytes = out->right + (uint64_t)rank * out->padded * 2;
}

uint32_t ht_stack_rank(const ht_tensor_desc *desc) {
    ht_stack_layout at;
    ht_stack_layout_of(desc, 1, &at);
    const uint64_t rank = at.rows * at.width / (128 * (at.rows + at.width) + 1);
    return rank < 1 ? 1 : rank > HT_STACK_MAX_RANK ? HT_STACK_MAX_RANK : (uint32_t)rank;
}

// ---- one block and the matrix

static float half_at(const uint8_t *block, uint64_t offset, uint64_t index) {
    uint16_t bits;
    memcpy(&bits, block + offset + 2 * index, sizeof bits);
    return ht_fmt_f32_from_f16(bits);
}

static bool sign_at(const ht_stack_layout *at, const uint8_t *block, uint64_t row, uint32_t k) {
    return block[(row * at->padded + k) / 8] >> k % 8 & 1;
}

// values += factor * block
static void add(const ht_stack_layout *at, const uint8_t *block, float factor, float *values) {
    float left[HT_STACK_MAX_RANK];
    for (uint64_t r = 0; r < at->rows; r++) {
        for (uint32_t j = 0; j < at->rank; j++) {
            left[j] = factor * half_at(block, at->left, r * at->rank + j);
        }
        for (uint32_t k = 0; k < at->width; k++) {
            float size = 0;
            for (uint32_t j = 0; j < at->rank; j++) {
                size += left[j] * half_at(block, at->right, (uint64_t)j * at->padded + k);
            }
            values[r * at->width + k] += sign_at(at, block, r, k) ? size : -size;
        }
    }
}

void ht_stack_add(const ht_stack_layout *at, const void *block, float *values) {
    add(at, block, 1, values);
}

bool ht_stack_is_finite(const ht_stack_layout *at, const void *block) {
    const uint64_t lefts = at->rows * at->rank, rights = (uint64_t)at->rank * at->padded;
    bool finite = true;
    for (uint64_t i = 0; i < lefts && finite; i++) {
        finite = isfinite(half_at(block, at->left, i));
    }
    for (uint64_t i = 0; i < rights && finite; i++) {
        finite = isfinite(half_at(block, at->right, i));
    }
    return finite;
}

// ---- the magnitudes of low rank

static double dot_of(const float *columns, uint64_t n, uint32_t rank, uint32_t i, uint32_t j) {
    double dot = 0;
    for (uint64_t k = 0; k < n; k++) {
        dot += (double)columns[k * rank + i] * columns[k * rank + j];
    }
    return dot;
}

// Columns of [n][rank] made orthonormal, one after the other. What is but rounding behind those before
// becomes 0: brought to length 1 it would count one of their directions twice.
static void orthonormalize(float *columns, uint64_t n, uint32_t rank) {
    for (uint32_t j = 0; j < rank; j++) {
        const double whole = dot_of(columns, n, rank, j, j);
        for (uint32_t i = 0; i < j; i++) {
            const float dot = (float)dot_of(columns, n, rank, i, j);
            for (uint64_t k = 0; k < n; k++) {
                columns[k * rank + j] -= dot * columns[k * rank + i];
            }
        }
        const double rest = dot_of(columns, n, rank, j, j);
        const float scale = rest > 1e-10 * whole ? (float)(1 / sqrt(rest)) : 0;
        for (uint64_t k = 0; k < n; k++) {
            columns[k * rank + j] *= scale;
        }
    }
}

// left [rows][rank] = |rest| right, right [width][rank]
static void times_right(const ht_stack_layout *at, const float *rest, const float *right,
                        float *left) {
    for (uint64_t r = 0; r < at->rows; r++) {
        float sums[HT_STACK_MAX_RANK] = {0};
        for (uint32_t k = 0; k < at->width; k++) {
            const float size = fabsf(rest[r * at->width + k]);
            for (uint32_t j = 0; j < at->rank; j++) {
                sums[j] += size * right[(uint64_t)k * at->rank + j];
            }
        }
        memcpy(left + r * at->rank, sums, at->rank * sizeof *sums);
    }
}

static void times_left(const ht_stack_layout *at, const float *rest, const float *left,
                       float *right) {
    memset(right, 0, (uint64_t)at->width * at->rank * sizeof *right);
    for (uint64_t r = 0; r < at->rows; r++) {
        for (uint32_t k = 0; k < at->width; k++) {
            const float size = fabsf(rest[r * at->width + k]);
            for (uint32_t j = 0; j < at->rank; j++) {
                right[(uint64_t)k * at->rank + j] += size * left[r * at->rank + j];
            }
        }
    }
}

// Any start will do that no direction is orthogonal to: the same numbers every time.
static void start(float *right, uint64_t count) {
    uint32_t state = 1;
    for (uint64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        right[i] = (float)(state >> 8) / 16777216.0f;
    }
}

static void put_halves(const float *values, uint8_t *block, uint64_t offset, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        const uint16_t half = ht_fmt_f16_from_f32(fminf(fmaxf(values[i], -65504), 65504));
        memcpy(block + offset + 2 * i, &half, sizeof half);
    }
}

double ht_stack_take(ht_context *context, const ht_stack_layout *at, float *rest, void *block) {
    const uint64_t width = at->width, rank = at->rank;
    float *left = ht_alloc(context, (at->rows + width) * rank * sizeof *left);
    uint8_t *bytes = block;
    double total = 0;
    if (!left) {
        return HUGE_VAL;
    }
    float *right = left + at->rows * rank;
    start(right, width * rank);
    orthonormalize(right, width, at->rank);
    for (int round = 0; round < ROUNDS; round++) {
        times_right(at, rest, right, left);
        orthonormalize(left, at->rows, at->rank);
        times_left(at, rest, left, right);
        orthonormalize(right, width, at->rank);
    }
    times_right(at, rest, right, left);
    memset(block, 0, at->bytes);
    put_halves(left, bytes, at->left, at->rows * rank);
    for (uint64_t j = 0; j < rank; j++) {
        for (uint64_t k = 0; k < width; k++) {
            put_halves(right + k * rank + j, bytes, at->right + 2 * (j * at->padded + k), 1);
        }
    }
    for (uint64_t r = 0; r < at->rows; r++) {
        for (uint32_t k = 0; k < width; k++) {
            if (rest[r * width + k] >= 0) {
                bytes[(r * at->padded + k) / 8] |= (uint8_t)(1u << k % 8);
            }
        }
    }
    ht_free(context, left);
    add(at, bytes, -1, rest);
    for (uint64_t i = 0; i < at->rows * width; i++) {
        total += (double)rest[i] * rest[i];
    }
    return total;
}

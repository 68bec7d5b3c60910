// References of rows gathered from a table, and of columns.
#include "ref.h"

#include <string.h>

static uint64_t clamped(double number, uint64_t count) {
    number = number < 0.0 ? 0.0 : number;
    return (uint64_t)(number > (double)(count - 1) ? (double)(count - 1) : number);
}

void ht_ref_embedding(const float *table, uint64_t rows, uint64_t width, const float *ids,
                      uint64_t n, float *out) {
    for (uint64_t i = 0; i < n; i++) {
        memcpy(out + i * width, table + clamped(ids[i], rows) * width, width * sizeof *out);
    }
}

void ht_ref_take(const float *x, uint64_t rows, uint64_t width, const float *columns, uint64_t n,
                 float *out) {
    for (uint64_t i = 0; i < rows * n; i++) {
        out[i] = x[i / n * width + clamped(columns[i % n], width)];
    }
}

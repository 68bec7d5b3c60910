// Reference of linear, and of the epilogue it shares with conv2d.
#include "ref_gemm.h"

float ht_ref_finish(const ht_ref_epilogue *epilogue, uint64_t row, uint32_t column,
                    uint32_t columns, double sum) {
    double y = sum;
    if (epilogue->bias != NULL) {
        y += epilogue->bias[column];
    }
    if (epilogue->act != HT_ACT_NONE) {
        y = ht_ref_activate((float)y, epilogue->act);
    }
    if (epilogue->gate != NULL) {
        y *= epilogue->gate[row / epilogue->rows_per_gate * columns + column];
    }
    if (epilogue->residual != NULL) {
        y += epilogue->residual[row * columns + column];
    }
    return (float)y;
}

void ht_ref_linear(const float *x, uint64_t rows, uint32_t depth, const float *w, uint32_t columns,
                   const ht_ref_epilogue *epilogue, float *out) {
    for (uint64_t m = 0; m < rows; m++) {
        for (uint32_t n = 0; n < columns; n++) {
            double sum = 0.0;
            for (uint32_t k = 0; k < depth; k++) {
                sum += (double)x[m * depth + k] * w[(uint64_t)n * depth + k];
            }
            out[m * columns + n] = ht_ref_finish(epilogue, m, n, columns, sum);
        }
    }
}

// What rounding some columns has lost, taken back by others that are still free: with L the change in
// the former and H the Gram matrix, the outputs lose least when the latter change by D = -L H_ls H_ss^-1
// (the step that GPTQ does column by column, here for all of them at once).
#include "optimize_internal.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

static inline size_t place(const ht_columns *c, uint32_t i) {
    return i / c->count * c->inputs + c->numbers[i % c->count];
}

// H_ss, damped, and the right sides -L H_ls, one column of them for each row of the layer.
static void pose(const ht_layer *layer, const ht_columns *c, uint32_t width, const float *lost,
                 double damping, double *gram, double *sides) {
    const uint32_t k = layer->width;
    double mean = 0;
    for (uint32_t i = 0; i < width; i++) {
        mean += layer->gram[place(c, i) * k + place(c, i)] / (double)width;
    }
    for (uint32_t i = 0; i < width; i++) {
        const float *row = layer->gram + place(c, i) * k;
        for (uint32_t j = 0; j < width; j++) {
            gram[(size_t)i * width + j] = row[place(c, j)];
        }
        gram[(size_t)i * width + i] += mean > 0 ? damping * mean : 1;
        for (uint32_t n = 0; n < layer->rows; n++) {
            double side = 0;
            for (uint32_t j = 0; j < k; j++) {
                side -= (double)lost[(size_t)n * k + j] * row[j];
            }
            sides[(size_t)n * width + i] = side;
        }
    }
}

ht_status ht_absorb(ht_context *context, const ht_layer *layer, const ht_columns *columns,
                    const float *lost, float *values) {
    const uint32_t width = layer->width / columns->inputs * columns->count;
    double *gram = ht_alloc(context, (size_t)width * width * sizeof *gram);
    double *sides = ht_alloc(context, (size_t)layer->rows * width * sizeof *sides);
    ht_status status = gram && sides ? HT_OK : HT_ERR_NO_MEMORY;
    bool solved = false;
    for (double damping = 0.01; status == HT_OK && !solved && damping < 2; damping *= 10) {
        pose(layer, columns, width, lost, damping, gram, sides);
        solved = LAPACKE_dposv(LAPACK_COL_MAJOR, 'L', (lapack_int)width, (lapack_int)layer->rows,
                               gram, (lapack_int)width, sides, (lapack_int)width) == 0;
    }
    for (size_t i = 0; solved && i < (size_t)layer->rows * width; i++) {
        values[i] += (float)sides[i];
    }
    ht_free(context, sides);
    ht_free(context, gram);
    return status;
}

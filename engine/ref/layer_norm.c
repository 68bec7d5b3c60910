// Reference of layer normalisation with optional modulation.
#include "ref.h"

#include <math.h>

void ht_ref_layer_norm(const float *x, uint64_t rows, uint32_t width,
                       const ht_ref_layer_norm_args *args, float *out) {
    for (uint64_t r = 0; r < rows; r++, x += width, out += width) {
        double mean = 0.0;
        for (uint32_t c = 0; c < width; c++) {
            mean += x[c];
        }
        mean /= width;
        double variance = 0.0;
        for (uint32_t c = 0; c < width; c++) {
            variance += (x[c] - mean) * (x[c] - mean);
        }
        const double inverse = 1.0 / sqrt(variance / width + args->eps);
        for (uint32_t c = 0; c < width; c++) {
            double y = (x[c] - mean) * inverse;
            if (args->weight != NULL) {
                y *= args->weight[c];
            }
            if (args->bias != NULL) {
                y += args->bias[c];
            }
            if (args->scale != NULL) {
                y *= 1.0 + args->scale[r / args->rows_per_scale * width + c];
            }
            if (args->shift != NULL) {
                y += args->shift[r / args->rows_per_shift * width + c];
            }
            out[c] = (float)y;
        }
    }
}

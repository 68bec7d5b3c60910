// Reference of root-mean-square normalisation.
#include "ref.h"

#include <math.h>

void ht_ref_rms_norm(const float *x, uint64_t rows, uint32_t width, const float *weight, float eps,
                     float *out) {
    for (uint64_t r = 0; r < rows; r++, x += width, out += width) {
        double squares = 0.0;
        for (uint32_t c = 0; c < width; c++) {
            squares += (double)x[c] * x[c];
        }
        const double inverse = 1.0 / sqrt(squares / width + eps);
        for (uint32_t c = 0; c < width; c++) {
            out[c] = (float)(x[c] * inverse * (weight != NULL ? weight[c] : 1.0f));
        }
    }
}

// Reference of the sinusoidal embedding. The argument is rounded to f32 first, because the networks
// were trained so: at t = 1000 that rounding moves the sine by up to 3e-5.
#include "ref.h"

#include <math.h>

void ht_ref_timestep_embedding(const float *t, uint64_t n, const float *freqs, uint32_t dim,
                               bool flip_sin_to_cos, float *out) {
    const uint32_t half = dim / 2;
    for (uint64_t i = 0; i < n; i++, out += dim) {
        for (uint32_t k = 0; k < half; k++) {
            const float argument = t[i] * freqs[k];
            out[flip_sin_to_cos ? half + k : k] = (float)sin((double)argument);
            out[flip_sin_to_cos ? k : half + k] = (float)cos((double)argument);
        }
    }
}

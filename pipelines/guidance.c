// Classifier-free guidance.
#include "guidance.h"

#include <math.h>

bool ht_guidance_needed(float scale) {
    return scale > 1.0f;
}

void ht_guidance(const float *negative, const float *positive, float scale, size_t count,
                 float *out) {
    for (size_t i = 0; i < count; ++i) {
        out[i] = negative[i] + scale * (positive[i] - negative[i]);
    }
}

static double deviation(const float *values, size_t count) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; ++i) {
        sum += values[i];
    }
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; ++i) {
        squares += (values[i] - mean) * (values[i] - mean);
    }
    return sqrt(squares / (double)(count - 1));
}

void ht_guidance_rescale(const float *positive, float share, size_t count, float *guided) {
    const double now = deviation(guided, count), wanted = deviation(positive, count);
    if (share <= 0 || count < 2 || !(now > 0)) {
        return;
    }
    const double factor = share * wanted / now + 1 - share;
    for (size_t i = 0; i < count; ++i) {
        guided[i] = (float)(factor * guided[i]);
    }
}

// Classifier-free guidance.
#include "guidance.h"

bool ht_guidance_needed(float scale) {
    return scale > 1.0f;
}

void ht_guidance(const float *negative, const float *positive, float scale, size_t count,
                 float *out) {
    for (size_t i = 0; i < count; ++i) {
        out[i] = negative[i] + scale * (positive[i] - negative[i]);
    }
}

// Reference of the activation functions, used by every op that has one.
#include "ref.h"

#include <math.h>

float ht_ref_activate(float x, ht_activation act) {
    const double v = x;
    switch (act) {
    case HT_ACT_NONE: return x;
    case HT_ACT_SILU: return (float)(v / (1.0 + exp(-v)));
    case HT_ACT_GELU_TANH: // the constant is sqrt(2 / pi)
        return (float)(0.5 * v * (1.0 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v))));
    case HT_ACT_GELU_ERF: return (float)(0.5 * v * erfc(-v * 0.7071067811865476));
    case HT_ACT_QUICK_GELU: return (float)(v / (1.0 + exp(-1.702 * v)));
    case HT_ACT_RELU: return v < 0.0 ? 0.0f : x;
    }
    return x;
}

void ht_ref_activation(const float *x, uint64_t count, ht_activation act, float *out) {
    for (uint64_t i = 0; i < count; i++) {
        out[i] = ht_ref_activate(x[i], act);
    }
}

void ht_ref_gated_activation(const float *x, uint64_t rows, uint32_t width, ht_activation act,
                             float *out) {
    for (uint64_t r = 0; r < rows; r++) {
        const float *row = x + r * 2 * width;
        for (uint32_t i = 0; i < width; i++) {
            out[r * width + i] = row[i] * ht_ref_activate(row[width + i], act);
        }
    }
}

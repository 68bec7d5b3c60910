// Reference of group normalisation of a channels-last tensor.
#include "ref.h"

#include <math.h>

static void normalise_group(const float *x, uint64_t positions, uint32_t channels, uint32_t first,
                            const ht_ref_group_norm_args *args, float *out) {
    const uint32_t last = first + channels / args->groups;
    const double count = (double)positions * (last - first);
    double mean = 0.0;
    double variance = 0.0;
    for (uint64_t p = 0; p < positions; p++) {
        for (uint32_t c = first; c < last; c++) {
            mean += x[p * channels + c];
        }
    }
    mean /= count;
    for (uint64_t p = 0; p < positions; p++) {
        for (uint32_t c = first; c < last; c++) {
            variance += (x[p * channels + c] - mean) * (x[p * channels + c] - mean);
        }
    }
    const double inverse = 1.0 / sqrt(variance / count + args->eps);
    for (uint64_t p = 0; p < positions; p++) {
        for (uint32_t c = first; c < last; c++) {
            double y = (x[p * channels + c] - mean) * inverse * args->weight[c] + args->bias[c];
            out[p * channels + c] = ht_ref_activate((float)y, args->act);
        }
    }
}

void ht_ref_group_norm(const float *x, uint32_t batch, uint64_t positions, uint32_t channels,
                       const ht_ref_group_norm_args *args, float *out) {
    for (uint32_t b = 0; b < batch; b++) {
        const uint64_t at = b * positions * channels;
        for (uint32_t g = 0; g < args->groups; g++) {
            normalise_group(x + at, positions, channels, g * (channels / args->groups), args,
                            out + at);
        }
    }
}

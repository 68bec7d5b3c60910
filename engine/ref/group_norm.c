// Reference of group normalisation of a channels-last tensor.
#include "ref.h"

#include <math.h>

typedef struct moments {
    double mean, variance;
} moments;

static moments measure(const float *x, uint64_t positions, uint32_t channels, uint32_t first,
                       uint32_t last) {
    const double count = (double)positions * (last - first);
    moments m = {0.0, 0.0};
    for (uint64_t p = 0; p < positions; p++) {
        for (uint32_t c = first; c < last; c++) {
            m.mean += x[p * channels + c];
        }
    }
    m.mean /= count;
    for (uint64_t p = 0; p < positions; p++) {
        for (uint32_t c = first; c < last; c++) {
            m.variance += (x[p * channels + c] - m.mean) * (x[p * channels + c] - m.mean);
        }
    }
    m.variance /= count;
    return m;
}

void ht_ref_group_statistics(const float *x, uint32_t batch, uint64_t positions, uint32_t channels,
                             uint32_t groups, float *out) {
    const uint32_t width = channels / groups;
    for (uint32_t i = 0; i < batch * groups; i++) {
        const uint32_t first = i % groups * width;
        const moments m = measure(x + i / groups * positions * channels, positions, channels, first,
                                  first + width);
        out[2 * i] = (float)m.mean;
        out[2 * i + 1] = (float)m.variance;
    }
}

void ht_ref_group_norm(const float *x, uint32_t batch, uint64_t positions, uint32_t channels,
                       const ht_ref_group_norm_args *args, float *out) {
    const uint32_t width = channels / args->groups;
    for (uint32_t i = 0; i < batch * args->groups; i++) {
        const uint32_t first = i % args->groups * width;
        const uint64_t at = i / args->groups * positions * channels;
        const moments m = args->statistics
                              ? (moments){args->statistics[2 * i], args->statistics[2 * i + 1]}
                              : measure(x + at, positions, channels, first, first + width);
        const double inverse = 1.0 / sqrt(m.variance + args->eps);
        for (uint64_t p = 0; p < positions; p++) {
            for (uint32_t c = first; c < first + width; c++) {
                double y =
                    (x[at + p * channels + c] - m.mean) * inverse * args->weight[c] + args->bias[c];
                out[at + p * channels + c] = ht_ref_activate((float)y, args->act);
            }
        }
    }
}

// HeunDiscreteScheduler: an Euler step, then the same step again with the mean of the slopes at its
// two ends. Odd evaluations are at the end of a step; the last step, to no noise, has only one.
#include "sampler_internal.h"

static ht_status plan(ht_sampler *s) {
    const ht_status status = ht_euler_plan(s);
    if (status == HT_OK) {
        ht_euler_twice(s);
    }
    return status;
}

// kept: the sample before the step, and the slope there.
static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float *sample = s->kept[0], *slope = s->kept[1];
    const bool again = step % 2 == 1;
    const float at = s->sigmas[step];
    const float change = again ? at - s->sigmas[step - 1] : s->sigmas[step + 1] - at;
    ht_euler_denoised(s, step, x, prediction, s->clean);
    for (size_t i = 0; i < s->count; ++i) {
        const float here = (x[i] - s->clean[i]) / at;
        if (again) {
            x[i] = sample[i] + (slope[i] + here) / 2 * change;
        } else {
            sample[i] = x[i];
            slope[i] = here;
            x[i] += here * change;
        }
    }
}

const ht_sampler_ops ht_sampler_heun = {.levels = true,
                                        .curves = true,
                                        .twice = true,
                                        .kept = 2,
                                        .plan = plan,
                                        .input = ht_euler_input,
                                        .denoised = ht_euler_denoised,
                                        .step = advance,
                                        .add_noise = ht_euler_add_noise};

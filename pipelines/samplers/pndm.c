// PNDMScheduler without Runge-Kutta steps, also known as PLMS: a linear multistep method on the
// predictions (Liu et al. 2022). The second timestep is evaluated twice, the first time to correct
// the first step.
#include "sampler_internal.h"

#include <math.h>

static uint32_t evaluations(uint32_t steps) {
    return steps > 1 ? steps + 1 : steps;
}

static ht_status plan(ht_sampler *s) {
    const ht_status status = ht_table_plan(s, s->asked, s->timesteps);
    for (uint32_t i = s->steps - 1; i > 1; --i) {
        s->timesteps[i] = s->timesteps[i - 1];
    }
    return status;
}

// Formula (9) of the paper, from one timestep to another with the combined prediction.
static void move(const ht_sampler *s, int64_t from, int64_t to, const float *sample,
                 const float *combined, float *x) {
    const float here = s->alphas_cumprod[from];
    const float there = ht_table_level_at(s, to);
    const float keep = sqrtf(there / here);
    const float share =
        (there - here) / (here * sqrtf(1 - there) + sqrtf(here * (1 - here) * there));
    float unused[2], e[2];
    ht_table_factors(s, here, unused, e);
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = keep * sample[i] - share * (e[0] * sample[i] + e[1] * combined[i]);
    }
}

// kept[0], kept[1], ..: predictions, the newest first. In the noise's place: the first sample.
static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    static const float weights[4][4] = {{1},
                                        {1.5f, -0.5f},
                                        {23 / 12.0f, -16 / 12.0f, 5 / 12.0f},
                                        {55 / 24.0f, -59 / 24.0f, 37 / 24.0f, -9 / 24.0f}};
    const int64_t stride = s->config.train_steps / s->asked, t = (int64_t)s->timesteps[step];
    float *first = s->noise;
    if (s->done == 1) { // the first step again, with the mean of the slopes at its ends
        for (size_t i = 0; i < s->count; ++i) {
            s->clean[i] = (prediction[i] + s->kept[0][i]) / 2;
        }
        const int64_t last = (int64_t)s->config.train_steps - 1;
        move(s, t + stride < last ? t + stride : last, t, first, s->clean, x);
    } else {
        for (size_t i = 0; i < s->count; ++i) {
            first[i] = x[i];
            s->clean[i] = prediction[i];
        }
        ht_sampler_keep(s);
        const uint32_t terms = s->n_kept < 4 ? s->n_kept : 4;
        for (size_t i = 0; i < s->count; ++i) {
            s->clean[i] = 0;
            for (uint32_t k = 0; k < terms; ++k) {
                s->clean[i] += weights[terms - 1][k] * s->kept[k][i];
            }
        }
        move(s, t, t - stride, first, s->clean, x);
    }
    s->done++;
}

const ht_sampler_ops ht_sampler_pndm = {.kept = 4,
                                        .evaluations = evaluations,
                                        .plan = plan,
                                        .denoised = ht_table_denoised,
                                        .step = advance,
                                        .add_noise = ht_table_add_noise};

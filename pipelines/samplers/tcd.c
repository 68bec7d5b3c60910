// TCDScheduler: from the clean picture to less noise than the next timestep has, and fresh noise up
// to it; eta says how much less (Zheng et al. 2024, "Trajectory Consistency Distillation").
#include "sampler_internal.h"

#include <math.h>

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    const bool last = step + 1 == s->steps;
    const float next = last ? 0 : s->timesteps[step + 1];
    const uint32_t below = (uint32_t)floorf((1 - (float)s->config.eta) * next);
    const float low = s->alphas_cumprod[below];
    const float after = s->alphas_cumprod[(uint32_t)next];
    float a[2], e[2];
    ht_table_factors(s, ht_table_level(s, step), a, e);
    const float signal = sqrtf(low), noise = sqrtf(1.0f - low);
    const bool draw = !last && s->config.eta > 0;
    const float keep = draw ? sqrtf(after / low) : 1, fresh = draw ? sqrtf(1 - after / low) : 0;
    if (draw) {
        ht_random_normal(s->random, s->noise, s->count);
    }
    for (size_t i = 0; i < s->count; ++i) {
        const float clean = a[0] * x[i] + a[1] * prediction[i];
        const float epsilon = e[0] * x[i] + e[1] * prediction[i];
        x[i] = keep * (signal * clean + noise * epsilon);
        x[i] += draw ? fresh * s->noise[i] : 0;
    }
}

const ht_sampler_ops ht_sampler_tcd = {.draws = true,
                                       .distilled = true,
                                       .takes_eta = true,
                                       .plan = ht_distilled_plan,
                                       .denoised = ht_table_denoised,
                                       .step = advance,
                                       .add_noise = ht_table_add_noise};

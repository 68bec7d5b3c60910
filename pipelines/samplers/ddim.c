// DDIMScheduler; eta is the share of DDPM's noise that is added anew (Song et al. 2021).
#include "sampler_internal.h"

#include <math.h>

static ht_status plan(ht_sampler *s) {
    return ht_table_plan(s, s->steps, s->timesteps);
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    const ht_sampler_config *c = &s->config;
    const int64_t stride = c->train_steps / s->steps;
    const float here = ht_table_level(s, step);
    const float after = ht_table_level_at(s, (int64_t)s->timesteps[step] - stride);
    const float variance = (1 - after) / (1 - here) * (1 - here / after);
    const float fresh = (float)c->eta * sqrtf(variance);
    float unused[2], e[2];
    ht_table_factors(s, here, unused, e);
    ht_table_denoised(s, step, x, prediction, s->clean);
    const float signal = sqrtf(after), noise = sqrtf(1.0f - after - fresh * fresh);
    if (c->eta > 0) {
        ht_random_normal(s->random, s->noise, s->count);
    }
    for (size_t i = 0; i < s->count; ++i) {
        const float epsilon = e[0] * x[i] + e[1] * prediction[i];
        x[i] = signal * s->clean[i] + noise * epsilon;
        x[i] += c->eta > 0 ? fresh * s->noise[i] : 0;
    }
}

const ht_sampler_ops ht_sampler_ddim = {.takes_eta = true,
                                        .plan = plan,
                                        .denoised = ht_table_denoised,
                                        .step = advance,
                                        .add_noise = ht_table_add_noise};

// LCMScheduler: each step jumps to a clean latent and noises it again (Luo et al. 2023).
#include "sampler_internal.h"

#include <math.h>

ht_status ht_distilled_plan(ht_sampler *s) {
    const uint32_t original = s->config.original_steps;
    const uint32_t stride = s->config.train_steps / original;
    for (uint32_t i = 0; i < s->steps; ++i) {
        const uint32_t index = (uint32_t)floor((double)i * original / s->steps);
        s->timesteps[i] = (float)((original - index) * stride - 1);
    }
    return HT_OK;
}

static void denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                     float *clean) {
    const double scaled = s->timesteps[step] * s->config.timestep_scaling, data = 0.5;
    const double variance = scaled * scaled + data * data;
    const float skip = (float)(data * data / variance), out = (float)(scaled / sqrt(variance));
    ht_table_denoised(s, step, x, prediction, clean);
    for (size_t i = 0; i < s->count; ++i) {
        clean[i] = out * clean[i] + skip * x[i];
    }
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    denoised(s, step, x, prediction, s->clean);
    const bool last = step + 1 == s->steps;
    const float level = last ? 1 : ht_table_level(s, step + 1);
    const float signal = sqrtf(level), noise = sqrtf(1.0f - level);
    if (!last) {
        ht_random_normal(s->random, s->noise, s->count);
    }
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = last ? s->clean[i] : signal * s->clean[i] + noise * s->noise[i];
    }
}

const ht_sampler_ops ht_sampler_lcm = {.draws = true,
                                       .distilled = true,
                                       .plan = ht_distilled_plan,
                                       .denoised = denoised,
                                       .step = advance,
                                       .add_noise = ht_table_add_noise};

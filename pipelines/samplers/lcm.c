// LCMScheduler: each step jumps to a clean latent and noises it again (Luo et al. 2023).
#include "sampler_internal.h"

#include <math.h>

// Of the timesteps of the schedule it was distilled on, evenly many are left out.
static ht_status plan(ht_sampler *s) {
    uint32_t original = s->config.original_steps, stride = s->config.train_steps / original;
    for (uint32_t i = 0; i < s->steps; ++i) {
        uint32_t index = (uint32_t)floor((double)i * original / s->steps);
        s->timesteps[i] = (float)((original - index) * stride - 1);
    }
    return HT_OK;
}

static float level(const ht_sampler *s, uint32_t step) {
    return s->alphas_cumprod[(uint32_t)s->timesteps[step]];
}

static void denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                     float *clean) {
    float a[2], unused[2], range = (float)s->config.clip_range;
    double scaled = s->timesteps[step] * s->config.timestep_scaling, data = 0.5;
    double variance = scaled * scaled + data * data;
    float skip = (float)(data * data / variance), out = (float)(scaled / sqrt(variance));
    ht_ddim_factors(s, level(s, step), a, unused);
    for (size_t i = 0; i < s->count; ++i) {
        float value = a[0] * x[i] + a[1] * prediction[i];
        if (s->config.clip_sample) {
            value = value < -range ? -range : value > range ? range : value;
        }
        clean[i] = out * value + skip * x[i];
    }
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    denoised(s, step, x, prediction, s->clean);
    bool last = step + 1 == s->steps;
    float signal = last ? 1 : sqrtf(level(s, step + 1));
    float noise = last ? 0 : sqrtf(1.0f - level(s, step + 1));
    if (!last) {
        ht_random_normal(s->random, s->noise, s->count);
    }
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = last ? s->clean[i] : signal * s->clean[i] + noise * s->noise[i];
    }
}

static void add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    float a = sqrtf(level(s, step)), b = sqrtf(1.0f - level(s, step));
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = a * x[i] + b * noise[i];
    }
}

const ht_sampler_ops ht_sampler_lcm = {
    .draws = true, .plan = plan, .denoised = denoised, .step = advance, .add_noise = add_noise};

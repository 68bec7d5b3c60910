// DDIMScheduler without added noise (eta 0).
#include "sampler_internal.h"

#include <math.h>

static ht_status plan(ht_sampler *s) {
    const ht_sampler_config *c = &s->config;
    double *timesteps = ht_alloc(s->context, s->steps * sizeof(*timesteps));
    if (!timesteps) {
        return HT_ERR_NO_MEMORY;
    }
    ht_schedule_space(c, s->steps, c->train_steps, false, true, timesteps);
    for (uint32_t i = 0; i < s->steps; ++i) {
        double last = c->train_steps - 1;
        double t = timesteps[i] < 0 ? 0 : timesteps[i] > last ? last : timesteps[i];
        s->timesteps[i] = (float)t;
    }
    ht_free(s->context, timesteps);
    return HT_OK;
}

static float level(const ht_sampler *s, uint32_t step) {
    return s->alphas_cumprod[(uint32_t)s->timesteps[step]];
}

static float level_after(const ht_sampler *s, uint32_t step) {
    int64_t before = (int64_t)s->timesteps[step] - (int64_t)(s->config.train_steps / s->steps);
    if (before >= 0) {
        return s->alphas_cumprod[before];
    }
    return s->config.alpha_to_one ? 1.0f : s->alphas_cumprod[0];
}

void ht_ddim_factors(const ht_sampler *s, float level, float clean[2], float epsilon[2]) {
    float signal = sqrtf(level), noise = sqrtf(1.0f - level);
    switch (s->config.prediction) {
    case HT_PREDICT_V:
        clean[0] = signal;
        clean[1] = -noise;
        epsilon[0] = noise;
        epsilon[1] = signal;
        break;
    case HT_PREDICT_SAMPLE:
        clean[0] = 0;
        clean[1] = 1;
        epsilon[0] = 1 / noise;
        epsilon[1] = -signal / noise;
        break;
    default:
        clean[0] = 1 / signal;
        clean[1] = -noise / signal;
        epsilon[0] = 0;
        epsilon[1] = 1;
        break;
    }
}

static void denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                     float *clean) {
    float a[2], unused[2], range = (float)s->config.clip_range;
    ht_ddim_factors(s, level(s, step), a, unused);
    for (size_t i = 0; i < s->count; ++i) {
        clean[i] = a[0] * x[i] + a[1] * prediction[i];
        if (s->config.clip_sample) {
            clean[i] = clean[i] < -range ? -range : clean[i] > range ? range : clean[i];
        }
    }
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float unused[2], e[2], after = level_after(s, step);
    ht_ddim_factors(s, level(s, step), unused, e);
    denoised(s, step, x, prediction, s->clean);
    float signal = sqrtf(after), noise = sqrtf(1.0f - after);
    for (size_t i = 0; i < s->count; ++i) {
        float epsilon = e[0] * x[i] + e[1] * prediction[i];
        x[i] = signal * s->clean[i] + noise * epsilon;
    }
}

static void add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    float a = sqrtf(level(s, step)), b = sqrtf(1.0f - level(s, step));
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = a * x[i] + b * noise[i];
    }
}

const ht_sampler_ops ht_sampler_ddim = {
    .plan = plan, .denoised = denoised, .step = advance, .add_noise = add_noise};

// What the samplers on whole timesteps share: x = sqrt(a) data + sqrt(1 - a) noise, a of the table.
#include "sampler_internal.h"

#include <math.h>

float ht_table_level(const ht_sampler *s, uint32_t step) {
    return s->alphas_cumprod[(uint32_t)s->timesteps[step]];
}

float ht_table_level_at(const ht_sampler *s, int64_t timestep) {
    if (timestep >= 0) {
        return s->alphas_cumprod[timestep];
    }
    return s->config.alpha_to_one ? 1.0f : s->alphas_cumprod[0];
}

ht_status ht_table_plan(const ht_sampler *s, uint32_t count, float *timesteps) {
    const double last = s->config.train_steps - 1;
    double *spaced = ht_alloc(s->context, count * sizeof(*spaced));
    if (!spaced) {
        return HT_ERR_NO_MEMORY;
    }
    ht_schedule_space(&s->config, count, s->config.train_steps, false, true, spaced);
    for (uint32_t i = 0; i < count; ++i) {
        timesteps[i] = (float)(spaced[i] < 0 ? 0 : spaced[i] > last ? last : spaced[i]);
    }
    ht_free(s->context, spaced);
    return HT_OK;
}

void ht_table_factors(const ht_sampler *s, float level, float clean[2], float epsilon[2]) {
    const float signal = sqrtf(level), noise = sqrtf(1.0f - level);
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

void ht_table_denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                       float *clean) {
    const float range = (float)s->config.clip_range;
    float a[2], unused[2];
    ht_table_factors(s, ht_table_level(s, step), a, unused);
    for (size_t i = 0; i < s->count; ++i) {
        clean[i] = a[0] * x[i] + a[1] * prediction[i];
        if (s->config.clip_sample) {
            clean[i] = clean[i] < -range ? -range : clean[i] > range ? range : clean[i];
        }
    }
}

void ht_table_add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    const float level = ht_table_level(s, step);
    const float a = sqrtf(level), b = sqrtf(1.0f - level);
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = a * x[i] + b * noise[i];
    }
}

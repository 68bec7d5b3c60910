// EulerDiscreteScheduler and EulerAncestralDiscreteScheduler: steps along the noise level, x = data + sigma * noise.
#include "sampler_internal.h"

#include <math.h>

static void spaced_sigmas(const ht_sampler *s, const double *timesteps, double *sigmas) {
    double max = ht_schedule_sigma(s, s->config.train_steps - 1), min = ht_schedule_sigma(s, 0);
    for (uint32_t i = 0; i < s->asked; ++i) {
        // In log_linear the reference spaces N + 1 points and leaves the smallest out.
        sigmas[i] = s->config.log_linear
                        ? exp(log(max) + (double)i / s->asked * (log(min) - log(max)))
                        : ht_schedule_interpolate(s, timesteps[i]);
    }
}

ht_status ht_euler_plan(ht_sampler *s) {
    const ht_sampler_config *c = &s->config;
    uint32_t n = s->asked;
    double *timesteps = ht_alloc(s->context, 2 * n * sizeof(*timesteps));
    if (!timesteps) {
        return HT_ERR_NO_MEMORY;
    }
    double *sigmas = timesteps + n;
    ht_schedule_space(c, n, c->train_steps, false, false, timesteps);
    for (uint32_t i = 0; i < n; ++i) {
        timesteps[i] = (float)timesteps[i];
    }
    spaced_sigmas(s, timesteps, sigmas);
    if (c->sigma_curve != HT_SIGMA_DEFAULT) {
        double max = c->sigma_max > 0 ? c->sigma_max : sigmas[0];
        double min = c->log_linear ? ht_schedule_sigma(s, 0) : sigmas[n - 1];
        min = c->sigma_min > 0 ? c->sigma_min : min;
        ht_schedule_curve(c->sigma_curve, max, min, n, sigmas);
        for (uint32_t i = 0; i < n; ++i) {
            timesteps[i] = ht_schedule_timestep(s, sigmas[i]);
        }
    }
    float largest = 0;
    for (uint32_t i = 0; i < n; ++i) {
        s->sigmas[i] = (float)sigmas[i];
        s->timesteps[i] =
            c->continuous_timesteps ? 0.25f * logf(s->sigmas[i]) : (float)timesteps[i];
        largest = s->sigmas[i] > largest ? s->sigmas[i] : largest;
    }
    bool stop_early = !c->final_zero || (c->log_linear && c->sigma_curve == HT_SIGMA_DEFAULT);
    s->sigmas[n] = stop_early ? (float)ht_schedule_sigma(s, 0) : 0.0f;
    s->initial_scale = c->spacing == HT_SPACING_LEADING ? sqrtf(largest * largest + 1.0f) : largest;
    ht_free(s->context, timesteps);
    return HT_OK;
}

void ht_euler_twice(ht_sampler *s) {
    uint32_t n = s->asked;
    s->sigmas[2 * n - 1] = s->sigmas[n];
    for (uint32_t i = n - 1; i > 0; --i) {
        s->sigmas[2 * i] = s->sigmas[2 * i - 1] = s->sigmas[i];
        s->timesteps[2 * i] = s->timesteps[2 * i - 1] = s->timesteps[i];
    }
}

void ht_euler_input_at(const ht_sampler *s, float sigma, const float *x, float *out) {
    float scale = sqrtf(sigma * sigma + 1.0f);
    for (size_t i = 0; i < s->count; ++i) {
        out[i] = x[i] / scale;
    }
}

void ht_euler_input(const ht_sampler *s, uint32_t step, const float *x, float *out) {
    ht_euler_input_at(s, s->sigmas[step], x, out);
}

void ht_euler_denoised_at(const ht_sampler *s, float sigma, const float *x, const float *prediction,
                          float *clean) {
    float square = sigma * sigma + 1.0f;
    float a = 1, b = -sigma; // clean = a x + b prediction
    if (s->config.prediction == HT_PREDICT_V) {
        a = 1.0f / square;
        b = -sigma / sqrtf(square);
    } else if (s->config.prediction == HT_PREDICT_SAMPLE) {
        a = 0;
        b = 1;
    }
    for (size_t i = 0; i < s->count; ++i) {
        clean[i] = a * x[i] + b * prediction[i];
    }
}

void ht_euler_denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                       float *clean) {
    ht_euler_denoised_at(s, s->sigmas[step], x, prediction, clean);
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float sigma = s->sigmas[step], change = s->sigmas[step + 1] - sigma;
    ht_euler_denoised(s, step, x, prediction, s->clean);
    for (size_t i = 0; i < s->count; ++i) {
        x[i] += (x[i] - s->clean[i]) / sigma * change;
    }
}

// Down to a lower level than the next one, then noise up to it.
static void advance_ancestral(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float from = s->sigmas[step], to = s->sigmas[step + 1];
    float up = sqrtf(to * to * (from * from - to * to) / (from * from));
    float change = sqrtf(to * to - up * up) - from;
    ht_euler_denoised(s, step, x, prediction, s->clean);
    ht_random_normal(s->random, s->noise,
                     s->count); // in the last step, too, where nothing comes of it
    for (size_t i = 0; i < s->count; ++i) {
        x[i] += (x[i] - s->clean[i]) / from * change;
        x[i] += s->noise[i] * up;
    }
}

void ht_euler_add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    for (size_t i = 0; i < s->count; ++i) {
        x[i] += s->sigmas[step] * noise[i];
    }
}

const ht_sampler_ops ht_sampler_euler = {.levels = true,
                                         .curves = true,
                                         .plan = ht_euler_plan,
                                         .input = ht_euler_input,
                                         .denoised = ht_euler_denoised,
                                         .step = advance,
                                         .add_noise = ht_euler_add_noise};
const ht_sampler_ops ht_sampler_euler_a = {.draws = true,
                                           .levels = true,
                                           .curves = true,
                                           .plan = ht_euler_plan,
                                           .input = ht_euler_input,
                                           .denoised = ht_euler_denoised,
                                           .step = advance_ancestral,
                                           .add_noise = ht_euler_add_noise};

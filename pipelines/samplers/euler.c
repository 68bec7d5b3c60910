// EulerDiscreteScheduler and EulerAncestralDiscreteScheduler: steps along the noise level, x = data + sigma * noise.
#include "sampler_internal.h"

#include <math.h>

static void spaced_sigmas(const ht_sampler *s, const double *timesteps, double *sigmas) {
    double max = ht_schedule_sigma(s, s->config.train_steps - 1), min = ht_schedule_sigma(s, 0);
    for (uint32_t i = 0; i < s->steps; ++i) {
        // In log_linear the reference spaces N + 1 points and leaves the smallest out.
        sigmas[i] = s->config.log_linear
                        ? exp(log(max) + (double)i / s->steps * (log(min) - log(max)))
                        : ht_schedule_interpolate(s, timesteps[i]);
    }
}

static ht_status plan(ht_sampler *s) {
    const ht_sampler_config *c = &s->config;
    uint32_t n = s->steps;
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

static void input(const ht_sampler *s, uint32_t step, const float *x, float *out) {
    float scale = sqrtf(s->sigmas[step] * s->sigmas[step] + 1.0f);
    for (size_t i = 0; i < s->count; ++i) {
        out[i] = x[i] / scale;
    }
}

static void denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                     float *clean) {
    float sigma = s->sigmas[step], square = sigma * sigma + 1.0f;
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

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float sigma = s->sigmas[step], change = s->sigmas[step + 1] - sigma;
    denoised(s, step, x, prediction, s->clean);
    for (size_t i = 0; i < s->count; ++i) {
        x[i] += (x[i] - s->clean[i]) / sigma * change;
    }
}

// Down to a lower level than the next one, then noise up to it.
static void advance_ancestral(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float from = s->sigmas[step], to = s->sigmas[step + 1];
    float up = sqrtf(to * to * (from * from - to * to) / (from * from));
    float change = sqrtf(to * to - up * up) - from;
    denoised(s, step, x, prediction, s->clean);
    ht_random_normal(s->random, s->noise,
                     s->count); // in the last step, too, where nothing comes of it
    for (size_t i = 0; i < s->count; ++i) {
        x[i] += (x[i] - s->clean[i]) / from * change;
        x[i] += s->noise[i] * up;
    }
}

static void add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    for (size_t i = 0; i < s->count; ++i) {
        x[i] += s->sigmas[step] * noise[i];
    }
}

const ht_sampler_ops ht_sampler_euler = {.levels = true,
                                         .plan = plan,
                                         .input = input,
                                         .denoised = denoised,
                                         .step = advance,
                                         .add_noise = add_noise};
const ht_sampler_ops ht_sampler_euler_a = {.draws = true,
                                           .levels = true,
                                           .plan = plan,
                                           .input = input,
                                           .denoised = denoised,
                                           .step = advance_ancestral,
                                           .add_noise = add_noise};

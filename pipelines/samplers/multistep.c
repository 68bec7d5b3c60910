// What the multistep samplers share: levels of the schedule and x = alpha data + sigma noise.
#include "sampler_internal.h"

#include <math.h>

// Timesteps whose log signal-to-noise ratio is below the limit are not used.
static uint32_t last_timestep(const ht_sampler *s) {
    uint32_t last = s->config.train_steps;
    while (last > 1 && -log(ht_schedule_sigma(s, last - 1)) < s->config.lambda_min) {
        --last;
    }
    return last;
}

static void flow_levels(const ht_sampler *s, double *sigmas, double *timesteps) {
    const ht_sampler_config *c = &s->config;
    const double end = 1.0 / c->train_steps;
    for (uint32_t i = 0; i < s->steps; ++i) {
        // N + 1 points, the last left out: from 1 down to 1/T, or from 1 - 1/T down to 0
        const double left = 1 - (double)i / s->steps;
        const double u = c->kind == HT_SAMPLER_UNIPC ? end + (1 - end) * left : (1 - end) * left;
        sigmas[i] = c->shift * u / (1 + (c->shift - 1) * u);
        if (fabs(sigmas[i] - 1) < 1e-6) { // no signal at all has no logarithm
            sigmas[i] -= 1e-6;
        }
        timesteps[i] = sigmas[i] * c->train_steps;
    }
}

static void table_levels(const ht_sampler *s, double *sigmas, double *timesteps) {
    const ht_sampler_config *c = &s->config;
    ht_schedule_space(c, s->steps, last_timestep(s), true, true, timesteps);
    for (uint32_t i = 0; i < s->steps; ++i) {
        sigmas[i] = ht_schedule_interpolate(s, timesteps[i]);
    }
    if (c->sigma_curve == HT_SIGMA_DEFAULT) {
        return;
    }
    // Between the ends of the whole table.
    const double max = ht_schedule_sigma(s, c->train_steps - 1), min = ht_schedule_sigma(s, 0);
    const bool whole = c->sigma_curve == HT_SIGMA_KARRAS &&
                       (c->beta_curve != HT_BETA_SQUARED_COSINE || c->kind == HT_SAMPLER_UNIPC);
    ht_schedule_curve(c->sigma_curve, c->sigma_max > 0 ? c->sigma_max : max,
                      c->sigma_min > 0 ? c->sigma_min : min, s->steps, sigmas);
    for (uint32_t i = 0; i < s->steps; ++i) {
        const double t = ht_schedule_timestep(s, sigmas[i]);
        timesteps[i] = whole ? rint(t) : t;
    }
}

// The level behind the last step.
static double final_level(const ht_sampler *s, double last) {
    const ht_sampler_config *c = &s->config;
    if (c->final_zero) {
        return 0;
    }
    const bool own = c->flow_sigmas || c->sigma_curve != HT_SIGMA_DEFAULT;
    return c->kind == HT_SAMPLER_UNIPC && own ? last : ht_schedule_sigma(s, 0);
}

ht_status ht_multistep_plan(ht_sampler *s) {
    const uint32_t n = s->steps;
    double *sigmas = ht_alloc(s->context, 2 * n * sizeof(*sigmas));
    if (!sigmas) {
        return HT_ERR_NO_MEMORY;
    }
    double *timesteps = sigmas + n;
    if (s->config.flow_sigmas) {
        flow_levels(s, sigmas, timesteps);
    } else {
        table_levels(s, sigmas, timesteps);
    }
    for (uint32_t i = 0; i < n; ++i) {
        s->sigmas[i] = (float)sigmas[i];
        s->timesteps[i] = (float)floor(timesteps[i]); // the network gets whole ones
    }
    s->sigmas[n] = (float)final_level(s, sigmas[n - 1]);
    ht_free(s->context, sigmas);
    return HT_OK;
}

ht_level ht_multistep_level(const ht_sampler *s, uint32_t step) {
    const double level = s->sigmas[step];
    ht_level out;
    out.alpha = s->config.flow_sigmas ? 1.0 - level : 1.0 / sqrt(level * level + 1.0);
    out.sigma = s->config.flow_sigmas ? level : level * out.alpha;
    out.lambda = log(out.alpha) - log(out.sigma); // infinite without noise
    return out;
}

void ht_multistep_denoised(const ht_sampler *s, uint32_t step, const float *x,
                           const float *prediction, float *clean) {
    const ht_level at = ht_multistep_level(s, step);
    double a = 1, b = 0; // clean = a x + b prediction
    switch (s->config.prediction) {
    case HT_PREDICT_EPSILON:
        a = 1 / at.alpha;
        b = -at.sigma / at.alpha;
        break;
    case HT_PREDICT_V:
        a = at.alpha;
        b = -at.sigma;
        break;
    case HT_PREDICT_SAMPLE:
        a = 0;
        b = 1;
        break;
    case HT_PREDICT_FLOW: b = -at.sigma; break;
    }
    for (size_t i = 0; i < s->count; ++i) {
        clean[i] = (float)(a * x[i] + b * prediction[i]);
    }
}

void ht_multistep_add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    const ht_level at = ht_multistep_level(s, step);
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = (float)(at.alpha * x[i] + at.sigma * noise[i]);
    }
}

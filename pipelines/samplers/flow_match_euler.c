// FlowMatchEulerDiscreteScheduler: straight lines between noise (level 1) and data (level 0).
#include "sampler_internal.h"

#include <math.h>

static double shifted(double sigma, double shift) {
    return shift * sigma / (1 + (shift - 1) * sigma);
}

// Levels before the shift. The smallest is shifted once already when the schedule spans the
// training range: the reference does so, and models are tuned with it.
static void base_levels(const ht_sampler *s, double *sigmas) {
    const ht_sampler_config *c = &s->config;
    double min = 1.0 / c->train_steps;
    min = c->dynamic_shift ? min : (float)shifted((float)min, c->shift);
    for (uint32_t i = 0; i < s->steps; ++i) {
        if (s->given) {
            sigmas[i] = s->given[i];
        } else if (c->sigma_curve == HT_SIGMA_UNIFORM) {
            sigmas[i] = (float)(1.0 - (double)i / s->steps);
        } else {
            double ramp = s->steps > 1 ? (double)i / (s->steps - 1) : 0;
            sigmas[i] = 1.0 + ramp * (min - 1.0);
        }
    }
}

static double dynamic_mu(const ht_sampler *s) {
    const ht_sampler_config *c = &s->config;
    double slope = (c->max_shift - c->base_shift) / ((double)c->max_tokens - c->base_tokens);
    return c->base_shift + slope * ((double)s->image_tokens - c->base_tokens);
}

static ht_status plan(ht_sampler *s) {
    const ht_sampler_config *c = &s->config;
    uint32_t n = s->steps;
    double *sigmas = ht_alloc(s->context, n * sizeof(*sigmas));
    if (!sigmas) {
        return HT_ERR_NO_MEMORY;
    }
    base_levels(s, sigmas);
    for (uint32_t i = 0; i < n; ++i) {
        if (c->dynamic_shift) {
            double mu = dynamic_mu(s), factor = c->linear_time_shift ? mu : exp(mu);
            sigmas[i] = factor / (factor + (1 / sigmas[i] - 1));
        } else {
            sigmas[i] = shifted(sigmas[i], c->shift);
        }
    }
    if (c->shift_terminal > 0 && sigmas[n - 1] < 1) {
        double scale = (1 - sigmas[n - 1]) / (1 - c->shift_terminal);
        for (uint32_t i = 0; i < n; ++i) {
            sigmas[i] = 1 - (1 - sigmas[i]) / scale;
        }
    }
    if (c->sigma_curve != HT_SIGMA_DEFAULT && c->sigma_curve != HT_SIGMA_UNIFORM) {
        ht_schedule_curve(c->sigma_curve, sigmas[0], sigmas[n - 1], n, sigmas);
    }
    for (uint32_t i = 0; i < n; ++i) {
        s->sigmas[i] = (float)sigmas[i];
        s->timesteps[i] = s->sigmas[i] * (float)c->train_steps;
    }
    s->sigmas[n] = 0;
    ht_free(s->context, sigmas);
    return HT_OK;
}

static void denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                     float *clean) {
    for (size_t i = 0; i < s->count; ++i) {
        clean[i] = x[i] - s->sigmas[step] * prediction[i];
    }
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float now = s->sigmas[step], next = s->sigmas[step + 1];
    if (s->config.stochastic) {
        ht_random_normal(s->random, s->noise, s->count);
        for (size_t i = 0; i < s->count; ++i) {
            x[i] = (1.0f - next) * (x[i] - now * prediction[i]) + next * s->noise[i];
        }
        return;
    }
    for (size_t i = 0; i < s->count; ++i) {
        x[i] += (next - now) * prediction[i];
    }
}

static void add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    float sigma = s->sigmas[step];
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = sigma * noise[i] + (1.0f - sigma) * x[i];
    }
}

const ht_sampler_ops ht_sampler_flow_euler = {.levels = true,
                                              .curves = true,
                                              .plan = plan,
                                              .denoised = denoised,
                                              .step = advance,
                                              .add_noise = add_noise};

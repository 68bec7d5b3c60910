// DPMSolverMultistepScheduler, dpmsolver++ of order 1 and 2, midpoint and Heun form.
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
    double end = 1.0 / c->train_steps;
    for (uint32_t i = 0; i < s->steps; ++i) {
        // N + 1 points from 1 - 1/T down to 0, the last left out
        double u = (1 - end) * (1 - (double)i / s->steps);
        sigmas[i] = c->shift * u / (1 + (c->shift - 1) * u);
        timesteps[i] = sigmas[i] * c->train_steps;
    }
}

static void table_levels(const ht_sampler *s, double *sigmas, double *timesteps) {
    const ht_sampler_config *c = &s->config;
    ht_schedule_space(c, s->steps, last_timestep(s), true, true, timesteps);
    for (uint32_t i = 0; i < s->steps; ++i) {
        sigmas[i] = ht_schedule_interpolate(s, timesteps[i]);
    }
    if (c->sigma_curve != HT_SIGMA_DEFAULT) { // between the ends of the whole table
        double max = ht_schedule_sigma(s, c->train_steps - 1), min = ht_schedule_sigma(s, 0);
        ht_schedule_curve(c->sigma_curve, c->sigma_max > 0 ? c->sigma_max : max,
                          c->sigma_min > 0 ? c->sigma_min : min, s->steps, sigmas);
        for (uint32_t i = 0; i < s->steps; ++i) {
            double t = ht_schedule_timestep(s, sigmas[i]);
            bool whole =
                c->sigma_curve == HT_SIGMA_KARRAS && c->beta_curve != HT_BETA_SQUARED_COSINE;
            timesteps[i] = whole ? rint(t) : t;
        }
    }
}

static ht_status plan(ht_sampler *s) {
    uint32_t n = s->steps;
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
    s->sigmas[n] = s->config.final_zero ? 0.0f : (float)ht_schedule_sigma(s, 0);
    ht_free(s->context, sigmas);
    return HT_OK;
}

// x = alpha * data + sigma * noise at a level of the schedule.
static void split(const ht_sampler *s, float level, double *alpha, double *sigma) {
    *alpha = s->config.flow_sigmas ? 1.0 - level : 1.0 / sqrt((double)level * level + 1.0);
    *sigma = s->config.flow_sigmas ? level : level * *alpha;
}

static void denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                     float *clean) {
    double alpha, sigma, a = 1, b = 0; // clean = a x + b prediction
    split(s, s->sigmas[step], &alpha, &sigma);
    switch (s->config.prediction) {
    case HT_PREDICT_EPSILON:
        a = 1 / alpha;
        b = -sigma / alpha;
        break;
    case HT_PREDICT_V:
        a = alpha;
        b = -sigma;
        break;
    case HT_PREDICT_SAMPLE:
        a = 0;
        b = 1;
        break;
    case HT_PREDICT_FLOW: b = -sigma; break;
    }
    for (size_t i = 0; i < s->count; ++i) {
        clean[i] = (float)(a * x[i] + b * prediction[i]);
    }
}

static bool second_order(const ht_sampler *s, uint32_t step) {
    const ht_sampler_config *c = &s->config;
    bool last = step + 1 == s->steps;
    bool lower = c->euler_at_final || (c->lower_order_final && s->steps < 15) || c->final_zero;
    return c->order == 2 && s->has_previous && !(last && lower);
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    double alpha, sigma, alpha_next, sigma_next;
    denoised(s, step, x, prediction, s->clean);
    split(s, s->sigmas[step], &alpha, &sigma);
    split(s, s->sigmas[step + 1], &alpha_next, &sigma_next);
    double lambda = log(alpha) - log(sigma);
    double h = log(alpha_next) - log(sigma_next) - lambda; // infinite when the next level is 0
    double keep = sigma_next / sigma, take = -alpha_next * expm1(-h), slope = 0;
    if (second_order(s, step) && h > 0) {
        double alpha_before, sigma_before;
        split(s, s->sigmas[step - 1], &alpha_before, &sigma_before);
        double r = (lambda - (log(alpha_before) - log(sigma_before))) / h;
        slope = s->config.heun ? alpha_next * (expm1(-h) / h + 1) / r : 0.5 * take / r;
    }
    for (size_t i = 0; i < s->count; ++i) {
        double moved = keep * x[i] + take * s->clean[i];
        if (slope != 0) {
            moved += slope * ((double)s->clean[i] - s->previous[i]);
        }
        x[i] = (float)moved;
    }
    float *swap = s->previous;
    s->previous = s->clean;
    s->clean = swap;
    s->has_previous = true;
}

static void add_noise(const ht_sampler *s, uint32_t step, const float *noise, float *x) {
    double alpha, sigma;
    split(s, s->sigmas[step], &alpha, &sigma);
    for (size_t i = 0; i < s->count; ++i) {
        x[i] = (float)(alpha * x[i] + sigma * noise[i]);
    }
}

const ht_sampler_ops ht_sampler_dpmpp_2m = {
    .levels = true, .plan = plan, .denoised = denoised, .step = advance, .add_noise = add_noise};

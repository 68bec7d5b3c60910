// CogVideoXDPMScheduler: DPM-Solver++ of order 2 along the stochastic equation (Lu et al. 2022), from one
// whole timestep to the next as DDIM goes, down to no noise at all. At its first step there may be no signal:
// the logarithm of its ratio to the noise is infinite then, and what is divided by it drops out.
#include "sampler_internal.h"

#include <math.h>

static ht_status plan(ht_sampler *s) {
    return ht_table_plan(s, s->steps, s->timesteps);
}

// Half the logarithm of the signal-to-noise ratio.
static double half_log_ratio(double level) {
    return log(sqrt(level / (1 - level)));
}

// The timestep behind the step; below 0 behind the last.
static int64_t timestep_after(const ht_sampler *s, uint32_t step) {
    return (int64_t)s->timesteps[step] - s->config.train_steps / s->steps;
}

// Neither the first step, nor the last.
static bool is_second_order(const ht_sampler *s, uint32_t step) {
    return s->n_kept > 0 && timestep_after(s, step) >= 0;
}

// How much of the change between the last two predictions is added to the newer: 1 / (2 r), r the ratio of
// the two steps.
static double extrapolation(const ht_sampler *s, uint32_t step, double here, double h) {
    if (!is_second_order(s, step)) {
        return 0;
    }
    const double last = here - half_log_ratio(ht_table_level(s, step - 1));
    return h / (2 * last); // 0 behind an infinite one
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    const double level = ht_table_level(s, step);
    const double after = ht_table_level_at(s, timestep_after(s, step));
    const double here = half_log_ratio(level), h = half_log_ratio(after) - here;
    const double more = extrapolation(s, step, here, h);
    const float keep = (float)(sqrt((1 - after) / (1 - level)) * exp(-h));
    const float clean = (float)(-expm1(-2 * h) * sqrt(after));
    const float fresh = (float)(sqrt(1 - after) * sqrt(-expm1(-2 * h)));
    const int draws = is_second_order(s, step) ? 2 : 1; // as the reference, which keeps the last
    ht_table_denoised(s, step, x, prediction, s->clean);
    for (int draw = 0; draw < draws; ++draw) {
        ht_random_normal(s->random, s->noise, s->count);
    }
    for (size_t i = 0; i < s->count; ++i) {
        const float old = s->n_kept > 0 ? s->kept[0][i] : 0;
        const float target = s->clean[i] + (float)more * (s->clean[i] - old);
        x[i] = keep * x[i] + clean * target + fresh * s->noise[i];
    }
    ht_sampler_keep(s);
}

const ht_sampler_ops ht_sampler_dpm_table = {.draws = true,
                                             .kept = 1,
                                             .plan = plan,
                                             .denoised = ht_table_denoised,
                                             .step = advance,
                                             .add_noise = ht_table_add_noise};

// DPMSolverSDEScheduler: to the middle of a step in the logarithm of the noise level, then the whole
// step with the prediction there, with noise of one Brownian path in both (k-diffusion's
// sample_dpmpp_sde). Odd evaluations are in the middle; the last step, to no noise, has none.
//
// A path's increments are drawn in order from the run's generator, not from a tree of bridges, so
// the pictures are of the same kind as the reference's but not the same.
#include "sampler_internal.h"

#include <math.h>

// Noise level at which an evaluation is.
static float level(const ht_sampler *s, uint32_t step) {
    return step % 2 == 1 ? sqrtf(s->sigmas[step - 1]) * sqrtf(s->sigmas[step]) : s->sigmas[step];
}

static ht_status plan(ht_sampler *s) {
    const ht_status status = ht_euler_plan(s);
    if (status != HT_OK) {
        return status;
    }
    ht_euler_twice(s);
    for (uint32_t i = 1; i < s->steps; i += 2) {
        s->timesteps[i] = (float)ht_schedule_timestep(s, level(s, i));
    }
    return HT_OK;
}

static void input(const ht_sampler *s, uint32_t step, const float *x, float *out) {
    ht_euler_input_at(s, level(s, step), x, out);
}

static void denoised(const ht_sampler *s, uint32_t step, const float *x, const float *prediction,
                     float *clean) {
    ht_euler_denoised_at(s, level(s, step), x, prediction, clean);
}

// The path's increment over the whole step, in units of its deviation: that over the first part and
// a fresh one over the rest.
static void whole_increment(ht_sampler *s, float from, float middle, float to, float *first) {
    const float a = sqrtf((from - middle) / (from - to)), b = sqrtf((middle - to) / (from - to));
    ht_random_normal(s->random, s->noise, s->count);
    for (size_t i = 0; i < s->count; ++i) {
        s->noise[i] = a * first[i] + b * s->noise[i];
    }
}

// kept: the sample before the step, and the path's increment over its first part.
static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float *sample = s->kept[0], *first = s->kept[1];
    const bool again = step % 2 == 1;
    const float from = s->sigmas[again ? step - 1 : step];
    const float to = again ? s->sigmas[step] : level(s, step + 1);
    denoised(s, step, x, prediction, s->clean);
    if (!again && s->sigmas[step + 1] == 0) {
        for (size_t i = 0; i < s->count; ++i) {
            x[i] = s->clean[i];
        }
        return;
    }
    const float up = sqrtf(to * to * (from * from - to * to) / (from * from));
    const float keep = sqrtf(to * to - up * up) / from;
    if (again) {
        whole_increment(s, from, level(s, step), to, first);
    } else {
        ht_random_normal(s->random, s->noise, s->count);
    }
    for (size_t i = 0; i < s->count; ++i) {
        const float start = again ? sample[i] : x[i];
        sample[i] = start;
        first[i] = s->noise[i];
        x[i] = keep * start + (1 - keep) * s->clean[i] + up * s->noise[i];
    }
}

const ht_sampler_ops ht_sampler_dpmpp_sde = {.draws = true,
                                             .levels = true,
                                             .curves = true,
                                             .twice = true,
                                             .kept = 2,
                                             .plan = plan,
                                             .input = input,
                                             .denoised = denoised,
                                             .step = advance,
                                             .add_noise = ht_euler_add_noise};

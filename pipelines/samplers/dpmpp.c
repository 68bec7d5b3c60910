// DPMSolverMultistepScheduler: dpmsolver++ and sde-dpmsolver++ of order 1 to 3 (Lu et al. 2022).
#include "sampler_internal.h"

#include <math.h>

// x' = keep x + data[0] D0 + data[1] D1 + data[2] D2 + noise n, D0 being the clean picture and D1, D2
// its first and second difference along the logarithm of the signal-to-noise ratio.
typedef struct update {
    double keep, data[3], noise;
} update;

static update coefficients(const ht_sampler *s, const ht_level *from, const ht_level *to, double h,
                           uint32_t order) {
    // Following the stochastic equation, the picture's share grows as over twice the distance.
    const double way = s->config.sde ? 2 * h : h;
    const double gain = -expm1(-way); // 1 - e^-way
    update u = {.keep = to->sigma / from->sigma, .data = {to->alpha * gain}};
    if (s->config.sde) {
        u.keep *= exp(-h);
        u.noise = to->sigma * sqrt(gain);
    }
    if (order == 2 && !s->config.heun) {
        u.data[1] = 0.5 * u.data[0];
    } else if (order >= 2) {
        u.data[1] = to->alpha * (1 - gain / way);
    }
    if (order == 3) {
        // The reference's signs differ between the two equations.
        u.data[2] = s->config.sde ? to->alpha * ((gain - way) / (way * way) - 0.5)
                                  : -to->alpha * ((way - gain) / (way * way) - 0.5);
    }
    return u;
}

static uint32_t order_of(const ht_sampler *s, uint32_t step, double h) {
    const ht_sampler_config *c = &s->config;
    const bool few = c->lower_order_final && s->steps < 15;
    uint32_t order = c->order < s->n_kept + 1 ? c->order : s->n_kept + 1;
    if (!(h > 0)) {
        return 1;
    }
    if (step + 1 == s->steps && (c->euler_at_final || few || c->final_zero)) {
        return 1;
    }
    return step + 2 == s->steps && few && order > 2 ? 2 : order;
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    ht_multistep_denoised(s, step, x, prediction, s->clean);
    const ht_level from = ht_multistep_level(s, step), to = ht_multistep_level(s, step + 1);
    const double h = to.lambda - from.lambda; // infinite when the next level is 0
    const uint32_t order = order_of(s, step, h);
    const update u = coefficients(s, &from, &to, h, order);
    double r0 = 1, r1 = 1;
    if (order > 1) {
        r0 = (from.lambda - ht_multistep_level(s, step - 1).lambda) / h;
    }
    if (order > 2) {
        r1 = (from.lambda - ht_multistep_level(s, step - 2).lambda) / h - r0;
    }
    if (s->config.sde) {
        ht_random_normal(s->random, s->noise, s->count);
    }
    for (size_t i = 0; i < s->count; ++i) {
        double moved = u.keep * x[i] + u.data[0] * s->clean[i];
        double d1 = order > 1 ? ((double)s->clean[i] - s->kept[0][i]) / r0 : 0;
        if (order > 2) {
            const double change = d1 - ((double)s->kept[0][i] - s->kept[1][i]) / r1;
            d1 += r0 / (r0 + r1) * change;
            moved += u.data[2] * change / (r0 + r1);
        }
        moved += u.data[1] * d1;
        x[i] = (float)(s->config.sde ? moved + u.noise * s->noise[i] : moved);
    }
    ht_sampler_keep(s);
}

const ht_sampler_ops ht_sampler_dpmpp = {.levels = true,
                                         .curves = true,
                                         .kept = 2,
                                         .plan = ht_multistep_plan,
                                         .denoised = ht_multistep_denoised,
                                         .step = advance,
                                         .add_noise = ht_multistep_add_noise};

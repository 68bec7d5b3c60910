// UniPCMultistepScheduler on clean pictures: a predictor, and at the next prediction a corrector of
// the step just made (Zhao et al. 2023, "UniPC"), order 1 to 3, B(h) of either kind.
#include "sampler_internal.h"

#include <math.h>

enum { MAX_ORDER = 3 };

// R rho = b by elimination; R is a small Vandermonde matrix of distinct numbers, first row of ones.
static void solve(uint32_t n, double R[MAX_ORDER][MAX_ORDER], double b[MAX_ORDER]) {
    for (uint32_t k = 0; k < n; ++k) {
        uint32_t best = k;
        for (uint32_t i = k + 1; i < n; ++i) {
            best = fabs(R[i][k]) > fabs(R[best][k]) ? i : best;
        }
        for (uint32_t j = 0; j < n; ++j) {
            const double swap = R[k][j];
            R[k][j] = R[best][j];
            R[best][j] = swap;
        }
        const double swap = b[k];
        b[k] = b[best];
        b[best] = swap;
        for (uint32_t i = k + 1; i < n; ++i) {
            const double factor = R[i][k] / R[k][k];
            for (uint32_t j = k; j < n; ++j) {
                R[i][j] -= factor * R[k][j];
            }
            b[i] -= factor * b[k];
        }
    }
    for (uint32_t k = n; k-- > 0;) {
        for (uint32_t j = k + 1; j < n; ++j) {
            b[k] -= R[k][j] * b[j];
        }
        b[k] /= R[k][k];
    }
}

// x' = keep x + first m0 + sum of other[k] (m_k - m0), m_0 the newest picture before the step.
typedef struct update {
    double keep, first, other[MAX_ORDER], newest;
} update;

// From level `step` to the next; `order` counts the pictures m_0, m_1, .. that are used. The corrector
// also uses the picture at the end of the step.
static update coefficients(const ht_sampler *s, uint32_t step, uint32_t order, bool corrector) {
    const ht_level from = ht_multistep_level(s, step), to = ht_multistep_level(s, step + 1);
    const double h = to.lambda - from.lambda, way = -h, phi1 = expm1(way);
    const double B = s->config.bh1 ? way : phi1;
    double R[MAX_ORDER][MAX_ORDER], rho[MAX_ORDER], r[MAX_ORDER];
    update u = {.keep = to.sigma / from.sigma, .first = -to.alpha * phi1};
    if (!corrector && order == 1) {
        return u;
    }
    for (uint32_t k = 0; k + 1 < order; ++k) {
        r[k] = (ht_multistep_level(s, step - 1 - k).lambda - from.lambda) / h;
    }
    r[order - 1] = 1;
    double phi = phi1 / way - 1, factorial = 1;
    for (uint32_t i = 0; i < order; ++i) {
        for (uint32_t k = 0; k < order; ++k) {
            R[i][k] = pow(r[k], i);
        }
        rho[i] = phi * factorial / B;
        factorial *= i + 2;
        phi = phi / way - 1 / factorial;
    }
    const uint32_t unknowns = corrector ? order : order - 1;
    if (unknowns == 1) { // the simplified form of both
        rho[0] = 0.5;
    } else {
        solve(unknowns, R, rho);
    }
    for (uint32_t k = 0; k + 1 < order; ++k) {
        u.other[k] = -to.alpha * B * rho[k] / r[k];
    }
    u.newest = corrector ? -to.alpha * B * rho[order - 1] : 0;
    return u;
}

// kept: m_0, m_1, m_2, and the sample before the last step.
static void move(const ht_sampler *s, const update *u, uint32_t order, const float *from,
                 const float *newest, float *to) {
    for (size_t i = 0; i < s->count; ++i) {
        const double m0 = s->kept[0][i];
        double moved = u->keep * from[i] + u->first * m0;
        for (uint32_t k = 0; k + 1 < order; ++k) {
            moved += u->other[k] * (s->kept[k + 1][i] - m0);
        }
        if (newest) {
            moved += u->newest * (newest[i] - m0);
        }
        to[i] = (float)moved;
    }
}

static uint32_t order_of(const ht_sampler *s, uint32_t step) {
    const ht_sampler_config *c = &s->config;
    const uint32_t left = s->steps - step;
    uint32_t order = c->lower_order_final && left < c->order ? left : c->order;
    order = order < s->n_kept ? order : s->n_kept;
    return s->sigmas[step + 1] > 0 ? order : 1; // without noise there is no distance to it
}

static void advance(ht_sampler *s, uint32_t step, const float *prediction, float *x) {
    float *before = s->noise; // this sampler draws none
    ht_multistep_denoised(s, step, x, prediction, s->clean);
    if (s->n_kept > 0) {
        const update u = coefficients(s, step - 1, s->last_order, true);
        move(s, &u, s->last_order, before, s->clean, x);
    }
    ht_sampler_keep(s);
    s->last_order = order_of(s, step);
    const update u = coefficients(s, step, s->last_order, false);
    for (size_t i = 0; i < s->count; ++i) {
        before[i] = x[i];
    }
    move(s, &u, s->last_order, before, NULL, x);
}

const ht_sampler_ops ht_sampler_unipc = {.levels = true,
                                         .curves = true,
                                         .kept = MAX_ORDER,
                                         .plan = ht_multistep_plan,
                                         .denoised = ht_multistep_denoised,
                                         .step = advance,
                                         .add_noise = ht_multistep_add_noise};

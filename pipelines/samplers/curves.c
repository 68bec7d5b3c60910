// Curves of noise levels between two ends.
#include "sampler_internal.h"

#include <math.h>

// Share of the beta distribution below x, by the continued fraction of the incomplete beta function
// (Abramowitz and Stegun 26.5.8, evaluated as Lentz does).
static double beta_share(double a, double b, double x) {
    if (x <= 0 || x >= 1) {
        return x <= 0 ? 0 : 1;
    }
    if (x > (a + 1) / (a + b + 2)) { // where the fraction converges fast
        return 1 - beta_share(b, a, 1 - x);
    }
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double fraction = d;
    for (int m = 1; m < 500; ++m) {
        double change = 1;
        for (int odd = 0; odd < 2; ++odd) {
            const double term = odd ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
                                    : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            c = fabs(c) < tiny ? tiny : c;
            change = c * d;
            fraction *= change;
        }
        if (fabs(change - 1) < 1e-15) {
            break;
        }
    }
    const double front =
        exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a;
    return front * fraction;
}

// Where the beta distribution has this share below; by halving, which always ends.
static double beta_quantile(double a, double b, double share) {
    double low = 0, high = 1;
    for (int i = 0; i < 200 && low < high; ++i) {
        const double middle = (low + high) / 2;
        if (middle == low || middle == high) {
            break;
        }
        if (beta_share(a, b, middle) < share) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return share <= 0 ? 0 : share >= 1 ? 1 : (low + high) / 2;
}

void ht_schedule_curve(ht_sigma_curve curve, double max, double min, uint32_t steps,
                       double *sigmas) {
    for (uint32_t i = 0; i < steps; ++i) {
        const double ramp = steps > 1 ? (double)i / (steps - 1) : 0;
        if (curve == HT_SIGMA_KARRAS) { // Karras et al. 2022, rho 7
            const double high = pow(max, 1 / 7.0), low = pow(min, 1 / 7.0);
            sigmas[i] = pow(high + ramp * (low - high), 7.0);
        } else if (curve == HT_SIGMA_BETA) { // Lee et al. 2024, "Beta Sampling is All You Need"
            sigmas[i] = min + beta_quantile(0.6, 0.6, 1 - ramp) * (max - min);
        } else {
            sigmas[i] = exp(log(max) + ramp * (log(min) - log(max)));
        }
    }
}

// How far one picture, or one latent, is from another.
#include "metrics.h"

#include <math.h>
#include <stdlib.h>

enum { WINDOW = 11, SUMS = 5 };

double ht_mse(const uint8_t *a, const uint8_t *b, size_t bytes) {
    uint64_t sum = 0; // exact: 65025 * 2^47 still fits
    for (size_t i = 0; i < bytes; ++i) {
        int d = (int)a[i] - (int)b[i];
        sum += (uint64_t)(d * d);
    }
    return bytes > 0 ? (double)sum / (double)bytes : 0;
}

double ht_psnr(double mse) {
    return mse > 0 ? 10 * log10(255.0 * 255.0 / mse) : INFINITY;
}

static void make_window(double weights[WINDOW]) {
    double sum = 0;
    for (int i = 0; i < WINDOW; ++i) {
        double d = i - WINDOW / 2;
        weights[i] = exp(-d * d / (2 * 1.5 * 1.5));
        sum += weights[i];
    }
    for (int i = 0; i < WINDOW; ++i) {
        weights[i] /= sum;
    }
}

static double luma(const uint8_t *rgb) {
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

// Weighted a, b, a^2, b^2 and ab of 11 pixels in a row, for every place they fit.
static void filter_row(const uint8_t *a, const uint8_t *b, uint32_t places,
                       const double weights[WINDOW], double *out) {
    for (uint32_t x = 0; x < places; ++x) {
        double *sums = out + (size_t)x * SUMS;
        for (int s = 0; s < SUMS; ++s) {
            sums[s] = 0;
        }
        for (uint32_t i = 0; i < WINDOW; ++i) {
            double p = luma(a + 3 * (size_t)(x + i)), q = luma(b + 3 * (size_t)(x + i));
            sums[0] += weights[i] * p;
            sums[1] += weights[i] * q;
            sums[2] += weights[i] * p * p;
            sums[3] += weights[i] * q * q;
            sums[4] += weights[i] * p * q;
        }
    }
}

static double similarity(const double s[SUMS]) {
    static const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
    double variance_a = s[2] - s[0] * s[0], variance_b = s[3] - s[1] * s[1];
    double covariance = s[4] - s[0] * s[1];
    return (2 * s[0] * s[1] + c1) * (2 * covariance + c2) /
           ((s[0] * s[0] + s[1] * s[1] + c1) * (variance_a + variance_b + c2));
}

double ht_ssim(const uint8_t *a, const uint8_t *b, uint32_t width, uint32_t height) {
    if (width < WINDOW || height < WINDOW) {
        return NAN;
    }
    uint32_t places = width - WINDOW + 1, lines = height - WINDOW + 1;
    size_t row = (size_t)places * SUMS;
    double weights[WINDOW], total = 0;
    double *rows = malloc(WINDOW * row * sizeof(*rows)); // a ring of the last 11
    if (!rows) {
        return NAN;
    }
    make_window(weights);
    for (uint32_t y = 0; y < height; ++y) {
        size_t at = (size_t)y * width * 3;
        filter_row(a + at, b + at, places, weights, rows + y % WINDOW * row);
        for (uint32_t x = 0; x < places && y + 1 >= WINDOW; ++x) {
            double sums[SUMS] = {0};
            for (uint32_t i = 0; i < WINDOW; ++i) {
                uint32_t line = (y + 1 - WINDOW + i) % WINDOW;
                for (int s = 0; s < SUMS; ++s) {
                    sums[s] += weights[i] * rows[line * row + (size_t)x * SUMS + (size_t)s];
                }
            }
            total += similarity(sums);
        }
    }
    free(rows);
    return total / ((double)places * lines);
}

double ht_sqnr(const float *got, const float *want, size_t count) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < count; ++i) {
        double d = (double)got[i] - want[i];
        signal += (double)want[i] * want[i];
        noise += d * d;
    }
    if (!(signal > 0)) {
        return NAN;
    }
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ht_median(double *values, size_t count) {
    if (count == 0) {
        return NAN;
    }
    qsort(values, count, sizeof(*values), ascending);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

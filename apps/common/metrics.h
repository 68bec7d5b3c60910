// How far one picture, or one latent, is from another.
#ifndef HT_APP_METRICS_H
#define HT_APP_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Pictures are 8-bit RGB, rows from the top, no padding.

// Mean squared difference of all bytes, and 10 log10(255^2 / that): infinite for equal pictures.
double ht_mse(const uint8_t *a, const uint8_t *b, size_t bytes);
double ht_psnr(double mse);

// Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004) of the luma 0.299 R + 0.587 G +
// 0.114 B, not rounded: windows of 11 x 11 with Gaussian weights of deviation 1.5 that sum to 1,
// K1 = 0.01, K2 = 0.03, L = 255; the mean over all windows that lie inside of the picture. Smaller
// pictures than a window give NaN, and so does running out of memory.
double ht_ssim(const uint8_t *a, const uint8_t *b, uint32_t width, uint32_t height);

// 10 log10(sum want^2 / sum (got - want)^2): infinite when equal, NaN when `want` is all zero.
double ht_sqnr(const float *got, const float *want, size_t count);

// Middle of the values (mean of the two for an even count), which get sorted; NaN of none.
double ht_median(double *values, size_t count);

#endif

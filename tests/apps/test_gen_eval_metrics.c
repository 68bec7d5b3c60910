// Figures of gen-eval against values worked out by hand.
#include "support.h"

#include "common/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Sums of 121 products of values up to 65025 in f64, then divisions: far below this.
#define CLOSE 1e-9

static void expect(double got, double want, const char *what) {
    if (!(fabs(got - want) <= CLOSE * fmax(1, fabs(want)))) {
        fail_msg("%s: %.12g, expected %.12g", what, got, want);
    }
}

static uint8_t *grey(uint32_t width, uint32_t height, uint8_t value) {
    uint8_t *rgb = malloc((size_t)width * height * 3);
    assert_non_null(rgb);
    memset(rgb, value, (size_t)width * height * 3);
    return rgb;
}

static void test_psnr(void **state) {
    (void)state;
    static const uint8_t a[] = {0, 10, 255, 7}, b[] = {255, 13, 255, 3};
    expect(ht_mse(a, b, 4), (65025 + 9 + 16) / 4.0, "mse");
    expect(ht_mse(a, a, 4), 0, "mse of equal ones");
    expect(ht_psnr(65025), 0, "psnr of black and white");
    expect(ht_psnr(650.25), 20, "psnr of a hundredth");
    expect(ht_psnr(1), 48.130803608679074, "psnr of one step"); // 20 log10 255
    assert_true(isinf(ht_psnr(0)));
}

// Flat pictures have no variance: the formula is (2 p q + C1) / (p^2 + q^2 + C1).
static void test_ssim_flat(void **state) {
    (void)state;
    const double c1 = 6.5025; // (0.01 * 255)^2
    uint8_t *a = grey(16, 12, 100), *b = grey(16, 12, 150);
    expect(ht_ssim(a, b, 16, 12), (2 * 100 * 150.0 + c1) / (100 * 100 + 150 * 150 + c1), "flat");
    expect(ht_ssim(a, a, 16, 12), 1, "equal");
    assert_true(isnan(ht_ssim(a, b, 10, 12)));
    assert_true(isnan(ht_ssim(a, b, 16, 10)));
    free(a);
    free(b);
}

// One window, one bright pixel in the middle of black, against black. With w the weight of the
// middle, and 200 the luma of the pixel: mean 200 w, mean of squares 200^2 w, and black has neither:
// C1 / (200^2 w^2 + C1) * C2 / (200^2 (w - w^2) + C2).
static void test_ssim_pixel(void **state) {
    (void)state;
    const double c1 = 6.5025, c2 = 58.5225;
    double sum = 0;
    for (int i = -5; i <= 5; ++i) {
        sum += exp(-i * i / 4.5);
    }
    const double w = 1 / (sum * sum), l = 200;
    uint8_t *a = grey(11, 11, 0), *b = grey(11, 11, 0);
    memset(a + (size_t)(5 * 11 + 5) * 3, 200, 3);
    const double want = c1 / (l * l * w * w + c1) * c2 / (l * l * (w - w * w) + c2);
    expect(ht_ssim(a, b, 11, 11), want, "one pixel");
    expect(ht_ssim(b, a, 11, 11), want, "one pixel, the other way");
    // Of one colour only: luma of 200 green is 117.4.
    memset(a + (size_t)(5 * 11 + 5) * 3, 0, 3);
    a[(5 * 11 + 5) * 3 + 1] = 200;
    const double g = 0.587 * 200;
    expect(ht_ssim(a, b, 11, 11), c1 / (g * g * w * w + c1) * c2 / (g * g * (w - w * w) + c2),
           "one green pixel");
    free(a);
    free(b);
}

// The same definition, window by window in two dimensions, without any reuse of sums.
static double slow_ssim(const uint8_t *a, const uint8_t *b, int width, int height) {
    double total = 0, norm = 0;
    for (int i = 0; i < 121; ++i) {
        norm += exp(-((i % 11 - 5) * (i % 11 - 5) + (i / 11 - 5) * (i / 11 - 5)) / 4.5);
    }
    for (int y = 5; y < height - 5; ++y) {
        for (int x = 5; x < width - 5; ++x) {
            double p = 0, q = 0, pp = 0, qq = 0, pq = 0;
            for (int pass = 0; pass < 2; ++pass) { // means, then central moments
                for (int i = 0; i < 121; ++i) {
                    int dx = i % 11 - 5, dy = i / 11 - 5;
                    double w = exp(-(dx * dx + dy * dy) / 4.5) / norm;
                    const uint8_t *u = a + ((y + dy) * width + x + dx) * 3;
                    const uint8_t *v = b + ((y + dy) * width + x + dx) * 3;
                    double m = 0.299 * u[0] + 0.587 * u[1] + 0.114 * u[2];
                    double n = 0.299 * v[0] + 0.587 * v[1] + 0.114 * v[2];
                    if (pass == 0) {
                        p += w * m;
                        q += w * n;
                    } else {
                        pp += w * (m - p) * (m - p);
                        qq += w * (n - q) * (n - q);
                        pq += w * (m - p) * (n - q);
                    }
                }
            }
            total += (2 * p * q + 6.5025) * (2 * pq + 58.5225) /
                     ((p * p + q * q + 6.5025) * (pp + qq + 58.5225));
        }
    }
    return total / ((double)(width - 10) * (height - 10));
}

static void test_ssim_noise(void **state) {
    (void)state;
    enum { WIDTH = 23, HEIGHT = 27, BYTES = WIDTH * HEIGHT * 3 };
    uint8_t a[BYTES], b[BYTES];
    uint64_t seed = 5;
    for (int i = 0; i < BYTES; ++i) {
        a[i] = (uint8_t)(ht_test_random(&seed) % 200);
        b[i] = (uint8_t)(a[i] + ht_test_random(&seed) % 56);
    }
    double got = ht_ssim(a, b, WIDTH, HEIGHT);
    assert_true(got > 0.5 && got < 0.99);
    expect(got, slow_ssim(a, b, WIDTH, HEIGHT), "noise");
}

static void test_others(void **state) {
    (void)state;
    static const float want[] = {3, 4, 0}, got[] = {3, 4, 0.5f}, zero[3];
    expect(ht_sqnr(got, want, 3), 20, "sqnr"); // 25 / 0.25
    assert_true(isinf(ht_sqnr(want, want, 3)));
    assert_true(isnan(ht_sqnr(got, zero, 3)));
    double odd[] = {5, 1, 9}, even[] = {4, 1, 2, 100};
    expect(ht_median(odd, 3), 5, "median of three");
    expect(ht_median(even, 4), 3, "median of four");
    assert_true(isnan(ht_median(odd, 0)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_psnr),       cmocka_unit_test(test_ssim_flat),
        cmocka_unit_test(test_ssim_pixel), cmocka_unit_test(test_ssim_noise),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

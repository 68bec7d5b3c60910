// Percentiles and clipping from histograms, against scans of the values themselves and NumPy.
#include "support.h"

#include "formats.h"

#include <math.h>
#include <stdlib.h>

enum { COUNT = 4000 };

static double fill_histogram(const float *values, size_t count, double *histogram) {
    float largest = 0;
    for (size_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(values[i]));
    }
    const double bin = (double)largest * 1.001 / HT_HISTOGRAM_BINS;
    for (size_t i = 0; i < count; i++) {
        histogram[(int)(fabs((double)values[i]) / bin)]++;
    }
    return bin;
}

// What dividing by `scale` loses, value by value.
static double loss(ht_format format, const float *values, size_t count, float scale) {
    const ht_fmt_row *row = ht_fmt_find(format);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const float kept = ht_fmt_decode(row, ht_fmt_encode(row, values[i] / scale)) * scale;
        sum += ((double)kept - (double)values[i]) * ((double)kept - (double)values[i]);
    }
    return sum;
}

static void test_against_scan(void **state) {
    (void)state;
    static const ht_format formats[] = {HT_FORMAT_INT8, HT_FORMAT_E4M3, HT_FORMAT_E3M4};
    static float values[COUNT];
    ht_test_fill_normal(3, values, COUNT);
    for (int i = 0; i < COUNT; i += 500) {
        values[i] *= 30; // clipping these is worth it
    }
    double histogram[HT_HISTOGRAM_BINS] = {0}, least = INFINITY, largest = 0;
    const double bin = fill_histogram(values, COUNT, histogram);
    for (int i = 0; i < COUNT; i++) {
        largest = fmax(largest, fabs((double)values[i]));
    }
    for (size_t f = 0; f < HT_COUNT(formats); f++) {
        const float top = ht_fmt_largest(ht_fmt_find(formats[f]));
        const float found = ht_clip_search(formats[f], histogram, bin, largest, NULL);
        least = INFINITY;
        for (int i = 0; i < 80; i++) {
            const float scale = (float)(largest * (1 - 0.01 * i)) / top;
            least = fmin(least, loss(formats[f], values, COUNT, scale));
        }
        // An INT8 step is 16 bins wide; the smallest ones of E4M3 are a fraction of one.
        assert_true(loss(formats[f], values, COUNT, found) <= least * 1.02);
    }
    assert_true(ht_clip_search(HT_FORMAT_INT8_G32, histogram, bin, largest, NULL) == 0);
    assert_true(ht_clip_search(HT_FORMAT_INT8, histogram, bin, 0, NULL) == 0);
}

static void test_against_numpy(void **state) {
    (void)state;
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};
    ht_test_golden golden;
    ht_tensor_desc desc;
    double histogram[HT_HISTOGRAM_BINS] = {0}, error;
    ht_test_golden_open(&golden, "calibrate");
    float *values = ht_test_golden_read(&golden, "heavy", &desc);
    float *percentiles = ht_test_golden_read(&golden, "percentiles", NULL);
    float *best = ht_test_golden_read(&golden, "best", NULL);
    const double bin = fill_histogram(values, desc.dims[0], histogram);
    for (size_t i = 0; i < HT_COUNT(shares); i++) {
        const double found = ht_clip_percentile(histogram, bin, shares[i]);
        assert_true(found >= (double)percentiles[i] && found <= (double)percentiles[i] + bin);
    }
    const float scale = ht_clip_search(HT_FORMAT_INT8, histogram, bin, 60, &error);
    assert_true(fabs((double)(scale / best[0]) - 1) < 0.02);
    assert_true(fabs(error / (double)best[1] - 1) < 0.02);
    assert_true(error == ht_clip_error(HT_FORMAT_INT8, histogram, bin, scale));
    free(best);
    free(percentiles);
    free(values);
    ht_test_golden_close(&golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_scan),
                                       cmocka_unit_test(test_against_numpy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

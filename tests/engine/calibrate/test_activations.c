// Static scales: of each step the best, and what they cost, against plain loops.
#include "support.h"

#include "formats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 40, TAPS = 4, COLUMNS = WIDTH * TAPS, STEPS = 2, ROWS = 6, N = 5 };

typedef struct fixture {
    ht_input_stats s;
    ht_step_range ranges[STEPS];
    double histograms[STEPS * HT_HISTOGRAM_BINS];
    float rows[ROWS * COLUMNS];
    uint32_t row_steps[ROWS];
} fixture;

// Step 1 is ten times as large as step 0.
static void fill(fixture *f) {
    memset(f, 0, sizeof *f);
    f->s = (ht_input_stats){.name = "l",
                            .stage = HT_STATS_STEP,
                            .width = WIDTH,
                            .kernel_h = 2,
                            .kernel_w = 2,
                            .columns = COLUMNS,
                            .steps = STEPS,
                            .ranges = f->ranges,
                            .histograms = f->histograms,
                            .rows = f->rows,
                            .row_steps = f->row_steps,
                            .n_rows = ROWS};
    ht_test_fill_normal(1, f->rows, ROWS * COLUMNS);
    for (uint32_t r = 0; r < ROWS; r++) {
        f->row_steps[r] = r % STEPS;
        for (uint32_t i = 0; i < COLUMNS; i++) {
            float *x = &f->rows[r * COLUMNS + i];
            *x *= r % STEPS ? 10 : 1;
            ht_step_range *range = &f->ranges[r % STEPS];
            range->bin = (r % STEPS ? 64.0 : 8.0) / HT_HISTOGRAM_BINS;
            range->least = fmin(range->least, (double)*x);
            range->most = fmax(range->most, (double)*x);
            range->count++;
            f->histograms[r % STEPS * HT_HISTOGRAM_BINS +
                          (uint32_t)(fabs((double)*x) / range->bin)]++;
        }
    }
}

static void test_scales(void **state) {
    (void)state;
    static fixture f;
    float scales[STEPS];
    fill(&f);
    assert_true(ht_calibrate_scales(&f.s, HT_FORMAT_INT8, scales));
    for (uint32_t i = 0; i < STEPS; i++) {
        const double most = fmax(-f.ranges[i].least, f.ranges[i].most);
        assert_true((double)scales[i] <= most / 127 * 1.0001 &&
                    (double)scales[i] > most / 127 * 0.2);
    }
    assert_true(scales[1] > 4 * scales[0]);
    f.ranges[0] = (ht_step_range){0}; // never seen: as the largest
    memset(f.histograms, 0, HT_HISTOGRAM_BINS * sizeof *f.histograms);
    assert_true(ht_calibrate_scales(&f.s, HT_FORMAT_INT8, scales) && scales[0] == scales[1]);
    assert_false(ht_calibrate_scales(&f.s, HT_FORMAT_INT4, scales)); // has groups
}

static float rounded(float x, float scale) {
    return fminf(127, fmaxf(-127, nearbyintf(x / scale))) * scale;
}

static void test_trial(void **state) {
    (void)state;
    static fixture f;
    static float w[N * COLUMNS], packed[N * COLUMNS];
    const float scales[STEPS] = {0.02f, 0.3f};
    const ht_context_desc host = {.host_only = true};
    ht_context *context;
    ht_scale_trial got;
    double want[3] = {0};
    fill(&f);
    ht_test_fill_normal(2, w, N * COLUMNS);
    for (int i = 0; i < N * COLUMNS; i++) {
        packed[i] = w[i] + 0.01f * (float)(i % 3);
    }
    assert_int_equal(ht_context_create(&host, &context), HT_OK);
    assert_int_equal(
        ht_calibrate_try(context, &f.s, w, packed, N, HT_FORMAT_INT8, scales, &got), HT_OK);
    for (int r = 0; r < ROWS; r++) {
        for (int n = 0; n < N; n++) {
            double y[3] = {0};
            for (int i = 0; i < COLUMNS; i++) {
                const float *x = &f.rows[r * COLUMNS], *pixel = x + i / WIDTH * WIDTH;
                float largest = 0;
                for (int k = 0; k < WIDTH; k++) {
                    largest = fmaxf(largest, fabsf(pixel[k]));
                }
                const double p = (double)packed[n * COLUMNS + i];
                y[0] += (double)x[i] * (double)w[n * COLUMNS + i];
                y[1] += (double)rounded(x[i], largest / 127) * p;
                y[2] += (double)rounded(x[i], scales[r % STEPS]) * p;
            }
            want[0] += y[0] * y[0];
            want[1] += (y[1] - y[0]) * (y[1] - y[0]);
            want[2] += (y[2] - y[0]) * (y[2] - y[0]);
        }
    }
    // A value on an edge may go either way: steps are 1/127, and few do.
    assert_true(fabs(got.signal / want[0] - 1) < 1e-6);
    assert_true(fabs(got.dynamic_error / want[1] - 1) < 0.01);
    assert_true(fabs(got.fixed_error / want[2] - 1) < 0.01);
    ht_context_destroy(&context);
}

// A text whose first row is sixty times as large as the others, as CLIP's start of text can be: what one
// scale for all rows does to the others, and that a scale for each row need not know of it.
static double rest_db(const float *text, uint32_t rows, const float *w, float scale) {
    double signal = 0, noise = 0;
    for (uint32_t r = 1; r < rows; r++) {
        const float *x = text + r * WIDTH;
        float largest = 0;
        for (int k = 0; k < WIDTH; k++) {
            largest = fmaxf(largest, fabsf(x[k]));
        }
        for (int n = 0; n < N; n++) {
            double y = 0, off = 0;
            for (int k = 0; k < WIDTH; k++) {
                const float kept = rounded(x[k], scale > 0 ? scale : largest / 127);
                y += (double)x[k] * (double)w[n * WIDTH + k];
                off += ((double)kept - (double)x[k]) * (double)w[n * WIDTH + k];
            }
            signal += y * y;
            noise += off * off;
        }
    }
    return 10 * log10(signal / noise);
}

static void test_first_row(void **state) {
    (void)state;
    enum { TOKENS = 77 };
    static float text[TOKENS * WIDTH], w[N * WIDTH];
    static double all[HT_HISTOGRAM_BINS], rest[HT_HISTOGRAM_BINS];
    double most = 0, rest_most = 0;
    ht_test_fill_normal(3, text, TOKENS * WIDTH);
    ht_test_fill_normal(4, w, N * WIDTH);
    for (int i = 0; i < TOKENS * WIDTH; i++) {
        text[i] *= i < WIDTH ? 60 : 1;
        most = fmax(most, fabs((double)text[i]));
        rest_most = i < WIDTH ? 0 : fmax(rest_most, fabs((double)text[i]));
    }
    const double bin = most * 1.001 / HT_HISTOGRAM_BINS,
                 fine = rest_most * 1.001 / HT_HISTOGRAM_BINS;
    for (int i = 0; i < TOKENS * WIDTH; i++) {
        all[(int)(fabs((double)text[i]) / bin)]++;
        rest[i < WIDTH ? 0 : (int)(fabs((double)text[i]) / fine)] += i >= WIDTH;
    }
    const float joint = ht_clip_search(HT_FORMAT_INT8, all, bin, most, NULL);
    const float apart = ht_clip_search(HT_FORMAT_INT8, rest, fine, rest_most, NULL);
    const double with_joint = rest_db(text, TOKENS, w, joint);
    const double with_apart = rest_db(text, TOKENS, w, apart);
    const double by_row = rest_db(text, TOKENS, w, 0);
    print_message("one scale %.1f dB, without the first row %.1f dB, a scale a row %.1f dB\n",
                  with_joint, with_apart, by_row);
    assert_true(with_apart > with_joint + 25);
    assert_true(by_row > with_apart);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scales), cmocka_unit_test(test_trial),
                                       cmocka_unit_test(test_first_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

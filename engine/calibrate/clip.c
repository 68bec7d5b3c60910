// Where to clip: percentiles, and the scale with the least squared error (the grid of published
// calibrations: methods of LAPQ, Q-Diffusion, QuEST).
#include "core.h"
#include "formats.h"

#include <halftone/calibrate.h>

#include <math.h>

// Values of a bin are taken as spread evenly: small codes of minifloats are closer than bins are.
enum { CANDIDATES = 80, POINTS = 4 };

double ht_clip_percentile(const double *histogram, double bin, double share) {
    double all = 0, seen = 0;
    for (int i = 0; i < HT_HISTOGRAM_BINS; i++) {
        all += histogram[i];
    }
    for (int i = 0; i < HT_HISTOGRAM_BINS && all > 0; i++) {
        seen += histogram[i];
        if (seen >= share * all) {
            return bin * (i + 1);
        }
    }
    return 0;
}

double ht_clip_error(ht_format format, const double *histogram, double bin, float scale) {
    const ht_fmt_row *row = ht_fmt_find(format);
    double error = 0;
    for (int i = 0; i < HT_HISTOGRAM_BINS; i++) {
        for (int k = 0; k < POINTS && histogram[i] > 0; k++) {
            const float x = (float)(bin * (i + (k + 0.5) / POINTS));
            const float kept = ht_fmt_decode(row, ht_fmt_encode(row, x * (1 / scale))) * scale;
            const double lost = (double)kept - (double)x;
            error += histogram[i] / POINTS * lost * lost;
        }
    }
    return error;
}

float ht_clip_search(ht_format format, const double *histogram, double bin, double largest,
                     double *error) {
    const ht_fmt_row *row = ht_fmt_find(format);
    double least = INFINITY;
    float best = 0;
    if (row == NULL || row->group != 0 || row->scale != HT_FMT_SCALE_F32 || !(largest > 0)) {
        return 0;
    }
    for (int i = 0; i < CANDIDATES; i++) {
        const float scale = (float)(largest * (1 - 0.01 * i)) / ht_fmt_largest(row);
        const double now = scale > 0 ? ht_clip_error(format, histogram, bin, scale) : INFINITY;
        if (now < least) {
            least = now;
            best = scale;
        }
    }
    if (error != NULL) {
        *error = least;
    }
    return best;
}

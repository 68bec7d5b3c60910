// Codes in bit planes, and the rows whose values are sums of scaled planes: +-s1 +-s2 .. or
// {0, s1} + {0, s2}. Scales by least squares, in turn with the nearest codes.
#include "formats.h"

#include <string.h>

// ---- codes

// The byte that has plane `plane` of value `at`; its bit is at % 8.
static size_t byte_of(const ht_fmt_row *row, uint32_t at, uint32_t plane) {
    return 4 * ((size_t)(at / 32) * row->bits + plane) + at % 32 / 8;
}

uint32_t ht_fmt_get_code(const ht_fmt_row *row, const uint8_t *codes, uint32_t at) {
    if (!ht_fmt_in_planes(row)) {
        return row->bits == 8 ? codes[at] : codes[at / 2] >> (at % 2 * 4) & 0x0f;
    }
    uint32_t code = 0;
    for (uint32_t p = 0; p < row->bits; p++) {
        code |= (uint32_t)(codes[byte_of(row, at, p)] >> at % 8 & 1) << p;
    }
    return code;
}

void ht_fmt_put_code(const ht_fmt_row *row, uint8_t *codes, uint32_t at, uint32_t code) {
    if (!ht_fmt_in_planes(row)) {
        uint8_t *byte = codes + (row->bits == 8 ? at : at / 2);
        *byte = (uint8_t)(row->bits == 8 ? code
                          : at % 2       ? (*byte & 0x0f) | code << 4
                                         : (*byte & 0xf0) | code);
        return;
    }
    for (uint32_t p = 0; p < row->bits; p++) {
        uint8_t *byte = codes + byte_of(row, at, p);
        *byte = (uint8_t)((*byte & ~(1u << at % 8)) | (code >> p & 1) << at % 8);
    }
}

float ht_fmt_term(const ht_fmt_row *row, uint32_t code, uint32_t term) {
    const float bit = (float)(code >> term & 1);
    switch (row->kind) {
    case HT_FMT_SIGNS: return 2 * bit - 1;
    case HT_FMT_BITS: return bit;
    default: return ht_fmt_decode(row, code);
    }
}

// ---- sums of planes

enum { MAX_TERMS = 3, MAX_ROUNDS = 12 };

typedef struct sum {
    const ht_fmt_row *row;
    const float *values;
    uint32_t count;
    double scales[MAX_TERMS];
} sum;

static double level(const sum *s, uint32_t code) {
    double value = 0;
    for (uint32_t j = 0; j < s->row->bits; j++) {
        value += s->scales[j] * ht_fmt_term(s->row, code, j);
    }
    return value;
}

static uint32_t nearest_code(const double *levels, uint32_t count, double value) {
    uint32_t best = count - 1; // of equals: +1
    for (uint32_t code = count - 1; code-- > 0;) {
        if (fabs(value - levels[code]) < fabs(value - levels[best])) {
            best = code;
        }
    }
    return best;
}

// The normal equations of the scales, for the nearest codes; returns the squared error.
typedef struct normal {
    double gram[MAX_TERMS][MAX_TERMS], right[MAX_TERMS];
} normal;

static double assign(const sum *s, normal *n) {
    const uint32_t terms = s->row->bits, codes = 1u << terms;
    double levels[1 << MAX_TERMS], sums[1 << MAX_TERMS] = {0}, error = 0;
    uint32_t counts[1 << MAX_TERMS] = {0};
    for (uint32_t code = 0; code < codes; code++) {
        levels[code] = level(s, code);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const double value = ht_fmt_limited(s->values[i]);
        const uint32_t code = nearest_code(levels, codes, value);
        error += (value - levels[code]) * (value - levels[code]);
        sums[code] += value;
        counts[code]++;
    }
    memset(n, 0, sizeof *n);
    for (uint32_t code = 0; code < codes; code++) {
        for (uint32_t j = 0; j < terms; j++) {
            const double c = ht_fmt_term(s->row, code, j);
            n->right[j] += c * sums[code];
            for (uint32_t k = 0; k < terms; k++) {
                n->gram[j][k] += c * ht_fmt_term(s->row, code, k) * counts[code];
            }
        }
    }
    return error;
}

// By elimination; scales that the codes do not tell apart keep what they are.
static bool solve(normal *n, uint32_t terms, double *scales) {
    for (uint32_t j = 0; j < terms; j++) {
        if (n->gram[j][j] < 1e-6) {
            return false;
        }
        for (uint32_t i = j + 1; i < terms; i++) {
            const double factor = n->gram[i][j] / n->gram[j][j];
            for (uint32_t k = j; k < terms; k++) {
                n->gram[i][k] -= factor * n->gram[j][k];
            }
            n->right[i] -= factor * n->right[j];
        }
    }
    for (uint32_t j = terms; j-- > 0;) {
        double rest = n->right[j];
        for (uint32_t k = j + 1; k < terms; k++) {
            rest -= n->gram[j][k] * scales[k];
        }
        scales[j] = rest / n->gram[j][j];
    }
    return true;
}

// As the file has them: f16, and of signs above 0, since a sign can be in the bits.
static void round_scales(sum *s) {
    for (uint32_t j = 0; j < s->row->bits; j++) {
        const bool signs = s->row->kind == HT_FMT_SIGNS;
        const double wanted = signs ? fabs(s->scales[j]) : s->scales[j];
        const float kept = (float)fmin(fmax(wanted, -65504), 65504);
        const uint16_t half = ht_fmt_f16_from_f32(kept);
        s->scales[j] = ht_fmt_f32_from_f16(signs && half == 0 ? 1 : half);
    }
}

// Codes and scales in turn, until the error of the rounded scales no longer falls; returns it.
static double improve(sum *s, bool search) {
    normal n;
    double least;
    round_scales(s);
    least = assign(s, &n);
    for (uint32_t round = 0; search && round < MAX_ROUNDS; round++) {
        sum next = *s;
        if (!solve(&n, s->row->bits, next.scales)) {
            break;
        }
        round_scales(&next);
        const double error = assign(&next, &n);
        if (error >= least) {
            break;
        }
        *s = next;
        least = error;
    }
    return least;
}

// Signs: each scale the mean size of what those before leave.
static void start_at_means(sum *s) {
    double mean[1 << MAX_TERMS] = {0};
    for (uint32_t j = 0; j < s->row->bits; j++) {
        double total = 0;
        for (uint32_t i = 0; i < s->count; i++) {
            double rest = ht_fmt_limited(s->values[i]);
            for (uint32_t k = 0; k < j; k++) {
                rest -= rest >= 0 ? mean[k] : -mean[k];
            }
            total += fabs(rest);
        }
        mean[j] = s->count ? total / s->count : 0;
    }
    memcpy(s->scales, mean, sizeof s->scales);
}

typedef struct ends {
    double low, high;      // of sizes
    double least, largest; // of values, and 0
} ends;

static ends ends_of(const sum *s) {
    ends e = {.low = INFINITY};
    for (uint32_t i = 0; i < s->count; i++) {
        const double value = ht_fmt_limited(s->values[i]);
        e.low = fmin(e.low, fabs(value));
        e.high = fmax(e.high, fabs(value));
        e.least = fmin(e.least, value);
        e.largest = fmax(e.largest, value);
    }
    return e;
}

// Where to start from; false: no more. A row that is made of such levels is found again by one of
// them: of signs (up to two), and of bits whose scales have different signs.
static bool start(sum *s, uint32_t number) {
    const ends e = ends_of(s);
    const double step = (e.largest - e.least) / 3; // of {-1, 0, 1, 2} or its mirror image
    const double of_bits[][2] = {{2 * step, -step}, {-2 * step, step}, {e.largest, e.least}};
    if (s->row->kind == HT_FMT_BITS) {
        if (number < 3) {
            memcpy(s->scales, of_bits[number], sizeof of_bits[number]);
        }
        return number < 3;
    }
    if (number == 0) {
        start_at_means(s);
    } else if (s->row->bits == 2) {
        s->scales[0] = (e.high + e.low) / 2;
        s->scales[1] = (e.high - e.low) / 2;
    } else { // halves of each other
        for (uint32_t j = 0; j < s->row->bits; j++) {
            s->scales[j] = e.high * (1u << (s->row->bits - 1 - j)) / ((1u << s->row->bits) - 1);
        }
    }
    return number < 2;
}

static sum best_sum(const ht_fmt_row *row, ht_scale_rule rule, const float *values,
                    uint32_t count) {
    const bool search = rule == HT_SCALE_SEARCH;
    sum best = {.row = row, .values = values, .count = count};
    sum next = best;
    double least = INFINITY;
    for (uint32_t i = 0; (search || i == 0) && start(&next, i); i++) {
        const double error = improve(&next, search);
        if (error < least) {
            least = error;
            best = next;
        }
    }
    return best;
}

void ht_fmt_pack_sum(const ht_fmt_row *row, ht_scale_rule rule, const float *values, uint32_t count,
                     uint8_t *codes, void *scales) {
    const sum best = best_sum(row, rule, values, count);
    double levels[1 << MAX_TERMS];
    for (uint32_t code = 0; code < 1u << row->bits; code++) {
        levels[code] = level(&best, code);
    }
    for (uint32_t i = 0; i < count; i++) {
        const double value = ht_fmt_limited(values[i]);
        ht_fmt_put_code(row, codes, i, nearest_code(levels, 1u << row->bits, value));
    }
    for (uint32_t j = 0; j < row->bits; j++) {
        const uint16_t half = ht_fmt_f16_from_f32((float)best.scales[j]);
        memcpy((uint8_t *)scales + 2 * j, &half, sizeof half);
    }
}

// Scales that are powers of two of a half float are half floats, and the sums are odd multiples of it.
void ht_fmt_pack_halving(const ht_fmt_row *row, float scale, const float *values, uint32_t count,
                         uint8_t *codes, void *scales) {
    const float largest = ht_fmt_largest(row);
    for (uint32_t i = 0; i < count; i++) {
        const float level = (ht_fmt_limited(values[i]) / scale + largest) / 2;
        const uint32_t number = (uint32_t)nearbyintf(fminf(fmaxf(level, 0), largest));
        uint32_t code = 0;
        for (uint32_t j = 0; j < row->bits; j++) {
            code |= (number >> (row->bits - 1 - j) & 1) << j;
        }
        ht_fmt_put_code(row, codes, i, code);
    }
    for (uint32_t j = 0; j < row->bits; j++) {
        const uint16_t half = ht_fmt_f16_from_f32(scale * (float)(1u << (row->bits - 1 - j)));
        memcpy((uint8_t *)scales + 2 * j, &half, sizeof half);
    }
}

// ---- ternary

// Sizes above a threshold coded +-1 and the others 0: the best scale is the mean of the former, and
// takes the square of their sum / their number off the error.
static double gain(const float *values, uint32_t count, double threshold, double *scale) {
    double total = 0;
    uint32_t above = 0;
    for (uint32_t i = 0; i < count; i++) {
        const double size = fabs(ht_fmt_limited(values[i]));
        total += size > threshold ? size : 0;
        above += size > threshold;
    }
    *scale = above ? total / above : 0;
    return above ? total * total / above : 0;
}

float ht_fmt_ternary_scale(ht_scale_rule rule, const float *values, uint32_t count) {
    enum { THRESHOLDS = 24 };
    double mean = 0, high = 0, best = 0, most = 0;
    for (uint32_t i = 0; i < count; i++) {
        const double size = fabs(ht_fmt_limited(values[i]));
        mean += size / count;
        high = fmax(high, size);
    }
    for (uint32_t i = 0; rule == HT_SCALE_SEARCH && i < THRESHOLDS; i++) {
        double threshold = high * i / THRESHOLDS, scale;
        for (uint32_t round = 0; round < MAX_ROUNDS; round++) { // to where it is half the scale
            const double got = gain(values, count, threshold, &scale);
            if (got <= most) {
                break;
            }
            most = got;
            best = scale;
            threshold = scale / 2;
        }
    }
    return (float)(rule == HT_SCALE_SEARCH ? best : mean);
}

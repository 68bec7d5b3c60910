// Bit planes: where each bit lies, products by AND and bit counts against plain loops, scales by least
// squares.
#include "formats.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 224 };

static const ht_format PLANE_FORMATS[] = {HT_FORMAT_BIN1,    HT_FORMAT_BIN2,
                                          HT_FORMAT_BIN3,    HT_FORMAT_DUAL,
                                          HT_FORMAT_TERNARY, HT_FORMAT_INT4_PLANES,
                                          HT_FORMAT_INT8_PLANES};

static ht_tensor_desc row_of(ht_format format, uint32_t width) {
    return (ht_tensor_desc){.format = format, .rank = 1, .dims = {width}};
}

// Every bit is in its word, whatever is around it; beyond the width all are 0.
static void test_places(void **state) {
    (void)state;
    for (size_t f = 0; f < HT_COUNT(PLANE_FORMATS); f++) {
        const ht_fmt_row *row = ht_fmt_find(PLANE_FORMATS[f]);
        for (uint32_t at = 0; at < 70; at++) {
            uint32_t words[3 * 8] = {0};
            uint8_t bytes[sizeof words] = {0};
            const uint32_t code = (0xa5u >> (8 - row->bits)) | 1u << (row->bits - 1);
            for (uint32_t p = 0; p < row->bits; p++) {
                words[at / 32 * row->bits + p] |= (code >> p & 1) << at % 32;
            }
            ht_fmt_put_code(row, bytes, at, code);
            for (size_t i = 0; i < HT_COUNT(words); i++) { // little-endian words
                const uint32_t word = bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 |
                                      (uint32_t)bytes[4 * i + 2] << 16 |
                                      (uint32_t)bytes[4 * i + 3] << 24;
                assert_int_equal(word, words[i]);
            }
            assert_int_equal(ht_fmt_get_code(row, bytes, at), code);
            ht_fmt_put_code(row, bytes, at, 0);
            assert_int_equal(ht_fmt_get_code(row, bytes, at), 0);
        }
        float values[33];
        ht_test_fill_normal(f, values, HT_COUNT(values));
        const ht_tensor_desc desc = row_of(row->format, HT_COUNT(values));
        uint8_t packed[128];
        assert_true(ht_desc_bytes(&desc) <= sizeof packed);
        memset(packed, 0xff, sizeof packed);
        ht_desc_pack(&desc, HT_SCALE_SEARCH, values, packed);
        for (uint32_t at = HT_COUNT(values); at < 64; at++) {
            assert_int_equal(ht_fmt_get_code(row, packed, at), 0);
        }
    }
}

// ---- products

static uint32_t word_at(const uint8_t *row, size_t index) {
    uint32_t word;
    memcpy(&word, row + 4 * index, sizeof word);
    return word;
}

static int bits_of(uint32_t word) {
    int count = 0;
    for (; word; word &= word - 1) {
        count++;
    }
    return count;
}

// The sum over k of plane `p` of w times the integers of x, by bit counts alone.
static int plane_product(const ht_fmt_row *w, const uint8_t *w_row, uint32_t p, const ht_fmt_row *x,
                         const uint8_t *x_row, uint32_t words) {
    int sum = 0;
    for (uint32_t i = 0; i < words; i++) {
        const uint32_t bits = word_at(w_row, (size_t)i * w->bits + p);
        if (x->kind == HT_FMT_SIGNS) {
            sum += 2 * bits_of(bits & word_at(x_row, i)) - bits_of(bits);
            continue;
        }
        for (uint32_t q = 0; q < x->bits; q++) {
            const int weight = q + 1 == x->bits ? -(1 << q) : 1 << q;
            sum += weight * bits_of(bits & word_at(x_row, (size_t)i * x->bits + q));
        }
    }
    return sum;
}

// The sum of a term of w times x: of +-1, twice that of the bits less the sum of x.
static int term_product(const ht_fmt_row *w, const uint8_t *w_row, uint32_t term,
                        const ht_fmt_row *x, const uint8_t *x_row, uint32_t width) {
    const uint32_t words = (width + 31) / 32;
    int sum = 0;
    if (w->kind != HT_FMT_PLANES) {
        sum = plane_product(w, w_row, term, x, x_row, words);
    }
    for (uint32_t p = 0; w->kind == HT_FMT_PLANES && p < w->bits; p++) {
        const int weight = p + 1 == w->bits ? -(1 << p) : 1 << p;
        sum += weight * plane_product(w, w_row, p, x, x_row, words);
    }
    if (w->kind == HT_FMT_SIGNS) {
        int of_x = x->kind == HT_FMT_SIGNS ? -(int)width : 0;
        for (uint32_t i = 0; i < words * x->bits; i++) {
            const int q = (int)(i % x->bits), top = (int)x->bits - 1;
            const int weight = x->kind == HT_FMT_SIGNS ? 2 : q == top ? -(1 << q) : 1 << q;
            of_x += weight * bits_of(word_at(x_row, i));
        }
        sum = 2 * sum - of_x;
    }
    return sum;
}

static void fill_codes(const ht_fmt_row *row, uint8_t *codes, uint32_t width, uint64_t seed) {
    float noise[MOST];
    ht_test_fill_normal(seed, noise, width);
    memset(codes, 0, MOST);
    for (uint32_t k = 0; k < width; k++) {
        ht_fmt_put_code(row, codes, k, (uint32_t)(int32_t)(noise[k] * 1000) & ((1u << row->bits) - 1));
    }
}

// Every pair of formats, every width, against the sum of products of what the codes stand for.
static void test_products(void **state) {
    (void)state;
    static const ht_format inputs[] = {HT_FORMAT_BIN1, HT_FORMAT_TERNARY, HT_FORMAT_INT4_PLANES,
                                       HT_FORMAT_INT8_PLANES};
    static uint8_t w_row[MOST], x_row[MOST];
    for (size_t a = 0; a < HT_COUNT(PLANE_FORMATS); a++) {
        for (size_t b = 0; b < HT_COUNT(inputs); b++) {
            const ht_fmt_row *w = ht_fmt_find(PLANE_FORMATS[a]), *x = ht_fmt_find(inputs[b]);
            for (uint32_t width = 1; width <= 200; width++) {
                fill_codes(w, w_row, width, 2 * width);
                fill_codes(x, x_row, width, 2 * width + 1);
                for (uint32_t term = 0; term < ht_fmt_terms(w); term++) {
                    float want = 0;
                    for (uint32_t k = 0; k < width; k++) {
                        want += ht_fmt_term(w, ht_fmt_get_code(w, w_row, k), term) *
                                ht_fmt_term(x, ht_fmt_get_code(x, x_row, k), 0);
                    }
                    assert_int_equal(term_product(w, w_row, term, x, x_row, width), (int)want);
                }
            }
        }
    }
}

// ---- scales

static double relative_error(ht_format format, ht_scale_rule rule, const float *values,
                             uint32_t count, float *back) {
    const ht_tensor_desc desc = row_of(format, count);
    uint8_t *packed = malloc(ht_desc_bytes(&desc));
    assert_non_null(packed);
    ht_desc_pack(&desc, rule, values, packed);
    ht_desc_unpack(&desc, packed, back);
    free(packed);
    return ht_test_compare(back, values, count).rel_l2;
}

// Naive scales have the errors that are known of them; least squares has less, and the number of
// levels that the planes allow.
static void test_errors(void **state) {
    (void)state;
    static const struct {
        ht_format format;
        double naive, best; // percent, worked out from the normal density
        uint32_t levels;
    } rows[] = {{HT_FORMAT_BIN1, 60.3, 60.3, 2},
                {HT_FORMAT_BIN2, 36.1, 34.3, 4},
                {HT_FORMAT_BIN3, 24.2, 19.2, 8},
                {HT_FORMAT_TERNARY, 51.3, 43.6, 3}};
    static float values[4096], back[4096];
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_fill_normal(i + 1, values, HT_COUNT(values));
        const double naive =
            100 * relative_error(rows[i].format, HT_SCALE_MAX, values, 4096, back);
        const double best =
            100 * relative_error(rows[i].format, HT_SCALE_SEARCH, values, 4096, back);
        if (fabs(naive / rows[i].naive - 1) > 0.04 || fabs(best / rows[i].best - 1) > 0.04) {
            fail_msg("%s: %.2f and %.2f %%", ht_format_name(rows[i].format), naive, best);
        }
        assert_true(best <= naive * (1 + 1e-3)); // scales are rounded to f16
        uint32_t levels = 0;
        for (uint32_t k = 0; k < 4096; k++) {
            uint32_t j = 0;
            while (j < k && back[j] != back[k]) {
                j++;
            }
            levels += j == k;
        }
        assert_int_equal(levels, rows[i].levels);
    }
}

// Rows that are made of such planes are found again, bit by bit: what training exports.
static void test_exact_rows(void **state) {
    (void)state;
    static const struct {
        ht_format format;
        float scales[2];
    } rows[] = {{HT_FORMAT_BIN1, {0.37f, 0}},       {HT_FORMAT_BIN2, {0.5f, 0.125f}},
                {HT_FORMAT_BIN2, {0.021f, 0.020f}}, {HT_FORMAT_DUAL, {0.75f, -0.25f}},
                {HT_FORMAT_DUAL, {-0.5f, 0.375f}},  {HT_FORMAT_TERNARY, {0.0625f, 0}},
                {HT_FORMAT_TERNARY, {3, 0}}};
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_fmt_row *row = ht_fmt_find(rows[i].format);
        for (uint32_t width = 8; width < 200; width += 13) {
            float values[MOST], back[MOST], noise[MOST];
            ht_test_fill_normal(width, noise, width);
            for (uint32_t k = 0; k < width; k++) {
                uint32_t code = (uint32_t)(int32_t)(noise[k] * 1000) & ((1u << row->bits) - 1);
                code = k < 4 ? k & ((1u << row->bits) - 1) : code; // each level there is
                code = row->kind == HT_FMT_PLANES && code == 2 ? 3 : code;
                values[k] = 0;
                for (uint32_t j = 0; j < ht_fmt_terms(row); j++) {
                    const float scale = ht_fmt_f32_from_f16(ht_fmt_f16_from_f32(rows[i].scales[j]));
                    values[k] += scale * ht_fmt_term(row, code, j);
                }
            }
            relative_error(row->format, HT_SCALE_SEARCH, values, width, back);
            ht_test_assert_close(row->name, back, values, width, 0);
        }
    }
}

// Nothing but zeros, and numbers that are none.
static void test_odd_rows(void **state) {
    (void)state;
    static const float odd[] = {0, NAN, INFINITY, -INFINITY, 1e-40f, -1, 1, 3e38f};
    float back[64];
    for (size_t f = 0; f < HT_COUNT(PLANE_FORMATS); f++) {
        const float zeros[64] = {0};
        for (int rule = 0; rule < 2; rule++) {
            relative_error(PLANE_FORMATS[f], (ht_scale_rule)rule, zeros, 64, back);
            for (uint32_t k = 0; k < 64; k++) {
                assert_true(fabsf(back[k]) <= 2e-7f); // signs: the least scale of f16, thrice
            }
            relative_error(PLANE_FORMATS[f], (ht_scale_rule)rule, odd, HT_COUNT(odd), back);
            for (uint32_t k = 0; k < HT_COUNT(odd); k++) {
                assert_true(isfinite(back[k]));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),     cmocka_unit_test(test_products),
        cmocka_unit_test(test_errors),     cmocka_unit_test(test_exact_rows),
        cmocka_unit_test(test_odd_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// f16 and bf16: literal bytes in both directions, every f16, and rounding at every boundary.
#include "formats.h"
#include "support.h"

#include <math.h>
#include <string.h>

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

typedef struct row {
    uint32_t f32;
    uint16_t code;
    bool exact; // the code stands for exactly this float
} row;

static const row f16_rows[] = {
    {0x00000000, 0x0000, true},  // 0
    {0x80000000, 0x8000, true},  // -0
    {0x3f800000, 0x3c00, true},  // 1
    {0xc0000000, 0xc000, true},  // -2
    {0x3eaaaaab, 0x3555, false}, // 1/3
    {0x477fe000, 0x7bff, true},  // 65504, the largest
    {0x477fefff, 0x7bff, false}, // just below 65520: rounds down
    {0x477ff000, 0x7c00, false}, // 65520: halfway, to even, which is infinity
    {0x47800000, 0x7c00, false}, // 65536
    {0x7f7fffff, 0x7c00, false}, // largest f32
    {0x7f800000, 0x7c00, true},  // infinity
    {0xff800000, 0xfc00, true},  {0x38800000, 0x0400, true}, // 2^-14, the smallest normal
    {0x387fc000, 0x03ff, true},                              // the largest subnormal
    {0x387fe000, 0x0400, false},                             // halfway between the two: to even
    {0x33800000, 0x0001, true},                              // 2^-24, the smallest subnormal
    {0x33000000, 0x0000, false},                             // 2^-25: halfway to zero, to even
    {0x33000001, 0x0001, false},                             // a little more
    {0x33c00000, 0x0002, false},                             // 1.5 * 2^-24: halfway, to even
    {0x00000001, 0x0000, false},                             // the smallest f32
    {0x3f801000, 0x3c00, false},                             // 1 + 2^-11: halfway, to even (down)
    {0x3f803000, 0x3c02, false},                             // 1 + 3 * 2^-11: halfway, to even (up)
    {0x3fffffff, 0x4000, false},                             // the carry reaches the exponent
    {0x7fc00000, 0x7e00, true},                              // NaN
    {0xffc02000, 0xfe01, true},  // its sign and the payload that fits are kept
    {0x7f800001, 0x7e00, false}, // signalling NaNs become quiet, never infinity
};

static const row bf16_rows[] = {
    {0x00000000, 0x0000, true},  {0x80000000, 0x8000, true},  {0x3f800000, 0x3f80, true},
    {0xc0490fdb, 0xc049, false}, // -pi
    {0x3f808000, 0x3f80, false}, // halfway, to even (down)
    {0x3f818000, 0x3f82, false}, // halfway, to even (up)
    {0x3f808001, 0x3f81, false}, // above halfway
    {0x7f7fffff, 0x7f80, false}, // rounds to infinity
    {0x7f7f7fff, 0x7f7f, false}, {0x7f800000, 0x7f80, true},  {0xff800000, 0xff80, true},
    {0x00010000, 0x0001, true}, // subnormals are kept
    {0x00008000, 0x0000, false}, {0x00008001, 0x0001, false}, {0x7fc00000, 0x7fc0, true},
    {0x7f800001, 0x7fc0, false}, {0xffffffff, 0xffff, false},
};

static void test_f16_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(f16_rows); i++) {
        assert_int_equal(ht_fmt_f16_from_f32(float_of(f16_rows[i].f32)), f16_rows[i].code);
        if (f16_rows[i].exact) {
            assert_int_equal(bits_of(ht_fmt_f32_from_f16(f16_rows[i].code)), f16_rows[i].f32);
        }
    }
}

static void test_bf16_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(bf16_rows); i++) {
        assert_int_equal(ht_fmt_bf16_from_f32(float_of(bf16_rows[i].f32)), bf16_rows[i].code);
        if (bf16_rows[i].exact) {
            assert_int_equal(bits_of(ht_fmt_f32_from_bf16(bf16_rows[i].code)), bf16_rows[i].f32);
        }
    }
}

// The value by definition: (-1)^s 2^(e-15) 1.m, or 2^-14 0.m.
static double f16_by_definition(uint16_t code) {
    const int exponent = code >> 10 & 31, fraction = code & 1023;
    const double value =
        exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return code & 0x8000 ? -value : value;
}

static void test_every_f16(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x10000; code++) {
        const float value = ht_fmt_f32_from_f16((uint16_t)code);
        const uint16_t back = ht_fmt_f16_from_f32(value);
        if ((code & 0x7fff) > 0x7c00) {
            assert_true(isnan(value));
            assert_int_equal(back, code | 0x200);
            continue;
        }
        assert_int_equal(back, code);
        if ((code & 0x7fff) < 0x7c00) {
            assert_true((double)value == f16_by_definition((uint16_t)code));
        } else {
            assert_true(isinf(value));
        }
    }
}

// Between two neighbours: the middle goes to the even one, anything off it to the nearer one.
static void test_f16_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint16_t code = 0; code < 0x7bff; code++) {
        const float low = ht_fmt_f32_from_f16(code);
        const float high = ht_fmt_f32_from_f16((uint16_t)(code + 1));
        const float middle = (low + high) / 2; // exact: f32 has 13 more bits
        const uint16_t even = code % 2 == 0 ? code : (uint16_t)(code + 1);
        assert_int_equal(ht_fmt_f16_from_f32(middle), even);
        assert_int_equal(ht_fmt_f16_from_f32(nextafterf(middle, 0.0f)), code);
        assert_int_equal(ht_fmt_f16_from_f32(nextafterf(middle, INFINITY)), code + 1);
        assert_int_equal(ht_fmt_f16_from_f32(-middle), even | 0x8000);
    }
}

static void test_every_bf16(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x10000; code++) {
        const float value = ht_fmt_f32_from_bf16((uint16_t)code);
        assert_int_equal(bits_of(value), code << 16);
        const bool nan = (code & 0x7fff) > 0x7f80;
        assert_int_equal(ht_fmt_bf16_from_f32(value), nan ? (code | 0x40) : code);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16_bytes),  cmocka_unit_test(test_bf16_bytes),
        cmocka_unit_test(test_every_f16),  cmocka_unit_test(test_f16_rounds_to_nearest_even),
        cmocka_unit_test(test_every_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Arrays of every format: bytes, alignment, round trip.
#include "formats.h"
#include "support.h"

#include <math.h>
#include <string.h>

static void test_literal_bytes(void **state) {
    (void)state;
    static const float values[] = {1.0f, -2.0f, 0.5f};
    static const struct {
        ht_format format;
        size_t bytes;
        uint8_t data[12];
    } rows[] = {
        {HT_FORMAT_F32, 12, {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0x3f}},
        {HT_FORMAT_F16, 6, {0, 0x3c, 0, 0xc0, 0, 0x38}},
        {HT_FORMAT_BF16, 6, {0x80, 0x3f, 0, 0xc0, 0, 0x3f}},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        // One byte off any alignment, as tensors in files may be.
        uint8_t packed[16];
        float back[3] = {0};
        memset(packed, 0xee, sizeof packed);
        ht_format_pack(rows[i].format, values, packed + 1, 3);
        assert_memory_equal(packed + 1, rows[i].data, rows[i].bytes);
        assert_int_equal(packed[0], 0xee);
        assert_int_equal(packed[1 + rows[i].bytes], 0xee);
        ht_format_unpack(rows[i].format, packed + 1, back, 3);
        assert_memory_equal(back, values, sizeof values);
    }
}

static void test_integers(void **state) {
    (void)state;
    static const float values[] = {0.5f, 1.5f, -2.5f, 3e9f, -3e9f, NAN, 2147483648.0f, 16777217.0f};
    static const int32_t want[] = {0, 2, -2, INT32_MAX, INT32_MIN, 0, INT32_MAX, 16777216};
    int32_t packed[8];
    ht_format_pack(HT_FORMAT_I32, values, packed, 8);
    assert_memory_equal(packed, want, sizeof want);
    float back[8];
    ht_format_unpack(HT_FORMAT_I32, want, back, 8);
    assert_true(back[1] == 2.0f && back[4] == -2147483648.0f);
}

// Relative error of rounding to nearest: half a unit of the last of p significant bits, 2^-p.
static void test_round_trip_bound(void **state) {
    (void)state;
    static const struct {
        ht_format format;
        double bound;
    } rows[] = {{HT_FORMAT_F32, 0}, {HT_FORMAT_F16, 0x1p-11}, {HT_FORMAT_BF16, 0x1p-8}};
    enum { COUNT = 1001 };
    static float values[COUNT], back[COUNT];
    static uint8_t packed[4 * COUNT];
    ht_test_fill_uniform(7, values, COUNT, 0.001f, 1000.0f);
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_format_pack(rows[i].format, values, packed, COUNT);
        ht_format_unpack(rows[i].format, packed, back, COUNT);
        for (size_t k = 0; k < COUNT; k++) {
            assert_true(fabs((double)back[k] - (double)values[k]) <=
                        rows[i].bound * fabs((double)values[k]));
        }
    }
}

static void test_nothing_to_do(void **state) {
    (void)state;
    for (size_t i = 0; i < ht_fmt_row_count; i++) {
        ht_format_pack(ht_fmt_rows[i].format, NULL, NULL, 0);
        ht_format_unpack(ht_fmt_rows[i].format, NULL, NULL, 0);
    }
    float value = 3.0f;
    ht_format_unpack(HT_FORMAT_NONE, "abcd", &value, 1);
    assert_true(value == 3.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literal_bytes),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_round_trip_bound),
        cmocka_unit_test(test_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Packed formats: every code, every midpoint, published examples, odd shapes, and the error on
// normal numbers.
#include "formats.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Of more than two bits, and with single codes: test_planes.c has the others.
static void each_packed(void (*check)(const ht_fmt_row *row)) {
    size_t checked = 0;
    for (size_t i = 0; i < ht_fmt_row_count; i++) {
        if (ht_format_is_packed(ht_fmt_rows[i].format) && ht_fmt_rows[i].top > 1) {
            check(&ht_fmt_rows[i]);
            checked++;
        }
    }
    assert_true(checked >= 17);
}

// Codes of the positive values, in order.
static uint32_t positive_codes(const ht_fmt_row *row) {
    return row->top;
}

static void check_codes(const ht_fmt_row *row) {
    for (uint32_t code = 0; code <= positive_codes(row); code++) {
        const float value = ht_fmt_decode(row, code);
        assert_int_equal(ht_fmt_encode(row, value), code);
        if (row->kind != HT_FMT_ZERO_POINT && code > 0) {
            const uint32_t negative = ht_fmt_encode(row, -value);
            assert_true(ht_fmt_decode(row, negative) == -value);
        }
        if (code > 0) {
            assert_true(value > ht_fmt_decode(row, code - 1));
        }
    }
    assert_true(ht_fmt_decode(row, row->top) == ht_fmt_largest(row));
}

static void test_every_code(void **state) {
    (void)state;
    each_packed(check_codes);
}

// Halfway between two codes the even one is taken; E3M0 has no mantissa bit that could be even, and
// takes the upper one except at the bottom, where 0 counts as even.
static void check_midpoints(const ht_fmt_row *row) {
    for (uint32_t code = 0; code < positive_codes(row); code++) {
        const float low = ht_fmt_decode(row, code), high = ht_fmt_decode(row, code + 1);
        const float middle = low + (high - low) / 2;
        uint32_t want = code % 2 == 0 ? code : code + 1;
        if (row->kind == HT_FMT_MINIFLOAT && row->mantissa == 0) {
            want = code == 0 ? 0 : code + 1;
        }
        assert_int_equal(ht_fmt_encode(row, middle), want);
        assert_int_equal(ht_fmt_encode(row, nextafterf(middle, 0)), code);
        assert_int_equal(ht_fmt_encode(row, nextafterf(middle, INFINITY)), code + 1);
    }
}

static void test_midpoints(void **state) {
    (void)state;
    each_packed(check_midpoints);
}

static void check_extremes(const ht_fmt_row *row) {
    const float large[] = {ht_fmt_largest(row), ht_fmt_largest(row) * 1.001f, 1e30f, INFINITY};
    for (size_t i = 0; i < HT_COUNT(large); i++) {
        assert_int_equal(ht_fmt_encode(row, large[i]), row->top);
        const float bottom = row->kind == HT_FMT_ZERO_POINT ? 0 : -ht_fmt_largest(row);
        assert_true(ht_fmt_decode(row, ht_fmt_encode(row, -large[i])) == bottom);
    }
    assert_int_equal(ht_fmt_encode(row, NAN), 0);
    assert_int_equal(ht_fmt_encode(row, 0.0f), 0);
    assert_true(ht_fmt_decode(row, ht_fmt_encode(row, -0.0f)) == 0.0f);
    assert_true(ht_fmt_decode(row, ht_fmt_encode(row, 1e-40f)) == 0.0f);
}

static void test_extremes(void **state) {
    (void)state;
    each_packed(check_extremes);
}

// OCP 8-bit and MX specifications; ties and saturation.
static void test_published_codes(void **state) {
    (void)state;
    static const struct {
        ht_format format;
        float value;
        uint32_t code;
    } rows[] = {
        {HT_FORMAT_E4M3, 1, 0x38},          {HT_FORMAT_E4M3, 1.0625f, 0x38},
        {HT_FORMAT_E4M3, 1.1875f, 0x3A},    {HT_FORMAT_E4M3, 0.0009765625f, 0x00},
        {HT_FORMAT_E4M3, 0.0029296875f, 2}, {HT_FORMAT_E4M3, 447.9f, 0x7E},
        {HT_FORMAT_E4M3, 464, 0x7E},        {HT_FORMAT_E4M3, -3.3f, 0xC5},
        {HT_FORMAT_E4M3, 0.1f, 0x1D},       {HT_FORMAT_E4M3, 17, 0x58},
        {HT_FORMAT_E4M3, 19, 0x5A},         {HT_FORMAT_E5M2, 1, 0x3C},
        {HT_FORMAT_E5M2, 1.125f, 0x3C},     {HT_FORMAT_E5M2, 1.375f, 0x3E},
        {HT_FORMAT_E5M2, 57344, 0x7B},      {HT_FORMAT_E5M2, 65000, 0x7B},
        {HT_FORMAT_E5M2, -3.3f, 0xC3},      {HT_FORMAT_E5M2, 0.1f, 0x2E},
        {HT_FORMAT_FP4, 0.25f, 0},          {HT_FORMAT_FP4, 0.26f, 1},
        {HT_FORMAT_FP4, 0.75f, 2},          {HT_FORMAT_FP4, 1.25f, 2},
        {HT_FORMAT_FP4, 1.75f, 4},          {HT_FORMAT_FP4, 2.5f, 4},
        {HT_FORMAT_FP4, 3.5f, 6},           {HT_FORMAT_FP4, 5, 6},
        {HT_FORMAT_FP4, 5.01f, 7},          {HT_FORMAT_FP4, 7, 7},
        {HT_FORMAT_FP4, -2.5f, 0xC},        {HT_FORMAT_FP4, -5, 0xE},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        assert_int_equal(ht_fmt_encode(ht_fmt_find(rows[i].format), rows[i].value), rows[i].code);
    }
}

// sin(0.7 i) (1 + 0.1 i), i = 0..31: one scale code and 32 elements, from exact arithmetic.
static void test_mxfp4_block(void **state) {
    (void)state;
    static const char want[] = "03442ADDC05663CEFD06774DFFE17774";
    const ht_tensor_desc desc = {.format = HT_FORMAT_MXFP4, .rank = 1, .dims = {32}};
    float values[32];
    uint8_t packed[48];
    assert_true(ht_desc_bytes(&desc) <= sizeof packed);
    for (int i = 0; i < 32; i++) {
        values[i] = (float)(sin(0.7 * i) * (1 + 0.1 * i));
    }
    ht_packed_layout at;
    ht_packed_layout_of(&desc, &at);
    ht_desc_pack(&desc, HT_SCALE_MAX, values, packed);
    assert_int_equal(packed[at.scales_offset], 126);
    for (int i = 0; i < 32; i++) {
        const char digit = want[i];
        const int code = digit <= '9' ? digit - '0' : digit - 'A' + 10;
        assert_int_equal(packed[i / 2] >> (i % 2 * 4) & 15, code);
    }
}

static void test_nvfp4_blocks(void **state) {
    (void)state;
    static const float values[32] = {
        0.013f, -0.42f, 0.9f,    1.7f,    -2.2f,  0.0f,    0.05f,  -0.11f,  3.1f,   -0.77f, 0.34f,
        -1.25f, 0.6f,   -0.003f, 0.29f,   -1.0f,  0.01f,   -0.02f, 0.03f,   -0.04f, 0.05f,  -0.06f,
        0.07f,  -0.08f, 0.005f,  -0.015f, 0.025f, -0.035f, 0.045f, -0.055f, 0.065f, -0.075f};
    static const uint8_t want[16] = {0xA0, 0x53, 0x0E, 0x80, 0xB7, 0xC1, 0x82, 0xC1,
                                     0xB1, 0xD4, 0xE6, 0xF7, 0xA1, 0xD4, 0xE5, 0xF6};
    const ht_tensor_desc desc = {.format = HT_FORMAT_NVFP4, .rank = 1, .dims = {32}};
    uint8_t packed[64];
    float tensor_scale;
    ht_packed_layout at;
    ht_packed_layout_of(&desc, &at);
    assert_true(at.bytes <= sizeof packed);
    ht_desc_pack(&desc, HT_SCALE_MAX, values, packed);
    memcpy(&tensor_scale, packed + at.outer_offset, sizeof tensor_scale);
    assert_true(fabs(tensor_scale / 0.0011532738571986556 - 1) < 1e-6);
    assert_int_equal(packed[at.scales_offset], 0x7E);
    assert_int_equal(packed[at.scales_offset + 1], 0x54);
    assert_memory_equal(packed, want, sizeof want);
}

// Whole numbers that bring each group's largest value to the largest code, and what is stored: a row of
// which 60 is the largest has the scale 60 / (10 * 6).
static void test_whole_scales(void **state) {
    (void)state;
    static const float values[32] = {60, 30, -5, [16] = 18, -9, 1.5f, [31] = -12};
    static const float want[32] = {60, 30, -5, [16] = 18, -9, 1.5f, [31] = -12};
    static const uint8_t codes[16] = {0x57, 0x09, [8] = 0xD7, 0x01, [15] = 0xE0};
    const ht_tensor_desc desc = {.format = HT_FORMAT_FP4_I8, .rank = 1, .dims = {32}};
    float back[32], scale;
    uint8_t packed[64];
    ht_packed_layout at;
    ht_packed_layout_of(&desc, &at);
    assert_true(at.bytes <= sizeof packed && at.outers == 1 && at.scale_row_bytes == 1);
    ht_desc_pack(&desc, HT_SCALE_MAX, values, packed);
    memcpy(&scale, packed + at.outer_offset, sizeof scale);
    assert_true(scale == 1);
    assert_int_equal(packed[at.scales_offset], 0x3A);
    assert_memory_equal(packed, codes, sizeof codes);
    ht_desc_unpack(&desc, packed, back);
    assert_memory_equal(back, want, sizeof back);
}

// Any shape comes back within half a step of the coarsest code, which is a part of the largest
// value of its group.
static void check_shapes(const ht_fmt_row *row) {
    static const uint32_t shapes[][2] = {{1, 1}, {1, 31}, {3, 33}, {2, 64}, {5, 65}, {1, 130}};
    for (size_t s = 0; s < HT_COUNT(shapes); s++) {
        const ht_tensor_desc desc = {
            .format = row->format, .rank = 2, .dims = {shapes[s][0], shapes[s][1]}};
        const size_t count = (size_t)ht_desc_count(&desc);
        float *values = calloc(count, sizeof *values), *back = calloc(count, sizeof *back);
        uint8_t *packed = malloc(ht_desc_bytes(&desc));
        assert_non_null(values);
        assert_non_null(back);
        assert_non_null(packed);
        ht_desc_pack(&desc, HT_SCALE_SEARCH, values, packed);
        ht_desc_unpack(&desc, packed, back);
        ht_test_assert_close("zeros", back, values, count, 0);
        ht_test_fill_normal(s, values, count);
        for (int rule = 0; rule < 2; rule++) {
            ht_desc_pack(&desc, (ht_scale_rule)rule, values, packed);
            ht_desc_unpack(&desc, packed, back);
            // The worst code, E3M0, is off by at most a third of the value; 0.5 also covers what
            // falls below the smallest code.
            ht_test_assert_close(ht_format_name(row->format), back, values, count, 0.5);
        }
        free(packed);
        free(back);
        free(values);
    }
}

static void test_shapes(void **state) {
    (void)state;
    each_packed(check_shapes);
}

// Numbers at the bottom of f32: scales stay normal numbers, so nothing becomes infinite. What is off
// is at most the value itself, or the least normal number.
static void check_least(const ht_fmt_row *row) {
    static const float values[] = {2 * FLT_MIN, 1e-39f, -3e-39f, 1e-45f, 0, -FLT_MIN, 1e-38f};
    const ht_tensor_desc desc = {.format = row->format, .rank = 1, .dims = {HT_COUNT(values)}};
    float back[HT_COUNT(values)];
    uint8_t packed[256];
    assert_true(ht_desc_bytes(&desc) <= sizeof packed);
    assert_true(ht_fmt_outer_scale(row, 1e-39f) == ht_fmt_outer_scale(row, 0));
    for (size_t first = 0; first < HT_COUNT(values); first++) { // also without the largest
        ht_tensor_desc rest = desc;
        rest.dims[0] -= (uint32_t)first;
        for (int rule = 0; rule < 2; rule++) {
            ht_desc_pack(&rest, (ht_scale_rule)rule, values + first, packed);
            ht_desc_unpack(&rest, packed, back);
            for (size_t i = 0; i < rest.dims[0]; i++) {
                const float value = values[first + i], bound = fmaxf(fabsf(value), FLT_MIN);
                assert_true(fabsf(back[i] - value) <= bound);
            }
        }
    }
}

static void test_least_numbers(void **state) {
    (void)state;
    each_packed(check_least);
}

// Relative error on 4096 normal numbers, against values worked out with exact arithmetic.
static void test_error_on_normal_numbers(void **state) {
    (void)state;
    static const struct {
        ht_format format;
        double percent;
    } rows[] = {{HT_FORMAT_INT8, 0.78},
                {HT_FORMAT_E4M3, 2.59},
                {HT_FORMAT_INT4, 10.7},
                {HT_FORMAT_NVFP4, 9.6},
                {HT_FORMAT_MXFP4, 11.7}};
    static float values[4096], back[4096];
    static uint8_t packed[16384];
    for (uint64_t seed = 1; seed <= 3; seed++) {
        ht_test_fill_normal(seed, values, HT_COUNT(values));
        for (size_t i = 0; i < HT_COUNT(rows); i++) {
            const ht_tensor_desc desc = {.format = rows[i].format, .rank = 1, .dims = {4096}};
            assert_true(ht_desc_bytes(&desc) <= sizeof packed);
            ht_desc_pack(&desc, HT_SCALE_MAX, values, packed);
            ht_desc_unpack(&desc, packed, back);
            const double percent = 100 * ht_test_compare(back, values, 4096).rel_l2;
            if (fabs(percent / rows[i].percent - 1) > 0.15) {
                fail_msg("%s: %.2f %%, expected %.2f", ht_format_name(rows[i].format), percent,
                         rows[i].percent);
            }
        }
    }
}

// Trying scales never makes the error larger.
static void check_search(const ht_fmt_row *row) {
    static float values[1024], back[1024];
    static uint8_t packed[8192];
    double error[2];
    const ht_tensor_desc desc = {.format = row->format, .rank = 2, .dims = {4, 256}};
    assert_true(ht_desc_bytes(&desc) <= sizeof packed);
    ht_test_fill_normal(7, values, HT_COUNT(values));
    for (int rule = 0; rule < 2; rule++) {
        ht_desc_pack(&desc, (ht_scale_rule)rule, values, packed);
        ht_desc_unpack(&desc, packed, back);
        error[rule] = ht_test_compare(back, values, HT_COUNT(values)).rel_l2;
    }
    assert_true(error[HT_SCALE_SEARCH] <= error[HT_SCALE_MAX] * (1 + 1e-6));
}

static void test_search(void **state) {
    (void)state;
    each_packed(check_search);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_midpoints),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_published_codes),
        cmocka_unit_test(test_mxfp4_block),
        cmocka_unit_test(test_nvfp4_blocks),
        cmocka_unit_test(test_whole_scales),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_error_on_normal_numbers),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_least_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

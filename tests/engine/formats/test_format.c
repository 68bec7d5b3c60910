// The format table and descriptions of tensors.
#include "formats.h"
#include "support.h"

#include <string.h>

// Wire numbers are in files: a change here is a change of the file format.
static void test_table_is_stable(void **state) {
    (void)state;
    static const struct {
        ht_format format;
        uint32_t wire;
        const char *name;
        uint32_t bits;
        ht_fmt_kind kind;
        uint32_t top, group;
    } want[] = {
        {HT_FORMAT_F32, 1, "f32", 32, HT_FMT_FLOAT, 0, 0},
        {HT_FORMAT_F16, 2, "f16", 16, HT_FMT_FLOAT, 0, 0},
        {HT_FORMAT_BF16, 3, "bf16", 16, HT_FMT_FLOAT, 0, 0},
        {HT_FORMAT_I32, 4, "i32", 32, HT_FMT_SIGNED, 0, 0},
        {HT_FORMAT_E4M3, 16, "fp8-e4m3", 8, HT_FMT_MINIFLOAT, 126, 0},
        {HT_FORMAT_E5M2, 17, "fp8-e5m2", 8, HT_FMT_MINIFLOAT, 123, 0},
        {HT_FORMAT_E3M4, 18, "fp8-e3m4", 8, HT_FMT_MINIFLOAT, 127, 0},
        {HT_FORMAT_E2M5, 19, "fp8-e2m5", 8, HT_FMT_MINIFLOAT, 127, 0},
        {HT_FORMAT_MXFP8, 20, "mxfp8", 8, HT_FMT_MINIFLOAT, 126, 32},
        {HT_FORMAT_FP4, 24, "fp4", 4, HT_FMT_MINIFLOAT, 7, 32},
        {HT_FORMAT_FP4_E1M2, 25, "fp4-e1m2", 4, HT_FMT_MINIFLOAT, 7, 32},
        {HT_FORMAT_FP4_E3M0, 26, "fp4-e3m0", 4, HT_FMT_MINIFLOAT, 7, 32},
        {HT_FORMAT_NVFP4, 27, "nvfp4", 4, HT_FMT_MINIFLOAT, 7, 16},
        {HT_FORMAT_MXFP4, 28, "mxfp4", 4, HT_FMT_MINIFLOAT, 7, 32},
        {HT_FORMAT_FP4_I8, 29, "fp4-i8", 4, HT_FMT_MINIFLOAT, 7, 16},
        {HT_FORMAT_INT8, 32, "int8", 8, HT_FMT_SYMMETRIC, 127, 0},
        {HT_FORMAT_INT8_G32, 33, "int8-g32", 8, HT_FMT_SYMMETRIC, 127, 32},
        {HT_FORMAT_INT4, 34, "int4", 4, HT_FMT_SYMMETRIC, 7, 64},
        {HT_FORMAT_INT4_G32, 35, "int4-g32", 4, HT_FMT_SYMMETRIC, 7, 32},
        {HT_FORMAT_INT4Z, 36, "int4z", 4, HT_FMT_ZERO_POINT, 15, 64},
        {HT_FORMAT_INT8_F16, 37, "int8-f16", 8, HT_FMT_SYMMETRIC, 127, 0},
        {HT_FORMAT_BIN1, 48, "bin1", 1, HT_FMT_SIGNS, 1, 0},
        {HT_FORMAT_BIN2, 49, "bin2", 2, HT_FMT_SIGNS, 1, 0},
        {HT_FORMAT_BIN3, 50, "bin3", 3, HT_FMT_SIGNS, 1, 0},
        {HT_FORMAT_DUAL, 52, "dual", 2, HT_FMT_BITS, 1, 0},
        {HT_FORMAT_TERNARY, 53, "ternary", 2, HT_FMT_PLANES, 1, 0},
        {HT_FORMAT_INT4_PLANES, 56, "int4-planes", 4, HT_FMT_PLANES, 7, 0},
        {HT_FORMAT_INT8_PLANES, 57, "int8-planes", 8, HT_FMT_PLANES, 127, 0},
        {HT_FORMAT_STACK, 60, "stack", 1, HT_FMT_STACK, 0, 0},
    };
    assert_int_equal(ht_fmt_row_count, HT_COUNT(want));
    for (size_t i = 0; i < HT_COUNT(want); i++) {
        assert_int_equal(want[i].format, want[i].wire);
        assert_int_equal(ht_fmt_rows[i].format, want[i].format);
        assert_string_equal(ht_format_name(want[i].format), want[i].name);
        assert_int_equal(ht_format_find(want[i].name), want[i].format);
        assert_int_equal(ht_format_bits(want[i].format), want[i].bits);
        assert_int_equal(ht_fmt_rows[i].kind, want[i].kind);
        assert_int_equal(ht_fmt_rows[i].top, want[i].top);
        assert_int_equal(ht_fmt_rows[i].group, want[i].group);
        assert_int_equal(ht_format_is_packed(want[i].format), want[i].top != 0);
        assert_ptr_equal(ht_fmt_find(want[i].format), &ht_fmt_rows[i]);
    }
    assert_int_equal(ht_format_find("fp5"), HT_FORMAT_NONE);
    assert_null(ht_fmt_find(HT_FORMAT_NONE));
    assert_string_equal(ht_format_name(HT_FORMAT_NONE), "none");
    assert_int_equal(ht_format_bits((ht_format)12345), 0);
}

static void test_counts(void **state) {
    (void)state;
    const ht_tensor_desc one = {.format = HT_FORMAT_F16};
    assert_true(ht_desc_count(&one) == 1);
    assert_true(ht_desc_bytes(&one) == 2);
    const ht_tensor_desc some = {.format = HT_FORMAT_F32, .rank = 3, .dims = {2, 3, 5}};
    assert_true(ht_desc_count(&some) == 30);
    assert_true(ht_desc_bytes(&some) == 120);
    const ht_tensor_desc empty = {
        .format = HT_FORMAT_F32, .rank = 4, .dims = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 0}};
    assert_true(ht_desc_count(&empty) == 0);
    // What does not fit is the largest number, never a small one.
    const ht_tensor_desc huge = {
        .format = HT_FORMAT_F32, .rank = 3, .dims = {UINT32_MAX, UINT32_MAX, 2}};
    assert_true(ht_desc_count(&huge) == UINT64_MAX);
    assert_true(ht_desc_bytes(&huge) == UINT64_MAX);
    const ht_tensor_desc wide = {
        .format = HT_FORMAT_F32, .rank = 2, .dims = {UINT32_MAX, UINT32_MAX}};
    assert_true(ht_desc_count(&wide) == (uint64_t)UINT32_MAX * UINT32_MAX);
    assert_true(ht_desc_bytes(&wide) == UINT64_MAX);
}

static void test_text(void **state) {
    (void)state;
    char text[32];
    const ht_tensor_desc desc = {.format = HT_FORMAT_F16, .rank = 3, .dims = {2, 64, 192}};
    assert_string_equal(ht_desc_text(&desc, text, sizeof text), "f16 [2, 64, 192]");
    const ht_tensor_desc scalar = {.format = HT_FORMAT_I32};
    assert_string_equal(ht_desc_text(&scalar, text, sizeof text), "i32 []");
    for (size_t bytes = 1; bytes < 17; bytes++) {
        memset(text, 'x', sizeof text);
        ht_desc_text(&desc, text, bytes);
        assert_int_equal(strlen(text), bytes - 1);
        assert_memory_equal(text, "f16 [2, 64, 192]", bytes - 1);
        assert_int_equal(text[bytes], 'x');
    }
    assert_ptr_equal(ht_desc_text(&desc, text, 0), text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_stable),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The format table and descriptions of tensors.
#include "formats.h"
#include "support.h"

#include <string.h>

// Wire numbers are in files: a change here is a change of the file format.
static void test_table_is_stable(void **state) {
    (void)state;
    static const ht_fmt_row want[] = {
        {HT_FORMAT_F32, "f32", 32, HT_FMT_FLOAT},
        {HT_FORMAT_F16, "f16", 16, HT_FMT_FLOAT},
        {HT_FORMAT_BF16, "bf16", 16, HT_FMT_FLOAT},
        {HT_FORMAT_I32, "i32", 32, HT_FMT_SIGNED},
    };
    assert_int_equal(ht_fmt_row_count, HT_COUNT(want));
    for (size_t i = 0; i < HT_COUNT(want); i++) {
        assert_int_equal(ht_fmt_rows[i].format, i + 1);
        assert_int_equal(ht_fmt_rows[i].format, want[i].format);
        assert_string_equal(ht_format_name(want[i].format), want[i].name);
        assert_int_equal(ht_format_bits(want[i].format), want[i].bits);
        assert_int_equal(ht_fmt_rows[i].kind, want[i].kind);
        assert_ptr_equal(ht_fmt_find(want[i].format), &ht_fmt_rows[i]);
    }
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

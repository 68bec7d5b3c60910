// Well-formed and malformed UTF-8.
#include "support.h"

#include "text/utf8.h"

#include <string.h>

static void test_lengths(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t length;
    } rows[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xee\x80\x80", 3},
        {"\xef\xbf\xbf", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},     // a continuation
        {"\xc0\x80", 0}, // overlong
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xed\xa0\x80", 0},     // a surrogate
        {"\xf4\x90\x80\x80", 0}, // above U+10FFFF
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xc3", 0}, // cut short
        {"\xe2\x96", 0},
        {"\xf0\x9f\x98", 0},
        {"\xc3x", 0}, // no continuation
        {"\xe2\x96x", 0},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        assert_int_equal(ht_utf8_length(rows[i].text, strlen(rows[i].text)), rows[i].length);
        assert_int_equal(ht_utf8_valid(rows[i].text, strlen(rows[i].text)), rows[i].length > 0);
    }
    assert_true(ht_utf8_valid("", 0));
    assert_true(ht_utf8_valid("a\0b\xc3\xa9", 5));
    assert_false(ht_utf8_valid("ab\xc3", 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lengths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

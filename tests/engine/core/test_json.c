// The JSON reader: what it accepts, what it refuses and where.
#include "json.h"
#include "support.h"

#include <string.h>

typedef struct bad_row {
    const char *text;
    const char *error;
    uint64_t at;
} bad_row;

static const bad_row bad_rows[] = {
    {"", "expected a value", 0},
    {"{", "expected a string", 1},
    {"[1 2]", "expected ',' or ']'", 3},
    {"[1,]", "expected a value", 3},
    {"{\"a\":1,}", "expected a string", 7},
    {"{\"a\" 1}", "expected ':'", 5},
    {"{a:1}", "expected a string", 1},
    {"{\"a\":1 \"b\":2}", "expected ',' or '}'", 7},
    {"[01]", "bad number", 2},
    {"[1.]", "bad number", 3},
    {"[-]", "bad number", 2},
    {"[1e]", "bad number", 3},
    {"[+1]", "expected a value", 1},
    {"[nul]", "unknown word", 1},
    {"[\"\\x\"]", "bad escape", 3},
    {"[\"\\u12g4\"]", "bad \\u escape", 6},
    {"[\"\\ud800\"]", "half a surrogate pair", 8},
    {"[\"\\ud800\\u0041\"]", "half a surrogate pair", 14},
    {"[\"\\udc00\"]", "half a surrogate pair", 8},
    {"[\"\x01\"]", "control character in a string", 2},
    {"[\"\xff\"]", "invalid UTF-8", 2},
    {"[\"\xc0\xaf\"]", "invalid UTF-8", 2},
    {"[\"\xed\xa0\x80\"]", "invalid UTF-8", 2},
    {"[\"\xf4\x90\x80\x80\"]", "invalid UTF-8", 2},
    {"[\"\xe2\x96\"]", "invalid UTF-8", 2},
    {"[\"abc", "string without an end", 5},
    {"[[[[[]]]]]", "nested too deep", 4},
    {"[] x", "something follows the end", 3},
    {"[]]", "something follows the end", 2},
};

static void test_bad_text(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(bad_rows); i++) {
        const bad_row *row = &bad_rows[i];
        ht_json json;
        ht_json_init(&json, row->text, strlen(row->text), 4);
        const bool good = ht_json_skip(&json) && ht_json_end(&json);
        assert_false(good);
        assert_string_equal(json.error, row->error);
        assert_int_equal(json.at, row->at);
        // Stays failed.
        assert_false(ht_json_skip(&json));
        assert_int_equal(ht_json_peek(&json), HT_JSON_NOTHING);
    }
}

static void test_every_cut_is_refused(void **state) {
    (void)state;
    const char text[] = "{\"a\":[1,-2.5e+3,true,null],\"b\":{\"\\u00e9\":\"\\ud83d\\ude00\"}}";
    for (size_t length = 0; length < sizeof text; length++) {
        ht_json json;
        ht_json_init(&json, text, length, 4);
        const bool good = ht_json_skip(&json) && ht_json_end(&json);
        assert_int_equal(good, length == sizeof text - 1);
        assert_true(json.at <= length);
    }
}

static void test_walks_values(void **state) {
    (void)state;
    const char text[] =
        " { \"one\" : [ 0 , 9007199254740992 ] , \"two\" : { } , \"three\":\"x\" } \n";
    ht_json json;
    char key[8];
    size_t length = 0;
    uint64_t value = 1;
    ht_json_init(&json, text, sizeof text - 1, 2);
    assert_int_equal(ht_json_peek(&json), HT_JSON_OBJECT);
    assert_true(ht_json_begin_object(&json));
    assert_true(ht_json_next_key(&json, key, sizeof key, &length));
    assert_string_equal(key, "one");
    assert_int_equal(length, 3);
    assert_true(ht_json_begin_array(&json));
    assert_true(ht_json_next_item(&json));
    assert_true(ht_json_u64(&json, &value));
    assert_true(value == 0);
    assert_true(ht_json_next_item(&json));
    assert_true(ht_json_u64(&json, &value));
    assert_true(value == UINT64_C(1) << 53);
    assert_false(ht_json_next_item(&json));
    assert_true(ht_json_next_key(&json, key, sizeof key, &length));
    assert_true(ht_json_begin_object(&json));
    assert_false(ht_json_next_key(&json, key, sizeof key, &length));
    assert_null(json.error);
    assert_true(ht_json_next_key(&json, NULL, 0, NULL));
    assert_true(ht_json_string(&json, key, 2, &length));
    assert_string_equal(key, "x");
    assert_false(ht_json_next_key(&json, key, sizeof key, &length));
    assert_true(ht_json_end(&json));
    assert_null(json.error);
}

static void test_strings(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
        size_t length;
    } rows[] = {
        {"\"\"", "", 0},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u00e9\\u2581\\ud83d\\ude00\"", "\xc3\xa9\xe2\x96\x81\xf0\x9f\x98\x80", 9},
        {"\"\xc3\xa9\xf0\x9f\x98\x80\"", "\xc3\xa9\xf0\x9f\x98\x80", 6},
        {"\"a\\u0000b\"", "a\0b", 3},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_json json;
        char out[16];
        size_t length = 99;
        ht_json_init(&json, rows[i].text, strlen(rows[i].text), 1);
        assert_true(ht_json_string(&json, out, rows[i].length + 1, &length));
        assert_int_equal(length, rows[i].length);
        assert_memory_equal(out, rows[i].want, length + 1);
        ht_json_init(&json, rows[i].text, strlen(rows[i].text), 1);
        assert_false(ht_json_string(&json, out, rows[i].length, &length));
        assert_string_equal(json.error, "string too long");
    }
}

static void test_whole_numbers_only(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"-1", "negative number"},
        {"-0", "negative number"},
        {"1.0", "not a whole number"},
        {"1e3", "not a whole number"},
        {"1E3", "not a whole number"},
        {"00", "number with a leading zero"},
        {"9007199254740993", "number above 2^53"},
        {"99999999999999999999999999", "number above 2^53"},
        {"\"1\"", "expected a number"},
        {"", "expected a number"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_json json;
        uint64_t value = 0;
        ht_json_init(&json, rows[i].text, strlen(rows[i].text), 1);
        assert_false(ht_json_u64(&json, &value));
        assert_string_equal(json.error, rows[i].error);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_text),           cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_walks_values),       cmocka_unit_test(test_strings),
        cmocka_unit_test(test_whole_numbers_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Recipes: patterns, the order of rows, and files that cannot be meant.
#include "support.h"

#include "common/recipe.h"
#include "files.h"

#include <stdio.h>
#include <string.h>

static void test_match(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "a.b", true},
        {"a", "a", true},
        {"a", "ab", false},
        {"a?", "ab", true},
        {"a?", "a", false},
        {"a.*.c", "a.1.c", true},
        {"a.*.c", "a.c", false},
        {"*b*", "abab", true},
        {"*ab", "aabab", true},
        {"*ab", "abb", false},
        {"a*b*c", "abcb", false},
        {"blocks.*.to_?", "blocks.12.to_k", true},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        if (ht_recipe_match(rows[i].pattern, rows[i].text) != rows[i].matches) {
            fail_msg("'%s' on '%s'", rows[i].pattern, rows[i].text);
        }
    }
}

#define ROW(text) "{\"name\": \"r\", \"layers\": [" text "]}"

static void test_refused(void **state) {
    ht_test_reader *reader = *state;
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{", "line 1"},
        {"[]", "must hold a JSON object"},
        {"{\"layers\": []}", "\"name\" must be a text"},
        {"{\"name\": \"r\"}", "\"layers\" must be a list"},
        {"{\"name\": \"r\", \"layers\": {}}", "\"layers\" must be a list"},
        {"{\"name\": \"r\", \"layers\": [], \"layer\": 1}", "unknown key \"layer\""},
        {ROW("1"), "row 1 must be an object"},
        {ROW("{}"), "row 1: \"match\" must be a text"},
        {ROW("{\"match\": 3}"), "\"match\" must be a text"},
        {ROW("{\"match\": \"*\", \"weight\": \"fp4\"}"), "row 1: unknown key \"weight\""},
        {ROW("{\"match\": \"*\"}, {\"match\": \"*\", \"weights\": \"fp5\"}"),
         "row 2: \"weights\" is the unknown format 'fp5'"},
        {ROW("{\"match\": \"*\", \"weights\": \"i32\"}"), "the plain format 'i32'"},
        {ROW("{\"match\": \"*\", \"activations\": \"int8\"}"), "need packed weights"},
        {ROW("{\"match\": \"*\", \"weights\": \"f16\", \"activations\": \"int8\"}"),
         "need packed weights"},
        {ROW("{\"match\": \"*\", \"weights\": \"bin1\", \"activations\": \"bin1\"}"),
         "activations cannot be bin1"},
        {ROW("{\"match\": \"*\", \"weights\": \"int8\", \"activations\": \"int8-planes\"}"),
         "int8-planes activations need weights in bit planes, not int8"},
        {ROW("{\"match\": \"*\", \"weights\": \"int4z\", \"activations\": \"int4z\"}"),
         "zero points"},
        {ROW("{\"match\": \"*\", \"weights\": \"bin1\", \"salient\": 1}"),
         "row 1 \"salient\" must be an object"},
        {ROW("{\"match\": \"*\", \"weights\": \"bin1\", \"salient\": {\"weights\": \"int4\"}}"),
         "\"share\" must be a number between 0 and 1"},
        {ROW("{\"match\": \"*\", \"weights\": \"bin1\", \"salient\": {\"weights\": \"int4\", "
             "\"share\": 1}}"),
         "\"share\" must be a number between 0 and 1"},
        {ROW("{\"match\": \"*\", \"weights\": \"bin1\", \"salient\": {\"share\": 0.2}}"),
         "kept apart in packed formats"},
        {ROW("{\"match\": \"*\", \"salient\": {\"weights\": \"int4\", \"share\": 0.2}}"),
         "kept apart in packed formats"},
        {ROW("{\"match\": \"*\", \"weights\": \"bin1\", \"salient\": {\"weights\": \"int4\", "
             "\"activations\": \"int8-planes\", \"share\": 0.2}}"),
         "row 1 \"salient\": int8-planes activations need weights in bit planes"},
        {ROW("{\"match\": \"*\", \"weights\": \"bin1\", \"salient\": {\"columns\": 3}}"),
         "unknown key \"columns\""},
    };
    ht_recipe *recipe;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        const char *path =
            ht_test_write(&reader->folder, "r.json", rows[i].json, strlen(rows[i].json));
        assert_int_equal(ht_recipe_open(reader->context, path, &recipe), HT_ERR_IO);
        assert_null(recipe);
        const char *message = ht_context_message(reader->context);
        if (!strstr(message, rows[i].part) || !strstr(message, "r.json")) {
            fail_msg("%s: '%s'", rows[i].json, message);
        }
    }
    assert_int_equal(ht_recipe_open(reader->context, "/nonexistent/r.json", &recipe), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(reader->context), "cannot be opened"));
}

static void test_rows(void **state) {
    ht_test_reader *reader = *state;
    static const char json[] =
        ROW("{\"match\": \"b.*.out\", \"weights\": \"fp4\", \"activations\": \"int8-g32\"},"
            "{\"match\": \"b.0.in\"}, {\"match\": \"b.*\", \"weights\": \"int8\"}");
    ht_recipe *recipe;
    ht_layer_formats formats;
    const char *path = ht_test_write(&reader->folder, "r.json", json, strlen(json));
    assert_int_equal(ht_recipe_open(reader->context, path, &recipe), HT_OK);
    assert_string_equal(ht_recipe_name(recipe), "r");
    assert_true(ht_recipe_find(recipe, "b.1.out", &formats));
    assert_int_equal(formats.weights, HT_FORMAT_FP4);
    assert_int_equal(formats.activations, HT_FORMAT_INT8_G32);
    assert_true(ht_recipe_find(recipe, "b.0.in", &formats)); // kept float by the second row
    assert_int_equal(formats.weights, HT_FORMAT_NONE);
    assert_true(ht_recipe_find(recipe, "b.1.in", &formats));
    assert_int_equal(formats.weights, HT_FORMAT_INT8);
    assert_int_equal(formats.activations, HT_FORMAT_NONE);
    assert_false(ht_recipe_find(recipe, "c", &formats));
    assert_false(ht_recipe_find(NULL, "b.1.in", &formats));
    assert_int_equal(formats.weights, HT_FORMAT_NONE);
    // Every row has to match a layer; biases and tables are none.
    char out[] = "b.1.out.weight", bias[] = "b.0.in.bias", in[] = "b.0.in.weight";
    ht_weight_entry entries[] = {
        {.name = out, .rank = 2}, {.name = bias, .rank = 1}, {.name = in, .rank = 1}};
    const ht_weight_map map = {.context = reader->context, .entries = entries, .count = 3};
    assert_int_equal(ht_recipe_check(recipe, &map), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(reader->context),
                           "row 2: \"b.0.in\" matches no layer of the model"));
    entries[2].rank = 2;
    assert_int_equal(ht_recipe_check(recipe, &map), HT_OK);
    ht_recipe_destroy(&recipe);
}

// A multiple of 32 columns, at least one and never all.
static void test_salient(void **state) {
    ht_test_reader *reader = *state;
    static const struct {
        uint32_t inputs, count;
    } rows[] = {{32, 0}, {33, 32}, {64, 32}, {192, 32}, {256, 64}, {768, 160}, {3072, 608}};
    ht_recipe *recipe;
    ht_layer_formats formats;
    assert_int_equal(
        ht_recipe_parse(reader->context, "r",
                        ROW("{\"match\": \"b.*\", \"weights\": \"bin1\", \"salient\": "
                            "{\"weights\": \"int4-g32\", \"share\": 0.2}}"),
                        &recipe),
        HT_OK);
    assert_true(ht_recipe_find(recipe, "b.in", &formats));
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        assert_int_equal(ht_recipe_salient(&formats, rows[i].inputs), rows[i].count);
    }
    formats.salient.share = 0.999f;
    assert_int_equal(ht_recipe_salient(&formats, 192), 160);
    assert_int_equal(ht_recipe_weights(recipe, "b.in.weight"), HT_FORMAT_BIN1);
    assert_int_equal(ht_recipe_weights(recipe, "b.in" HT_SALIENT_REST), HT_FORMAT_BIN1);
    assert_int_equal(ht_recipe_weights(recipe, "b.in" HT_SALIENT_WEIGHT), HT_FORMAT_INT4_G32);
    assert_int_equal(ht_recipe_weights(recipe, "b.in.bias"), HT_FORMAT_NONE);
    assert_int_equal(ht_recipe_weights(recipe, "a.in.weight"), HT_FORMAT_NONE);
    ht_recipe_destroy(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test_setup_teardown(test_refused, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_rows, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_salient, ht_test_reader_open, ht_test_reader_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

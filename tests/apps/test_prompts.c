// Lists of prompts: plain lines and JSON lines, with where they are, and what is refused.
#include "own_folder.h"
#include "support.h"

#include "common/prompts.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static bool read(const char *name, const char *text, size_t limit, ht_prompts *out, char why[512]) {
    return ht_prompts_read(ht_test_write(&folder, name, text, strlen(text)), limit, out, why, 512);
}

static void test_lists(void **state) {
    (void)state;
    char why[512];
    ht_prompts plain, json, first;
    assert_true(read("p.txt", "# no\n one \r\n\n\ttwo\nthree", 0, &plain, why));
    assert_int_equal(plain.count, 3);
    assert_string_equal(plain.texts[0], "one ");
    assert_string_equal(plain.texts[1], "two");
    assert_string_equal(plain.texts[2], "three");
    assert_true(plain.lines[0] == 2 && plain.lines[1] == 4 && plain.lines[2] == 5);
    assert_true(read("p.jsonl",
                     "{\"prompt\": \"one \", \"more\": 1}\n\n{\"prompt\": \"two\"}\r\n"
                     "{\"prompt\": \"three\"}\n",
                     0, &json, why));
    assert_int_equal(json.count, 3);
    assert_true(json.hash == plain.hash && json.lines[1] == 3);
    assert_true(read("p.txt", "one \ntwo\nthree", 2, &first, why)); // the hash is of all
    assert_true(first.count == 2 && first.hash == plain.hash);
    ht_prompts_free(&plain);
    ht_prompts_free(&json);
    ht_prompts_free(&first);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *part;
    } rows[] = {
        {"p.txt", "# none\n\n", "p.txt' holds no prompt"},
        {"p.jsonl", "", "holds no prompt"},
        {"p.jsonl", "{\"prompt\": \"x\"}\n# y\n", "p.jsonl' line 2: "},
        {"p.jsonl", "{\"prompt\": 1}\n", "line 1: expected an object with a text \"prompt\""},
        {"p.jsonl", "[\"x\"]\n", "line 1: expected an object with a text \"prompt\""},
        {"p.jsonl", "\n{\"prompt\": \"x\", \"prompt\": \"y\"}\n", "line 2: duplicate object key"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        char why[512] = "";
        ht_prompts prompts;
        if (read(rows[i].name, rows[i].text, 0, &prompts, why) || !strstr(why, rows[i].part)) {
            fail_msg("row %zu: '%s'", i, why);
        }
        assert_true(prompts.count == 0 && !prompts.texts);
    }
}

static bool refuse_second(void *user, const char *text, const json_t *object, size_t line,
                          char *why, size_t why_bytes) {
    assert_non_null(object);
    assert_int_equal(line, *(size_t *)user + 1);
    snprintf(why, why_bytes, "not %s", text);
    return ++*(size_t *)user < 2;
}

static void test_each(void **state) {
    (void)state;
    char why[512];
    size_t seen = 0;
    static const char text[] = "{\"prompt\": \"x\"}\n{\"prompt\": \"y\"}\n{\"prompt\": \"z\"}\n";
    const char *path = ht_test_write(&folder, "e.jsonl", text, strlen(text));
    assert_false(ht_prompts_each(path, refuse_second, &seen, why, sizeof(why)));
    assert_int_equal(seen, 2);
    assert_non_null(strstr(why, "e.jsonl' line 2: not y"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_each),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}

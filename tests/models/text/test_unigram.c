// The tokenizer against SentencePiece's own ids, cutting, and memory that runs out.
#include "files.h"
#include "support.h"

#include "text/unigram.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

static const char folder[] = "tests/data/models/tiny-pixart/tokenizer";
static const char spiece[] = "tests/data/models/tiny-pixart/tokenizer/spiece.model";
static const char fast[] = "tests/data/models/tiny-pixart/tokenizer/tokenizer.json";

static ht_context *host_context(const ht_allocator *allocator) {
    ht_context *context = NULL;
    const ht_context_desc desc = {.host_only = true, .allocator = allocator};
    assert_int_equal(ht_context_create(&desc, &context), HT_OK);
    return context;
}

static ht_tokenizer *open_tokenizer(ht_context *context, const char *path) {
    ht_tokenizer *tokenizer = NULL;
    if (ht_tokenizer_open(context, path, &tokenizer) != HT_OK) {
        fail_msg("%s", ht_context_message(context));
    }
    return tokenizer;
}

// One string of the golden file. True when the ids are equal.
static bool case_matches(ht_tokenizer *tokenizer, const json_t *entry) {
    enum { CAPACITY = 8192 };
    static int32_t ids[CAPACITY];
    const json_t *text = json_object_get(entry, "text"), *want = json_object_get(entry, "ids");
    ht_tokenized result;
    assert_int_equal(ht_tokenizer_encode(tokenizer, json_string_value(text),
                                         json_string_length(text), ids, CAPACITY, &result),
                     HT_OK);
    bool equal = result.count == json_array_size(want) && result.full_count == result.count &&
                 result.kept_bytes == json_string_length(text);
    for (size_t i = 0; equal && i < CAPACITY; i++) {
        const json_int_t id = i < result.count ? json_integer_value(json_array_get(want, i)) : 0;
        equal = ids[i] == id;
    }
    if (!equal) {
        print_error("group %s, text \"%s\": %zu ids, expected %zu\n",
                    json_string_value(json_object_get(entry, "group")), json_string_value(text),
                    result.count, json_array_size(want));
    }
    return equal;
}

static void check_golden(const char *path) {
    ht_context *context = host_context(NULL);
    ht_tokenizer *tokenizer = open_tokenizer(context, path);
    json_t *golden = json_load_file("tests/data/golden/tokenizer.json", JSON_ALLOW_NUL, NULL);
    assert_non_null(golden);
    const ht_tokenizer_info *info = ht_tokenizer_get_info(tokenizer);
    assert_int_equal(info->unk, json_integer_value(json_object_get(golden, "unk")));
    assert_int_equal(info->eos, json_integer_value(json_object_get(golden, "eos")));
    assert_int_equal(info->pad, json_integer_value(json_object_get(golden, "pad")));
    assert_false(info->byte_fallback);
    const json_t *cases = json_object_get(golden, "cases");
    size_t wrong = 0;
    assert_true(json_array_size(cases) > 300);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        wrong += !case_matches(tokenizer, json_array_get(cases, i));
    }
    assert_int_equal(wrong, 0);
    json_decref(golden);
    ht_tokenizer_destroy(&tokenizer);
    assert_null(tokenizer);
    ht_tokenizer_destroy(&tokenizer);
    ht_context_destroy(&context);
}

static void test_golden_spiece(void **state) {
    (void)state;
    check_golden(spiece);
}

static void test_golden_json(void **state) {
    (void)state;
    check_golden(fast);
}

static void test_golden_folder(void **state) {
    (void)state;
    check_golden(folder);
}

// With room for n ids: the first n - 1 pieces and eos, and where the text was cut.
static void test_cutting(void **state) {
    (void)state;
    static const char text[] = "  a red  ball left of a blue cube";
    enum { ROOM = 16 };
    int32_t full[ROOM], ids[ROOM];
    ht_tokenized whole, part;
    ht_context *context = host_context(NULL);
    ht_tokenizer *tokenizer = open_tokenizer(context, folder);
    const ht_tokenizer_info *info = ht_tokenizer_get_info(tokenizer);
    const size_t bytes = strlen(text);
    assert_int_equal(ht_tokenizer_encode(tokenizer, text, bytes, full, ROOM, &whole), HT_OK);
    assert_int_equal(whole.count, 13);
    for (size_t room = 1; room <= ROOM; room++) {
        assert_int_equal(ht_tokenizer_encode(tokenizer, text, bytes, ids, room, &part), HT_OK);
        assert_int_equal(part.full_count, 13);
        assert_int_equal(part.count, room < 13 ? room : 13);
        assert_memory_equal(ids, full, (part.count - 1) * sizeof *ids);
        assert_int_equal(ids[part.count - 1], info->eos);
        for (size_t i = part.count; i < room; i++) {
            assert_int_equal(ids[i], info->pad);
        }
        if (room >= 13) {
            assert_int_equal(part.kept_bytes, bytes);
            continue;
        }
        // What was kept, encoded alone, gives the same pieces, but for a mark at its very end.
        ht_tokenized again;
        int32_t kept[ROOM];
        assert_true(part.kept_bytes < bytes);
        assert_int_equal(ht_tokenizer_encode(tokenizer, text, part.kept_bytes, kept, ROOM, &again),
                         HT_OK);
        assert_in_range(again.count, part.count - 1, part.count);
        assert_memory_equal(kept, ids, (again.count - 1) * sizeof *ids);
    }
    assert_int_equal(ht_tokenizer_encode(tokenizer, text, bytes, ids, 4, NULL), HT_OK);
    ht_tokenizer_destroy(&tokenizer);
    ht_context_destroy(&context);
}

static void test_limits(void **state) {
    (void)state;
    ht_context *context = host_context(NULL);
    ht_tokenizer *tokenizer = open_tokenizer(context, folder);
    int32_t ids[4];
    ht_tokenized result;
    const size_t limit = 1 << 20;
    char *text = malloc(limit + 1);
    memset(text, 'e', limit + 1);
    assert_int_equal(ht_tokenizer_encode(tokenizer, text, limit, ids, 4, &result), HT_OK);
    assert_true(result.full_count > 1000);
    assert_int_equal(result.count, 4);
    assert_int_equal(ht_tokenizer_encode(tokenizer, text, limit + 1, ids, 4, &result),
                     HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "1048577 bytes"));
    assert_int_equal(ht_tokenizer_encode(tokenizer, text, 1, ids, 0, &result), HT_ERR_INVALID);
    assert_int_equal(ht_tokenizer_encode(tokenizer, NULL, 0, ids, 1, &result), HT_OK);
    assert_int_equal(ids[0], ht_tokenizer_get_info(tokenizer)->eos);
    // U+FDFA becomes 18 characters: the longest text of them grows beyond the limit.
    for (size_t i = 0; i + 3 <= limit; i += 3) {
        memcpy(text + i, "\xef\xb7\xba", 3);
    }
    assert_int_equal(ht_tokenizer_encode(tokenizer, text, limit - 1, ids, 4, &result),
                     HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "grows beyond"));
    free(text);
    ht_tokenizer_destroy(&tokenizer);
    ht_context_destroy(&context);
}

static void test_missing_files(void **state) {
    (void)state;
    ht_context *context = host_context(NULL);
    ht_test_folder empty;
    ht_test_folder_open(&empty);
    ht_tokenizer *tokenizer = NULL;
    assert_int_equal(ht_tokenizer_open(context, NULL, &tokenizer), HT_ERR_INVALID);
    assert_int_equal(ht_tokenizer_open(context, "", &tokenizer), HT_ERR_INVALID);
    assert_int_equal(ht_tokenizer_open(context, empty.path, &tokenizer), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "neither spiece.model nor"));
    assert_int_equal(ht_tokenizer_open(context, "/nowhere/spiece.model", &tokenizer), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "/nowhere/spiece.model"));
    assert_int_equal(ht_tokenizer_open(context, "/dev/null", &tokenizer), HT_ERR_IO);
    const char *path = ht_test_write(&empty, "spiece.model", "", 0);
    assert_int_equal(ht_tokenizer_open(context, path, &tokenizer), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "0 bytes"));
    assert_null(tokenizer);
    ht_test_folder_close(&empty);
    ht_context_destroy(&context);
}

// Open and encode with each allocation failing in turn.
static void starve(const char *path) {
    ht_test_allocator allocator;
    ht_test_allocator_init(&allocator);
    ht_context *context = host_context(&allocator.callbacks);
    const int64_t live = allocator.live;
    uint64_t failures = 0;
    for (;; failures++) {
        ht_tokenizer *tokenizer = NULL;
        int32_t ids[300];
        allocator.fail_at = allocator.calls + failures + 1;
        ht_status status = ht_tokenizer_open(context, path, &tokenizer);
        if (status == HT_OK) {
            // Long enough for the normalised text to grow.
            char text[600];
            memset(text, 'a', sizeof text);
            status = ht_tokenizer_encode(tokenizer, text, sizeof text, ids, 300, NULL);
        }
        ht_tokenizer_destroy(&tokenizer);
        assert_int_equal(allocator.live, live);
        if (status == HT_OK) {
            break;
        }
        assert_int_equal(status, HT_ERR_NO_MEMORY);
    }
    assert_true(failures >= 6);
    ht_context_destroy(&context);
    assert_int_equal(allocator.live, 0);
}

static void test_no_memory(void **state) {
    (void)state;
    starve(spiece);
    starve(fast);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_spiece), cmocka_unit_test(test_golden_json),
        cmocka_unit_test(test_golden_folder), cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

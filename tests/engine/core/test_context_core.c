// Messages, the log and host memory of a context.
#include "core.h"
#include "support.h"

#include <string.h>

typedef struct heard {
    int count;
    ht_log_level level;
    char text[256];
} heard;

static void hear(void *user, ht_log_level level, const char *text) {
    heard *h = user;
    h->count++;
    h->level = level;
    strncpy(h->text, text, sizeof h->text - 1);
}

static void test_fail_keeps_and_logs_the_sentence(void **state) {
    (void)state;
    heard h = {0};
    ht_context *context = NULL;
    const ht_context_desc desc = {.host_only = true,
                                  .log = {.write = hear, .user = &h, .level = HT_LOG_WARN}};
    assert_int_equal(ht_core_create(&desc, &context), HT_OK);
    assert_string_equal(ht_context_message(context), "");
    assert_int_equal(ht_fail(context, HT_ERR_IO, "file %d of %s", 3, "x"), HT_ERR_IO);
    assert_string_equal(ht_context_message(context), "file 3 of x");
    assert_int_equal(h.count, 1);
    assert_int_equal(h.level, HT_LOG_ERROR);
    assert_string_equal(h.text, "file 3 of x");
    // The old sentence may be part of the new one.
    ht_fail(context, HT_ERR_IO, "more: %s", ht_context_message(context));
    assert_string_equal(ht_context_message(context), "more: file 3 of x");
    ht_log(context, HT_LOG_INFO, "too detailed");
    assert_int_equal(h.count, 2);
    ht_log(context, HT_LOG_WARN, "warned %d", 7);
    assert_int_equal(h.count, 3);
    assert_string_equal(h.text, "warned 7");
    ht_core_destroy(&context);
    assert_null(context);
    ht_core_destroy(&context);
}

static void test_long_sentences_are_cut(void **state) {
    (void)state;
    ht_context *context = NULL;
    char longer[3000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(ht_core_create(&(ht_context_desc){.host_only = true}, &context), HT_OK);
    ht_fail(context, HT_ERR_INVALID, "%s", longer);
    assert_int_equal(strlen(ht_context_message(context)), sizeof context->message - 1);
    ht_core_destroy(&context);
}

static void test_memory_comes_from_the_allocator(void **state) {
    (void)state;
    ht_test_allocator allocator;
    ht_context *context = NULL;
    ht_test_allocator_init(&allocator);
    const ht_context_desc desc = {.host_only = true, .allocator = &allocator.callbacks};
    assert_int_equal(ht_core_create(&desc, &context), HT_OK);
    uint8_t *bytes = ht_alloc(context, 100);
    char *text = ht_strdup(context, "hello");
    void *nothing = ht_alloc(context, 0);
    assert_non_null(nothing);
    assert_string_equal(text, "hello");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(bytes[i], 0);
    }
    assert_int_equal(allocator.live, 4);
    allocator.fail_at = allocator.calls + 1;
    assert_null(ht_alloc(context, 12345));
    assert_non_null(strstr(ht_context_message(context), "12345"));
    ht_free(context, bytes);
    ht_free(context, text);
    ht_free(context, nothing);
    ht_free(context, NULL);
    ht_core_destroy(&context);
    assert_int_equal(allocator.live, 0);
}

static void test_no_memory_for_a_context(void **state) {
    (void)state;
    ht_test_allocator allocator;
    ht_context *context = NULL;
    ht_test_allocator_init(&allocator);
    allocator.fail_at = 1;
    const ht_context_desc desc = {.host_only = true, .allocator = &allocator.callbacks};
    assert_int_equal(ht_core_create(&desc, &context), HT_ERR_NO_MEMORY);
    assert_null(context);
    assert_non_null(strstr(ht_context_message(context), "memory"));
}

static void test_status_names(void **state) {
    (void)state;
    assert_string_equal(ht_status_name(HT_OK), "ok");
    assert_string_equal(ht_status_name(HT_ERR_NO_MEMORY), "no memory");
    assert_string_equal(ht_status_name(HT_ERR_CANCELLED), "cancelled");
    assert_string_equal(ht_status_name((ht_status)99), "unknown status");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_keeps_and_logs_the_sentence),
        cmocka_unit_test(test_long_sentences_are_cut),
        cmocka_unit_test(test_memory_comes_from_the_allocator),
        cmocka_unit_test(test_no_memory_for_a_context),
        cmocka_unit_test(test_status_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Checkpoints in several files: the index, and what it may not name.
#include "files.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    ht_test_folder folder;
    ht_context *context;
    int warnings;
    char warning[512];
} fixture;

static void hear(void *user, ht_log_level level, const char *text) {
    fixture *f = user;
    if (level == HT_LOG_WARN) {
        f->warnings++;
        snprintf(f->warning, sizeof f->warning, "%s", text);
    }
}

static const char one_tensor[] =
    "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";

static void write_shard(fixture *f, const char *file, const char *tensor, float value) {
    char header[256];
    snprintf(header, sizeof header, one_tensor, tensor);
    ht_test_write_safetensors(&f->folder, file, header, &value, sizeof value);
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    ht_test_folder_open(&f->folder);
    *state = f;
    write_shard(f, "m-1.safetensors", "a", 1.0f);
    write_shard(f, "m-2.safetensors", "b", 2.0f);
    const ht_context_desc desc = {.host_only = true,
                                  .log = {.write = hear, .user = f, .level = HT_LOG_WARN}};
    return ht_context_create(&desc, &f->context) != HT_OK;
}

static int tear_down(void **state) {
    fixture *f = *state;
    ht_context_destroy(&f->context);
    ht_test_folder_close(&f->folder);
    free(f);
    return 0;
}

static ht_status open_index(fixture *f, const char *text, ht_weights **weights) {
    const char *path =
        ht_test_write(&f->folder, "model.safetensors.index.json", text, strlen(text));
    return ht_weights_open(f->context, &(ht_weights_desc){.path = path}, weights);
}

static void test_two_files(void **state) {
    fixture *f = *state;
    ht_weights *weights = NULL;
    assert_int_equal(open_index(f,
                                "{\"metadata\":{\"total_size\":8.5e0},\"weight_map\":"
                                "{\"b\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\"}}",
                                &weights),
                     HT_OK);
    assert_int_equal(ht_weights_count(weights), 2);
    assert_string_equal(ht_weights_get(weights, 0)->name, "a");
    assert_string_equal(ht_weights_get(weights, 1)->name, "b");
    assert_null(ht_weights_get(weights, 2));
    float value = 0;
    assert_int_equal(ht_weights_read_f32(weights, "b", &value, 1), HT_OK);
    assert_true(value == 2.0f);
    assert_non_null(strstr(ht_weights_find(weights, "b")->file, "m-2.safetensors"));
    assert_int_equal(f->warnings, 0);
    ht_weights_destroy(&weights);
    // The same by folder.
    assert_int_equal(
        ht_weights_open(f->context, &(ht_weights_desc){.path = f->folder.path}, &weights), HT_OK);
    assert_int_equal(ht_weights_count(weights), 2);
    ht_weights_destroy(&weights);
}

static void test_tensors_beside_the_index_are_mentioned(void **state) {
    fixture *f = *state;
    ht_weights *weights = NULL;
    const char *header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                         "\"extra\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}";
    ht_test_write_safetensors(&f->folder, "m-1.safetensors", header, NULL, 8);
    assert_int_equal(open_index(f, "{\"weight_map\":{\"a\":\"m-1.safetensors\"}}", &weights),
                     HT_OK);
    assert_int_equal(ht_weights_count(weights), 1);
    assert_null(ht_weights_find(weights, "extra"));
    assert_int_equal(f->warnings, 1);
    assert_non_null(strstr(f->warning, "1 tensors"));
    ht_weights_destroy(&weights);
}

static void refuse(fixture *f, const char *text, const char *part) {
    ht_weights *weights = NULL;
    const ht_status status = open_index(f, text, &weights);
    if (status != HT_ERR_IO || !strstr(ht_context_message(f->context), part)) {
        print_error("status %s, sentence \"%s\", expected \"%s\"\n", ht_status_name(status),
                    ht_context_message(f->context), part);
        fail();
    }
    assert_null(weights);
}

static void test_path_tricks(void **state) {
    fixture *f = *state;
    static const char *const names[] = {
        "/etc/m.safetensors",
        "../m-1.safetensors",
        "..\\\\m-1.safetensors",
        "./m-1.safetensors",
        "sub/m-1.safetensors",
        "sub\\\\m-1.safetensors",
        "C:m-1.safetensors",
        "",
        ".",
        "..",
        ".safetensors",
        "..safetensors",
        "m-1.safetensors/",
        "m-1.safetensors\\u0000",
        "m-1.safetensors\\n",
        "m\\u0001-1.safetensors",
        "m-1.bin",
        "m-1.safetensors ",
        "\\u002e\\u002e/x.safetensors",
        "m*.safetensors",
        "/dev/stdin",
    };
    for (size_t i = 0; i < HT_COUNT(names); i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"weight_map\":{\"a\":\"%s\"}}", names[i]);
        refuse(f, text,
               strstr(names[i], "\\u0000") ? "NUL in a string" : "tensor 'a' is said to be");
    }
    char text[512], name[300];
    memset(name, 'x', sizeof name);
    strcpy(name + 260, ".safetensors");
    snprintf(text, sizeof text, "{\"weight_map\":{\"a\":\"%s\"}}", name);
    refuse(f, text, "tensor 'a' is said to be");
}

static void test_bad_indexes(void **state) {
    fixture *f = *state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"", "expected an object at byte 0"},
        {"[]", "expected an object"},
        {"{}", "no weight_map"},
        {"{\"weight_map\":{}}", "no weight_map"},
        {"{\"weight_map\":[]}", "expected an object"},
        {"{\"weight_map\":{\"a\":1}}", "expected a string"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\"}", "expected ',' or '}'"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\"}} x", "something follows"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\"},\"weight_map\":{}}", "appears twice"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\",\"a\":\"m-1.safetensors\"}}",
         "tensor 'a' appears twice"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\",\"a\":\"m-2.safetensors\"}}", "tensor 'a'"},
        {"{\"weight_map\":{\"b\":\"m-1.safetensors\"}}",
         "tensor 'b' is not in 'm-1.safetensors' as the index says"},
        {"{\"weight_map\":{\"a\":\"m-3.safetensors\"}}", "m-3.safetensors': No such file"},
        {"{\"x\":[[[[[[[[[]]]]]]]]],\"weight_map\":{\"a\":\"m-1.safetensors\"}}",
         "nested too deep"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        refuse(f, rows[i].text, rows[i].part);
    }
}

static void test_damaged_shard(void **state) {
    fixture *f = *state;
    ht_test_write(&f->folder, "m-2.safetensors", "abc", 3);
    refuse(f, "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}",
           "m-2.safetensors': 3 bytes are too few");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tensors_beside_the_index_are_mentioned, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_path_tricks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_indexes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_shard, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Mapping of files, and refusal of what is not one.
#include "core.h"
#include "files.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct fixture {
    ht_test_folder folder;
    ht_context *context;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    ht_test_folder_open(&f->folder);
    *state = f;
    return ht_core_create(&(ht_context_desc){.host_only = true}, &f->context) != HT_OK;
}

static int tear_down(void **state) {
    fixture *f = *state;
    ht_core_destroy(&f->context);
    ht_test_folder_close(&f->folder);
    free(f);
    return 0;
}

static void test_maps_whole_files(void **state) {
    fixture *f = *state;
    static uint8_t data[10000];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7);
    }
    const char *path = ht_test_write(&f->folder, "file", data, sizeof data);
    ht_file_map map;
    assert_int_equal(ht_file_map_open(f->context, path, &map), HT_OK);
    assert_int_equal(map.bytes, sizeof data);
    assert_int_equal(map.mapped_bytes % 4096, 0);
    assert_true(map.mapped_bytes >= map.bytes);
    assert_int_equal((uintptr_t)map.data % 4096, 0);
    assert_memory_equal(map.data, data, sizeof data);
    // Forgotten pages come back from the file.
    ht_file_map_forget(&map, 1, sizeof data - 1);
    assert_memory_equal(map.data, data, sizeof data);
    ht_file_map_close(&map);
    assert_null(map.data);
    ht_file_map_close(&map);
}

static void test_empty_file(void **state) {
    fixture *f = *state;
    ht_file_map map;
    const char *path = ht_test_write(&f->folder, "empty", "", 0);
    assert_int_equal(ht_file_map_open(f->context, path, &map), HT_OK);
    assert_null(map.data);
    assert_int_equal(map.bytes, 0);
    ht_file_map_close(&map);
}

static void expect_refused(fixture *f, const char *path, const char *cause) {
    ht_file_map map;
    assert_int_equal(ht_file_map_open(f->context, path, &map), HT_ERR_IO);
    assert_null(map.data);
    assert_non_null(strstr(ht_context_message(f->context), path));
    assert_non_null(strstr(ht_context_message(f->context), cause));
}

static void test_refuses_what_is_no_file(void **state) {
    fixture *f = *state;
    expect_refused(f, f->folder.path, "folder");
    expect_refused(f, "/dev/null", "not a regular file");
    expect_refused(f, ht_test_folder_file(&f->folder, "missing"), "No such file");
    // Opening a FIFO must not wait for somebody to write into it.
    assert_int_equal(mkfifo(ht_test_folder_file(&f->folder, "fifo"), 0600), 0);
    expect_refused(f, ht_test_folder_file(&f->folder, "fifo"), "not a regular file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_maps_whole_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_empty_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_what_is_no_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

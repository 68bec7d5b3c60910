// What tests of gen-batch share.
#include "batch_support.h"

#include "common/png.h"
#include "common/sha256.h"
#include "files.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TINY "tests/data/models/tiny-pixart"
#define WAN "tests/data/models/tiny-wan"

static ht_test_folder folder;

const char *ht_batch_folder(void) {
    return folder.path;
}

void ht_batch_shell(const char *command) {
    char whole[5120];
    snprintf(whole, sizeof(whole), "cd '%s' && %s", folder.path, command);
    const int result = system(whole);
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 0) {
        fail_msg("%s: %d", command, result);
    }
}

void ht_batch_open(void) {
    char here[1024], command[4096];
    assert_non_null(getcwd(here, sizeof(here)));
    ht_test_folder_open(&folder);
    snprintf(command, sizeof(command), "ln -s '%s/" TINY "' tiny && ln -s '%s/" WAN "' wan", here,
             here);
    ht_batch_shell(command);
}

void ht_batch_close(void) {
    ht_batch_shell("rm -rf ./* out");
    ht_test_folder_close(&folder);
}

void ht_batch_fresh(void) {
    ht_batch_shell("rm -rf out");
}

void ht_batch_write(const char *name, const char *text) {
    if (text) {
        ht_test_write(&folder, name, text, strlen(text));
    }
}

void ht_batch_begin(const char *lines) {
    static char text[1 << 16];
    const int n = snprintf(text, sizeof(text),
                           "{\"defaults\": {\"model\": \"./tiny\", \"width\": 32, \"height\": 32, "
                           "\"steps\": 2, \"cfg_scale\": 1}}\n%s",
                           lines);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    ht_batch_write("jobs.jsonl", text);
}

int ht_batch(const char *before, const char *arguments, char *output, size_t bytes) {
    char command[4096];
    snprintf(command, sizeof(command), "cd '%s' && %s '%s' %s </dev/null 2>&1", folder.path, before,
             HT_BATCH_PATH, arguments);
    return ht_test_run(command, output, bytes);
}

json_t *ht_batch_results(const char *file) {
    char path[512];
    size_t bytes;
    snprintf(path, sizeof(path), "%s/out/%s", folder.path, file);
    char *text = (char *)ht_test_read_file(path, &bytes);
    json_t *list = json_array();
    for (char *line = text, *end; bytes > 0; bytes -= (size_t)(end + 1 - line), line = end + 1) {
        end = memchr(line, '\n', bytes);
        assert_non_null(end);
        json_t *record = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(record);
        json_array_append_new(list, record);
    }
    free(text);
    return list;
}

size_t ht_batch_count(const json_t *results, const char *status) {
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(results); ++i) {
        const json_t *record = json_array_get(results, i);
        count += strcmp(json_string_value(json_object_get(record, "status")), status) == 0;
    }
    return count;
}

static void check_picture(const json_t *picture) {
    char path[1024], hash[HT_SHA256_TEXT];
    const char *why;
    uint32_t width, height;
    snprintf(path, sizeof(path), "%s/out/%s", folder.path,
             json_string_value(json_object_get(picture, "path")));
    assert_true(ht_sha256_file(path, hash));
    assert_string_equal(hash, json_string_value(json_object_get(picture, "sha256")));
    uint8_t *pixels = ht_picture_read(path, &width, &height, &why);
    assert_non_null(pixels);
    assert_true(width == 32 && height == 32);
    free(pixels);
}

void ht_batch_check(const char *file, size_t count) {
    json_t *results = ht_batch_results(file), *keys = json_object();
    size_t pictures = 0;
    assert_int_equal(json_array_size(results), count);
    assert_int_equal(ht_batch_count(results, "done"), count);
    for (size_t i = 0; i < count; ++i) {
        const json_t *record = json_array_get(results, i);
        const json_t *list = json_object_get(record, "pictures");
        json_object_set(keys, json_string_value(json_object_get(record, "key")), json_true());
        for (size_t k = 0; k < json_array_size(list); ++k, ++pictures) {
            check_picture(json_array_get(list, k));
        }
    }
    assert_int_equal(json_object_size(keys), count);
    if (strcmp(file, "results.jsonl") == 0) {
        char command[256];
        snprintf(command, sizeof(command),
                 "test \"$(find out -name '*.png' ! -name 'contact-sheet.png' | wc -l)\" = %zu && "
                 "test ! -e out/.parts",
                 pictures);
        ht_batch_shell(command);
    }
    json_decref(keys);
    json_decref(results);
}

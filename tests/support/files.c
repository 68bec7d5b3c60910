// Temporary folders and files of tests.
#include "files.h"
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void ht_test_folder_open(ht_test_folder *folder) {
    // In memory where that exists: some tests write hundreds of files.
    strcpy(folder->path, "/dev/shm/halftone-test-XXXXXX");
    if (!mkdtemp(folder->path)) {
        strcpy(folder->path, "/tmp/halftone-test-XXXXXX");
        assert_non_null(mkdtemp(folder->path));
    }
}

const char *ht_test_folder_file(ht_test_folder *folder, const char *name) {
    const int length = snprintf(folder->file, sizeof folder->file, "%s/%s", folder->path, name);
    assert_in_range(length, 1, sizeof folder->file - 1);
    return folder->file;
}

void ht_test_folder_close(ht_test_folder *folder) {
    DIR *listing = opendir(folder->path);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry; entry = readdir(listing)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            remove(ht_test_folder_file(folder, entry->d_name));
        }
    }
    closedir(listing);
    assert_int_equal(rmdir(folder->path), 0);
}

const char *ht_test_write(ht_test_folder *folder, const char *name, const void *data,
                          size_t bytes) {
    FILE *file = fopen(ht_test_folder_file(folder, name), "wb");
    assert_non_null(file);
    if (bytes > 0) {
        assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    }
    assert_int_equal(fclose(file), 0);
    return folder->file;
}

const char *ht_test_write_safetensors(ht_test_folder *folder, const char *name, const char *header,
                                      const void *data, size_t bytes) {
    const size_t length = strlen(header);
    uint8_t *file = calloc(1, 8 + length + bytes);
    assert_non_null(file);
    for (int i = 0; i < 8; i++) {
        file[i] = (uint8_t)((uint64_t)length >> (8 * i));
    }
    memcpy(file + 8, header, length);
    if (data && bytes > 0) {
        memcpy(file + 8 + length, data, bytes);
    }
    ht_test_write(folder, name, file, 8 + length + bytes);
    free(file);
    return folder->file;
}

uint8_t *ht_test_read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long length = ftell(file);
    assert_true(length >= 0);
    rewind(file);
    uint8_t *data = malloc((size_t)length + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)length, file), (size_t)length);
    fclose(file);
    *bytes = (size_t)length;
    return data;
}

int ht_test_reader_open(void **state) {
    ht_test_reader *reader = calloc(1, sizeof *reader);
    assert_non_null(reader);
    ht_test_folder_open(&reader->folder);
    *state = reader;
    return ht_context_create(&(ht_context_desc){.host_only = true}, &reader->context) != HT_OK;
}

int ht_test_reader_close(void **state) {
    ht_test_reader *reader = *state;
    ht_context_destroy(&reader->context);
    ht_test_folder_close(&reader->folder);
    free(reader);
    return 0;
}

int ht_test_run(const char *command, char *output, size_t bytes) {
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    const size_t n = fread(output, 1, bytes - 1, pipe);
    output[n] = 0;
    const int result = pclose(pipe);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

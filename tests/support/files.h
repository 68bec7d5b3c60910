// Files that a test makes for itself, in a folder that goes away with it.
#ifndef HT_TEST_FILES_H
#define HT_TEST_FILES_H

#include <halftone/context.h>

typedef struct ht_test_folder {
    char path[64];
    char file[192]; // result of the last ht_test_folder_file
} ht_test_folder;

// Failures of these fail the test. close removes the folder and the files in it.
void ht_test_folder_open(ht_test_folder *folder);
void ht_test_folder_close(ht_test_folder *folder);
// Path of a file in the folder, until the next call.
const char *ht_test_folder_file(ht_test_folder *folder, const char *name);
// Write a file there; returns its path.
const char *ht_test_write(ht_test_folder *folder, const char *name, const void *data, size_t bytes);
// Write length, header and data. `data` may be NULL for zeros.
const char *ht_test_write_safetensors(ht_test_folder *folder, const char *name, const char *header,
                                      const void *data, size_t bytes);
// Read a whole file; free() the result.
uint8_t *ht_test_read_file(const char *path, size_t *bytes);

// Run a shell command; what it says (cut to `bytes` - 1) into `output`. Returns its exit code, -1
// when a signal ended it.
int ht_test_run(const char *command, char *output, size_t bytes);

// What tests of a file reader need: a folder, and a context without a device. Setup and teardown
// of cmocka; *state becomes the ht_test_reader.
typedef struct ht_test_reader {
    ht_test_folder folder;
    ht_context *context;
} ht_test_reader;
int ht_test_reader_open(void **state);
int ht_test_reader_close(void **state);

#endif

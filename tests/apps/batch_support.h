// What tests of gen-batch share: a folder with tiny models, jobs, and a look at the results.
#ifndef HT_BATCH_SUPPORT_H
#define HT_BATCH_SUPPORT_H

#include "support.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

// The folder that the program runs in, with the models ./tiny and ./wan (clips) in it.
void ht_batch_open(void);
void ht_batch_close(void);
const char *ht_batch_folder(void);
// No results, as in the beginning.
void ht_batch_fresh(void);
// A file in the folder; NULL: it stays as it is.
void ht_batch_write(const char *name, const char *text);
// jobs.jsonl: defaults for the tiny model, and these lines.
void ht_batch_begin(const char *lines);
// Run "BEFORE gen-batch ARGUMENTS" there; both streams into `output`. Returns the exit code.
int ht_batch(const char *before, const char *arguments, char *output, size_t bytes);
// Run a command there; it must succeed.
void ht_batch_shell(const char *command);
// The lines of a file below out/, each valid; decref.
json_t *ht_batch_results(const char *file);
// How many of them have this status.
size_t ht_batch_count(const json_t *results, const char *status);
// Exactly `count` lines, all done, no key twice; and every picture is there as recorded, is a whole PNG,
// and has no other beside it (in results.jsonl).
void ht_batch_check(const char *file, size_t count);

#endif

// Writing results: all or nothing, under the final name only when complete.
#ifndef HT_APP_FILES_H
#define HT_APP_FILES_H

#include <stdbool.h>
#include <stddef.h>

// Write to a file beside it, flush it to the disk, then give it its name. What exists is replaced
// only with `overwrite`; devices and pipes are written to directly. "-" is stdout. On failure false
// and the sentence in `why`.
bool ht_file_write(const char *path, const void *data, size_t bytes, bool overwrite, char *why,
                   size_t why_bytes);
// Could that work? Checks the folder, its permissions and what is there.
bool ht_file_check(const char *path, bool overwrite, char *why, size_t why_bytes);
// All of them to an open file; false with errno.
bool ht_file_write_all(int fd, const void *data, size_t bytes);
bool ht_file_exists(const char *path);
// The first "%d" or "%0Nd" of a name replaced by a number. False when there is none, or the result is
// longer than PATH_MAX.
bool ht_file_number(const char *pattern, size_t number, char *path);
// Ending of the name without the dot; "" when there is none.
const char *ht_file_ending(const char *path);
// Whole text file, terminated, at most `limit` bytes; free(). NULL with the sentence in `why`.
char *ht_file_read_text(const char *path, size_t limit, char *why, size_t why_bytes);

#endif

// Whole folders.
#ifndef HT_APP_FOLDER_H
#define HT_APP_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

bool ht_is_folder(const char *path);
// Copy the files below `from` into the new folder `to`, but for those that `skip` says yes to; their
// path below `from` is told. Links are followed. False with a sentence in `why`.
bool ht_folder_copy(const char *from, const char *to, bool (*skip)(void *user, const char *path),
                    void *user, char *why, size_t why_bytes);
// Remove it with all that is in it; for folders that this program made.
void ht_folder_remove(const char *path);

#endif

// SHA-256 (FIPS 180-4), so that files can be verified with sha256sum.
#ifndef HT_APP_SHA256_H
#define HT_APP_SHA256_H

#include <stdbool.h>
#include <stddef.h>

enum { HT_SHA256_TEXT = 65 };

// 64 hexadecimal digits and a zero.
void ht_sha256(const void *data, size_t bytes, char text[HT_SHA256_TEXT]);
// Of a file; false when it cannot be read.
bool ht_sha256_file(const char *path, char text[HT_SHA256_TEXT]);

#endif

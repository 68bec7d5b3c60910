// Well-formed UTF-8, one character at a time.
#ifndef HT_TEXT_UTF8_H
#define HT_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Length of the well-formed character that starts here (left >= 1 bytes remain), 0 when none does.
uint32_t ht_utf8_length(const char *text, size_t left);
bool ht_utf8_valid(const char *text, size_t bytes);

#endif

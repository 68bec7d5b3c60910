// Well-formed UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF).
#include "utf8.h"

uint32_t ht_utf8_length(const char *text, size_t left) {
    const uint8_t *s = (const uint8_t *)text;
    if (s[0] < 0x80) {
        return 1;
    }
    const uint32_t length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] < 0xc2 || s[0] > 0xf4 || left < length) {
        return 0;
    }
    for (uint32_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    const bool surrogate = s[0] == 0xed && s[1] > 0x9f;
    const bool beyond = s[0] == 0xf4 && s[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : length;
}

bool ht_utf8_valid(const char *text, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        const uint32_t length = ht_utf8_length(text + at, bytes - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

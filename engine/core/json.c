// Pull reader for JSON (RFC 8259).
#include "json.h"

#include <string.h>

void ht_json_init(ht_json *json, const void *text, uint64_t bytes, uint32_t max_depth) {
    *json = (ht_json){.text = text, .bytes = bytes, .max_depth = max_depth};
}

bool ht_json_fail(ht_json *json, const char *error) {
    if (!json->error) {
        json->error = error;
    }
    return false;
}

// The byte at the reader's place, or -1 at the end.
static int here(const ht_json *json) {
    return json->at < json->bytes ? json->text[json->at] : -1;
}

static void skip_spaces(ht_json *json) {
    int c = here(json);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        json->at++;
        c = here(json);
    }
}

ht_json_kind ht_json_peek(ht_json *json) {
    if (json->error) {
        return HT_JSON_NOTHING;
    }
    skip_spaces(json);
    const int c = here(json);
    switch (c) {
    case '{': return HT_JSON_OBJECT;
    case '[': return HT_JSON_ARRAY;
    case '"': return HT_JSON_STRING;
    case 't':
    case 'f':
    case 'n': return HT_JSON_WORD;
    default: return c == '-' || (c >= '0' && c <= '9') ? HT_JSON_NUMBER : HT_JSON_NOTHING;
    }
}

static bool begin(ht_json *json, ht_json_kind kind, const char *missing) {
    if (json->error) {
        return false;
    }
    if (ht_json_peek(json) != kind) {
        return ht_json_fail(json, missing);
    }
    if (json->depth == json->max_depth) {
        return ht_json_fail(json, "nested too deep");
    }
    json->at++;
    json->depth++;
    json->first = true;
    return true;
}

bool ht_json_begin_object(ht_json *json) {
    return begin(json, HT_JSON_OBJECT, "expected an object");
}

bool ht_json_begin_array(ht_json *json) {
    return begin(json, HT_JSON_ARRAY, "expected an array");
}

// Step to the next member of the open container, or leave it at `close`.
static bool next(ht_json *json, char close, const char *missing) {
    if (json->error) {
        return false;
    }
    skip_spaces(json);
    if (here(json) == close) {
        json->at++;
        json->depth--;
        json->first = false;
        return false;
    }
    if (!json->first) {
        if (here(json) != ',') {
            return ht_json_fail(json, missing);
        }
        json->at++;
    }
    json->first = false;
    return true;
}

bool ht_json_next_key(ht_json *json, char *out, size_t capacity, size_t *length) {
    if (!next(json, '}', "expected ',' or '}'") || !ht_json_string(json, out, capacity, length)) {
        return false;
    }
    skip_spaces(json);
    if (here(json) != ':') {
        return ht_json_fail(json, "expected ':'");
    }
    json->at++;
    return true;
}

bool ht_json_next_item(ht_json *json) {
    return next(json, ']', "expected ',' or ']'");
}

// Length of the well-formed UTF-8 character at the reader's place, 0 when there is none.
static uint32_t utf8_length(const ht_json *json) {
    const uint8_t *s = json->text + json->at;
    const uint64_t left = json->bytes - json->at;
    const uint32_t length = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (length == 1) {
        return 1;
    }
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

// Four hexadecimal digits.
static bool read_hex4(ht_json *json, uint32_t *out) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        const int c = here(json);
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint32_t)(c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            digit = (uint32_t)(c - 'A' + 10);
        } else {
            return ht_json_fail(json, "bad \\u escape");
        }
        value = value << 4 | digit;
        json->at++;
    }
    *out = value;
    return true;
}

// The rest of a \u escape, with its second half when it needs one, as UTF-8.
static bool read_unicode_escape(ht_json *json, char text[4], uint32_t *length) {
    uint32_t code;
    if (!read_hex4(json, &code)) {
        return false;
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        uint32_t low = 0;
        if (json->bytes - json->at < 6 || json->text[json->at] != '\\' ||
            json->text[json->at + 1] != 'u') {
            return ht_json_fail(json, "half a surrogate pair");
        }
        json->at += 2;
        if (!read_hex4(json, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return ht_json_fail(json, "half a surrogate pair");
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        return ht_json_fail(json, "half a surrogate pair");
    }
    if (code < 0x80) {
        text[0] = (char)code;
        *length = 1;
        return true;
    }
    *length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t leads[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (uint32_t i = *length - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    text[0] = (char)(leads[*length] | code);
    return true;
}

// One character of a string, as up to four bytes of UTF-8.
static bool read_character(ht_json *json, char text[4], uint32_t *length) {
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (here(json) != '\\') {
        *length = utf8_length(json);
        if (*length == 0) {
            return ht_json_fail(json, "invalid UTF-8");
        }
        memcpy(text, json->text + json->at, *length);
        json->at += *length;
        return true;
    }
    json->at++;
    const int c = here(json);
    if (c == 'u') {
        json->at++;
        return read_unicode_escape(json, text, length);
    }
    const char *name = c > 0 ? strchr(names, c) : NULL;
    if (!name) {
        return ht_json_fail(json, "bad escape");
    }
    json->at++;
    text[0] = values[name - names];
    *length = 1;
    return true;
}

bool ht_json_string(ht_json *json, char *out, size_t capacity, size_t *length) {
    if (json->error) {
        return false;
    }
    if (ht_json_peek(json) != HT_JSON_STRING) {
        return ht_json_fail(json, "expected a string");
    }
    json->at++;
    size_t used = 0;
    for (int c = here(json); c != '"'; c = here(json)) {
        char text[4];
        uint32_t bytes = 0;
        if (c < 0) {
            return ht_json_fail(json, "string without an end");
        }
        if (c < 0x20) {
            return ht_json_fail(json, "control character in a string");
        }
        if (!read_character(json, text, &bytes)) {
            return false;
        }
        if (out) {
            if (capacity - used <= bytes) {
                return ht_json_fail(json, "string too long");
            }
            memcpy(out + used, text, bytes);
        }
        used += bytes;
    }
    json->at++;
    if (out) {
        if (used == capacity) {
            return ht_json_fail(json, "string too long");
        }
        out[used] = '\0';
    }
    if (length) {
        *length = used;
    }
    return true;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

bool ht_json_u64(ht_json *json, uint64_t *out) {
    if (json->error) {
        return false;
    }
    if (ht_json_peek(json) != HT_JSON_NUMBER) {
        return ht_json_fail(json, "expected a number");
    }
    if (here(json) == '-') {
        return ht_json_fail(json, "negative number");
    }
    const uint64_t limit = (uint64_t)1 << 53; // beyond it, other readers round
    const bool zero = here(json) == '0';
    uint64_t value = 0;
    uint32_t digits = 0;
    for (int c = here(json); is_digit(c); c = here(json)) {
        value = value * 10 + (uint64_t)(c - '0');
        if (value > limit) {
            return ht_json_fail(json, "number above 2^53");
        }
        digits++;
        json->at++;
    }
    if (zero && digits > 1) {
        return ht_json_fail(json, "number with a leading zero");
    }
    const int c = here(json);
    if (c == '.' || c == 'e' || c == 'E') {
        return ht_json_fail(json, "not a whole number");
    }
    *out = value;
    return true;
}

static bool skip_digits(ht_json *json) {
    if (!is_digit(here(json))) {
        return ht_json_fail(json, "bad number");
    }
    while (is_digit(here(json))) {
        json->at++;
    }
    return true;
}

static bool skip_number(ht_json *json) {
    if (here(json) == '-') {
        json->at++;
    }
    const bool zero = here(json) == '0';
    if (zero) {
        json->at++;
    }
    if ((zero && is_digit(here(json))) || (!zero && !skip_digits(json))) {
        return ht_json_fail(json, "bad number");
    }
    if (here(json) == '.') {
        json->at++;
        if (!skip_digits(json)) {
            return false;
        }
    }
    if (here(json) == 'e' || here(json) == 'E') {
        json->at++;
        if (here(json) == '+' || here(json) == '-') {
            json->at++;
        }
        return skip_digits(json);
    }
    return true;
}

static bool skip_word(ht_json *json) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t length = strlen(words[i]);
        if (json->bytes - json->at >= length &&
            memcmp(json->text + json->at, words[i], length) == 0) {
            json->at += length;
            return true;
        }
    }
    return ht_json_fail(json, "unknown word");
}

bool ht_json_skip(ht_json *json) {
    if (json->error) {
        return false;
    }
    switch (ht_json_peek(json)) {
    case HT_JSON_OBJECT:
        ht_json_begin_object(json);
        while (ht_json_next_key(json, NULL, 0, NULL)) {
            ht_json_skip(json);
        }
        return !json->error;
    case HT_JSON_ARRAY:
        ht_json_begin_array(json);
        while (ht_json_next_item(json)) {
            ht_json_skip(json);
        }
        return !json->error;
    case HT_JSON_STRING: return ht_json_string(json, NULL, 0, NULL);
    case HT_JSON_NUMBER: return skip_number(json);
    case HT_JSON_WORD: return skip_word(json);
    case HT_JSON_NOTHING: break;
    }
    return ht_json_fail(json, "expected a value");
}

bool ht_json_end(ht_json *json) {
    if (json->error) {
        return false;
    }
    skip_spaces(json);
    return json->at == json->bytes || ht_json_fail(json, "something follows the end");
}

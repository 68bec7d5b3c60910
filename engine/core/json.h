// A pull reader for JSON of untrusted files: no recursion beyond a depth limit, no memory of its
// own, strings checked to be UTF-8, and the byte where something is wrong.
#ifndef HT_JSON_H
#define HT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Once `error` is set every call returns false and changes nothing.
typedef struct ht_json {
    const uint8_t *text;
    uint64_t bytes;
    uint64_t at; // where the reader stands; after an error, where it was found
    uint32_t depth;
    uint32_t max_depth;
    bool first;        // nothing of the innermost open container was read yet
    const char *error; // NULL while all is well, else what is wrong at `at`
} ht_json;

typedef enum ht_json_kind {
    HT_JSON_NOTHING, // the end, or no value starts here
    HT_JSON_OBJECT,
    HT_JSON_ARRAY,
    HT_JSON_STRING,
    HT_JSON_NUMBER,
    HT_JSON_WORD, // true, false, null
} ht_json_kind;

// `text` is borrowed for the life of the reader.
void ht_json_init(ht_json *json, const void *text, uint64_t bytes, uint32_t max_depth);
// Kind of the value that comes next.
ht_json_kind ht_json_peek(ht_json *json);

// Objects: begin, then while (next_key) read one value each. next_key is false at the end of the
// object, which it then leaves, and on errors. The key goes where ht_json_string would put it.
bool ht_json_begin_object(ht_json *json);
bool ht_json_next_key(ht_json *json, char *out, size_t capacity, size_t *length);
// Arrays alike.
bool ht_json_begin_array(ht_json *json);
bool ht_json_next_item(ht_json *json);

// A string, escapes resolved, followed by a NUL that *length does not count (the string may hold
// NULs itself: compare with strlen). `out` may be NULL to check it only; `length` may be NULL.
// Needs `capacity` > length. The result is never longer than what stands in the file.
bool ht_json_string(ht_json *json, char *out, size_t capacity, size_t *length);
// A whole number 0..2^53 in plain digits.
bool ht_json_u64(ht_json *json, uint64_t *out);
// Any value, checked.
bool ht_json_skip(ht_json *json);
// Nothing but spaces follows.
bool ht_json_end(ht_json *json);

// Record an error of a higher level at the reader's place. Returns false.
bool ht_json_fail(ht_json *json, const char *error);

#endif

// Lists of prompts.
#ifndef HT_APP_PROMPTS_H
#define HT_APP_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

typedef struct ht_prompts {
    char **texts;
    size_t *lines; // where each is in the file, from 1
    size_t count;
    uint64_t hash; // FNV-1a of all texts of the file, also of those beyond the limit
} ht_prompts;

// .jsonl: the "prompt" of each line; else a prompt per line, without empty ones and those that begin
// with #. At most `limit`, 0: all. False with a sentence in `why`.
bool ht_prompts_read(const char *path, size_t limit, ht_prompts *out, char *why, size_t why_bytes);
void ht_prompts_free(ht_prompts *prompts);

// The same one by one: a text, the object it is from (NULL in plain files) and its line. `each` may
// refuse with false and a sentence, which gets file and line in front.
typedef bool (*ht_prompt_fn)(void *user, const char *text, const struct json_t *object, size_t line,
                             char *why, size_t why_bytes);
bool ht_prompts_each(const char *path, ht_prompt_fn each, void *user, char *why, size_t why_bytes);

#endif

// Lists of prompts.
#ifndef HT_APP_PROMPTS_H
#define HT_APP_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ht_prompts {
    char **texts;
    size_t count;
    uint64_t hash; // FNV-1a of all texts of the file, also of those beyond the limit
} ht_prompts;

// .jsonl: the "prompt" of each line; else a prompt per line, without empty ones and those that begin
// with #. At most `limit`, 0: all. False with a sentence in `why`.
bool ht_prompts_read(const char *path, size_t limit, ht_prompts *out, char *why, size_t why_bytes);
void ht_prompts_free(ht_prompts *prompts);

#endif

// Weights in prompts, as users of several programs type them: (word), (word:1.3), [word], BREAK.
#ifndef HALFTONE_PIPELINES_PROMPT_WEIGHTS_H
#define HALFTONE_PIPELINES_PROMPT_WEIGHTS_H

#include <halftone/context.h>

// A stretch of text with one weight.
typedef struct ht_prompt_part {
    char *text; // without brackets and escapes
    float weight;
    bool breaks; // BREAK stood here: what follows starts a new chunk; text is ""
} ht_prompt_part;

typedef struct ht_prompt_parts {
    ht_prompt_part *parts;
    uint32_t count;
} ht_prompt_parts;

// Each ( multiplies by 1.1, each [ divides by it, ":1.3)" replaces the 1.1 of its bracket by 1.3.
// \( \) \[ \] \\ are the characters themselves; a bracket that is not closed reaches to the end.
// Neighbours of the same weight are one part.
HT_API ht_status ht_prompt_parse(ht_context *context, const char *prompt, ht_prompt_parts *out);
HT_API void ht_prompt_parts_clear(ht_context *context, ht_prompt_parts *parts);

#endif

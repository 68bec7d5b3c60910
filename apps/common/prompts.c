// Lists of prompts, from plain lines or JSON lines.
#include "prompts.h"

#include "files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILE_BYTES = 64 << 20 };

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (size_t i = 0; i <= strlen(text); ++i) { // with the end: no two lists run together
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

// A line's prompt, to be freed; NULL with *good when it holds none.
static char *prompt_of(const char *line, bool json, bool *good) {
    line += strspn(line, " \t\r");
    if (!*line || (!json && *line == '#')) {
        return NULL;
    }
    if (!json) {
        char *text = strndup(line, strcspn(line, "\r"));
        *good = text != NULL;
        return text;
    }
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *prompt = json_string_value(json_object_get(object, "prompt"));
    char *text = prompt ? strdup(prompt) : NULL;
    *good = text != NULL;
    json_decref(object);
    return text;
}

static bool add(ht_prompts *out, size_t limit, char *text) {
    out->hash = hash_text(out->hash, text);
    if (limit > 0 && out->count == limit) {
        free(text);
        return true;
    }
    char **larger = realloc(out->texts, (out->count + 1) * sizeof(*larger));
    if (!larger) {
        free(text);
        return false;
    }
    out->texts = larger;
    out->texts[out->count++] = text;
    return true;
}

bool ht_prompts_read(const char *path, size_t limit, ht_prompts *out, char *why, size_t why_bytes) {
    const char *dot = strrchr(path, '.');
    const bool json = dot && (strcasecmp(dot, ".jsonl") == 0 || strcasecmp(dot, ".json") == 0);
    *out = (ht_prompts){.hash = UINT64_C(0xcbf29ce484222325)};
    char *file = ht_file_read_text(path, MAX_FILE_BYTES, why, why_bytes);
    bool good = file != NULL;
    size_t number = 1;
    for (char *line = file; good && line; ++number) {
        char *end = strchr(line, '\n');
        if (end) {
            *end = 0;
        }
        char *text = prompt_of(line, json, &good);
        if (!good) {
            snprintf(why, why_bytes, "'%s' line %zu: expected an object with a text \"prompt\"", path,
                     number);
        } else if (text && !(good = add(out, limit, text))) {
            snprintf(why, why_bytes, "out of memory");
        }
        line = end ? end + 1 : NULL;
    }
    free(file);
    if (good && out->count == 0) {
        snprintf(why, why_bytes, "'%s' holds no prompt", path);
        good = false;
    }
    if (!good) {
        ht_prompts_free(out);
    }
    return good;
}

void ht_prompts_free(ht_prompts *prompts) {
    for (size_t i = 0; i < prompts->count; ++i) {
        free(prompts->texts[i]);
    }
    free(prompts->texts);
    *prompts = (ht_prompts){0};
}

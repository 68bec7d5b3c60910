// Lists of prompts, from plain lines or JSON lines.
#include "prompts.h"

#include "files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILE_BYTES = 64 << 20, REASON = 384 };

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (size_t i = 0; i <= strlen(text); ++i) { // with the end: no two lists run together
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

// What is common to the lines of a file.
typedef struct reader {
    bool json;
    ht_prompt_fn each;
    void *user;
    size_t count;
} reader;

static bool take_json(reader *r, const char *line, size_t number, char *why, size_t why_bytes) {
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    const char *prompt = json_string_value(json_object_get(object, "prompt"));
    if (!object) {
        snprintf(why, why_bytes, "%.*s", (int)sizeof(error.text), error.text);
    } else if (!prompt) {
        snprintf(why, why_bytes, "expected an object with a text \"prompt\"");
    }
    const bool good = prompt && r->each(r->user, prompt, object, number, why, why_bytes);
    r->count += good;
    json_decref(object);
    return good;
}

// A line that holds none is passed over. The line may be changed.
static bool take_line(reader *r, char *line, size_t number, char *why, size_t why_bytes) {
    line += strspn(line, " \t\r");
    if (!*line || (!r->json && *line == '#')) {
        return true;
    }
    if (r->json) {
        return take_json(r, line, number, why, why_bytes);
    }
    line[strcspn(line, "\r")] = 0;
    ++r->count;
    return r->each(r->user, line, NULL, number, why, why_bytes);
}

bool ht_prompts_each(const char *path, ht_prompt_fn each, void *user, char *why, size_t why_bytes) {
    const char *end = ht_file_ending(path);
    reader r = {.json = strcasecmp(end, "jsonl") == 0 || strcasecmp(end, "json") == 0,
                .each = each,
                .user = user};
    char *file = ht_file_read_text(path, MAX_FILE_BYTES, why, why_bytes);
    bool good = file != NULL;
    size_t number = 1;
    for (char *line = file; good && line; ++number) {
        char reason[REASON] = "", *stop = strchr(line, '\n');
        if (stop) {
            *stop = 0;
        }
        good = take_line(&r, line, number, reason, sizeof(reason));
        if (!good) {
            snprintf(why, why_bytes, "'%s' line %zu: %s", path, number, reason);
        }
        line = stop ? stop + 1 : NULL;
    }
    free(file);
    if (good && r.count == 0) {
        snprintf(why, why_bytes, "'%s' holds no prompt", path);
    }
    return good && r.count > 0;
}

typedef struct list {
    ht_prompts *out;
    size_t limit, room;
} list;

static bool add(void *user, const char *text, const json_t *object, size_t number, char *why,
                size_t why_bytes) {
    list *l = user;
    ht_prompts *out = l->out;
    (void)object;
    out->hash = hash_text(out->hash, text);
    if (l->limit > 0 && out->count == l->limit) {
        return true;
    }
    if (out->count == l->room) {
        const size_t room = l->room ? 2 * l->room : 16;
        char **texts = realloc(out->texts, room * sizeof(*texts));
        out->texts = texts ? texts : out->texts;
        size_t *lines = realloc(out->lines, room * sizeof(*lines));
        out->lines = lines ? lines : out->lines;
        l->room = texts && lines ? room : l->room;
    }
    char *own = out->count < l->room ? strdup(text) : NULL;
    if (!own) {
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    out->lines[out->count] = number;
    out->texts[out->count++] = own;
    return true;
}

bool ht_prompts_read(const char *path, size_t limit, ht_prompts *out, char *why, size_t why_bytes) {
    list l = {.out = out, .limit = limit};
    *out = (ht_prompts){.hash = UINT64_C(0xcbf29ce484222325)};
    const bool good = ht_prompts_each(path, add, &l, why, why_bytes);
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
    free(prompts->lines);
    *prompts = (ht_prompts){0};
}

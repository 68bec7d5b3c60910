// Prompts that differ with the seed: {a|b}, {2$$a|b|c}, __NAME__.
#include "batch.h"

#include "common/prompts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 10, MAX_BYTES = 1 << 20, MAX_CHOICES = 256 };

typedef struct text {
    char *data;
    size_t count, room;
} text;

typedef struct state {
    const char *folder;
    uint64_t *random;
    char *why;
    size_t why_bytes;
} state;

static bool expand(state *s, const char *from, size_t length, int depth, text *out);

static bool refuse(state *s, const char *sentence) {
    snprintf(s->why, s->why_bytes, "%s", sentence);
    return false;
}

static bool put(state *s, text *out, const char *data, size_t count) {
    if (out->count + count + 1 > out->room) {
        const size_t room = 2 * (out->count + count) + 64;
        char *larger = room > MAX_BYTES ? NULL : realloc(out->data, room);
        if (!larger) {
            return refuse(s, "the prompt becomes longer than can be held");
        }
        out->data = larger;
        out->room = room;
    }
    memcpy(out->data + out->count, data, count);
    out->count += count;
    out->data[out->count] = 0;
    return true;
}

// splitmix64 (Steele, Lea, Flood 2014); below `count`.
static size_t draw(state *s, size_t count) {
    uint64_t z = *s->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ z >> 31) % count);
}

// A backslash that takes the meaning from what follows; those of weights, as \\(, are none of ours.
static bool is_escape(const char *from, size_t i, size_t length) {
    return from[i] == '\\' && i + 1 < length && strchr("{}|_$", from[i + 1]);
}

// Length up to the brace that closes, from behind the one that opens; `length` when there is none.
// The beginnings of the choices go into `starts`, with one past the last; *count: how many.
static size_t find_choices(const char *from, size_t length, size_t starts[MAX_CHOICES + 1],
                           size_t *count) {
    size_t depth = 0, i;
    *count = 1;
    starts[0] = 0;
    for (i = 0; i < length; ++i) {
        if (is_escape(from, i, length)) {
            ++i;
        } else if (from[i] == '{') {
            ++depth;
        } else if (from[i] == '}' && depth-- == 0) {
            break;
        } else if (from[i] == '|' && depth == 0 && *count < MAX_CHOICES) {
            starts[(*count)++] = i + 1;
        }
    }
    starts[*count] = i + 1;
    return i;
}

// {2$$a|b|c}: two different ones; {2$$ and $$a|b|c}: with " and " between. Moves the first choice behind
// the last "$$".
static size_t read_amount(const char *from, size_t end, size_t *start, const char **between,
                          size_t *between_length) {
    size_t digits = 0, amount = 0;
    while (digits < 3 && digits < end && from[digits] >= '0' && from[digits] <= '9') {
        amount = amount * 10 + (size_t)(from[digits++] - '0');
    }
    *between = ", ";
    *between_length = 2;
    if (digits == 0 || digits + 2 > end || strncmp(from + digits, "$$", 2) != 0) {
        return 1;
    }
    *start = digits + 2;
    for (size_t i = *start; i + 2 <= end; ++i) {
        if (strncmp(from + i, "$$", 2) == 0) {
            *between = from + *start;
            *between_length = i - *start;
            *start = i + 2;
            break;
        }
    }
    return amount;
}

static bool expand_choice(state *s, const char *from, size_t length, int depth, text *out,
                          size_t *used) {
    size_t starts[MAX_CHOICES + 1], count, between_length;
    const char *between;
    *used = find_choices(from, length, starts, &count);
    if (*used == length) {
        return refuse(s, "a { has no }; \\{ is a brace as such");
    }
    size_t amount = read_amount(from, starts[1] - 1, &starts[0], &between, &between_length);
    size_t left[MAX_CHOICES];
    for (size_t i = 0; i < count; ++i) {
        left[i] = i;
    }
    amount = amount < count ? amount : count;
    for (size_t n = 0, rest = count; n < amount; ++n, --rest) {
        const size_t at = draw(s, rest), chosen = left[at];
        memmove(&left[at], &left[at + 1], (rest - at - 1) * sizeof(*left));
        if ((n > 0 && !put(s, out, between, between_length)) ||
            !expand(s, from + starts[chosen], starts[chosen + 1] - 1 - starts[chosen], depth + 1,
                    out)) {
            return false;
        }
    }
    ++*used; // the brace
    return true;
}

// __NAME__ at the beginning of `from`? Length of NAME, 0: no.
static size_t name_length(const char *from, size_t length) {
    size_t i = 2;
    if (length < 5 || strncmp(from, "__", 2) != 0) {
        return 0;
    }
    while (i + 1 < length && strncmp(from + i, "__", 2) != 0) {
        const char c = from[i++];
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/.", c)) {
            return 0;
        }
    }
    return i + 1 < length ? i - 2 : 0;
}

static bool expand_name(state *s, const char *name, size_t length, int depth, text *out) {
    char path[PATH_MAX];
    ht_prompts lines;
    const char *folder = s->folder ? s->folder : "";
    const int n = snprintf(path, sizeof(path), "%s/%.*s.txt", folder, (int)length, name);
    if (!s->folder) {
        snprintf(
            s->why, s->why_bytes,
            "the prompt has __%.*s__: \"wildcards\" or --wildcards says in which folder it is; "
            "\"literal\": true takes it as it is",
            (int)length, name);
        return false;
    }
    if (n < 0 || (size_t)n >= sizeof(path) || *name == '/' || strstr(path + strlen(folder), "..")) {
        return refuse(s, "the name of a wildcard leads out of the folder");
    }
    if (!ht_prompts_read(path, 0, &lines, s->why, s->why_bytes)) {
        return false;
    }
    const char *line = lines.texts[draw(s, lines.count)];
    const bool good = expand(s, line, strlen(line), depth + 1, out);
    ht_prompts_free(&lines);
    return good;
}

static bool expand(state *s, const char *from, size_t length, int depth, text *out) {
    if (depth > MAX_DEPTH) {
        return refuse(s, "wildcards are nested too deeply, or name each other in a circle");
    }
    for (size_t i = 0; i < length;) {
        const size_t name = name_length(from + i, length - i);
        size_t used;
        bool good;
        if (is_escape(from, i, length)) {
            good = put(s, out, from + i + 1, 1);
            used = 2;
        } else if (from[i] == '{') {
            good = expand_choice(s, from + i + 1, length - i - 1, depth, out, &used);
            ++used;
        } else if (name > 0) {
            good = expand_name(s, from + i + 2, name, depth, out);
            used = name + 4;
        } else {
            good = put(s, out, from + i, 1);
            used = 1;
        }
        if (!good) {
            return false;
        }
        i += used;
    }
    return true;
}

char *batch_wildcards(const char *prompt, const char *folder, uint64_t *random, char *why,
                      size_t why_bytes) {
    state s = {.folder = folder, .random = random, .why = why, .why_bytes = why_bytes};
    text out = {0};
    if (!put(&s, &out, "", 0) || !expand(&s, prompt, strlen(prompt), 0, &out)) {
        free(out.data);
        return NULL;
    }
    return out.data;
}

// Weights in prompts. Every byte gets its weight first, brackets being worked off from the inside;
// then bytes of one weight make a part.
#include "prompt_weights.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP 1.1

// An opening bracket that waits for its end.
typedef struct bracket {
    char kind;
    size_t from; // first byte of the text inside, in `text`
} bracket;

typedef struct parser {
    char *text;      // without brackets and escapes
    double *weights; // of each byte
    size_t count;
    bracket *open;
    size_t n_open;
} parser;

static void scale(parser *p, size_t from, double factor) {
    for (size_t i = from; i < p->count; ++i) {
        p->weights[i] *= factor;
    }
}

// The last open bracket of this kind; SIZE_MAX: none.
static size_t last_open(const parser *p, char kind) {
    for (size_t i = p->n_open; i-- > 0;) {
        if (p->open[i].kind == kind) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void remove_open(parser *p, size_t index) {
    memmove(p->open + index, p->open + index + 1, (p->n_open - index - 1) * sizeof(*p->open));
    --p->n_open;
}

// ":1.3)" at `at`: its length and value, or 0.
static size_t explicit_weight(const char *at, double *value) {
    char *end;
    const char *number = at + 1;
    if (*at != ':') {
        return 0;
    }
    while (isspace((unsigned char)*number)) {
        ++number;
    }
    if (!isdigit((unsigned char)*number) && !strchr("+-.", *number)) {
        return 0;
    }
    *value = strtod(number, &end);
    while (end != number && isspace((unsigned char)*end)) {
        ++end;
    }
    bool good = end != number && *end == ')' && isfinite(*value) && fabs(*value) <= 100;
    return good ? (size_t)(end - at) + 1 : 0;
}

static void put(parser *p, char c) {
    p->text[p->count] = c;
    p->weights[p->count++] = 1;
}

// One character or mark; returns its bytes.
static size_t take(parser *p, const char *at) {
    double value;
    size_t round = last_open(p, '('), square = last_open(p, '['), length;
    if (*at == '\\' && at[1] && strchr("()[]\\", at[1])) {
        put(p, at[1]);
        return 2;
    }
    if (*at == '(' || *at == '[') {
        p->open[p->n_open++] = (bracket){.kind = *at, .from = p->count};
    } else if (round != SIZE_MAX && (length = explicit_weight(at, &value)) > 0) {
        scale(p, p->open[round].from, value);
        remove_open(p, round);
        return length;
    } else if (*at == ')' && round != SIZE_MAX) {
        scale(p, p->open[round].from, STEP);
        remove_open(p, round);
    } else if (*at == ']' && square != SIZE_MAX) {
        scale(p, p->open[square].from, 1 / STEP);
        remove_open(p, square);
    } else {
        put(p, *at);
    }
    return 1;
}

// The word BREAK of its own at i.
static bool is_break(const parser *p, size_t i) {
    bool begins = i == 0 || isspace((unsigned char)p->text[i - 1]);
    bool ends = i + 5 == p->count || (i + 5 < p->count && isspace((unsigned char)p->text[i + 5]));
    return i + 5 <= p->count && memcmp(p->text + i, "BREAK", 5) == 0 && begins && ends;
}

static ht_status add(ht_context *context, ht_prompt_parts *out, const parser *p, size_t begin,
                     size_t end, bool breaks) {
    ht_prompt_part *larger =
        ht_realloc(context, out->parts, (out->count + 1) * sizeof(*out->parts));
    char *text = ht_alloc(context, end - begin + 1);
    if (larger) {
        out->parts = larger;
    }
    if (!larger || !text) {
        ht_free(context, text);
        return HT_ERR_NO_MEMORY;
    }
    memcpy(text, p->text + begin, breaks ? 0 : end - begin);
    text[breaks ? 0 : end - begin] = 0;
    out->parts[out->count++] = (ht_prompt_part){
        .text = text, .weight = breaks ? 1 : (float)p->weights[begin], .breaks = breaks};
    return HT_OK;
}

static ht_status collect(ht_context *context, const parser *p, ht_prompt_parts *out) {
    ht_status status = HT_OK;
    for (size_t i = 0; i < p->count && status == HT_OK;) {
        size_t end = i + 1;
        if (is_break(p, i)) {
            status = add(context, out, p, i, i, true);
            i += 5;
            continue;
        }
        while (end < p->count && p->weights[end] == p->weights[i] && !is_break(p, end)) {
            ++end;
        }
        status = add(context, out, p, i, end, false);
        i = end;
    }
    if (status == HT_OK && out->count == 0) { // an empty prompt is an empty text
        status =
            add(context, out, &(parser){.text = p->text, .weights = &(double){1}}, 0, 0, false);
    }
    return status;
}

ht_status ht_prompt_parse(ht_context *context, const char *prompt, ht_prompt_parts *out) {
    size_t bytes = strlen(prompt) + 1;
    parser p = {.text = ht_alloc(context, bytes),
                .weights = ht_alloc(context, bytes * sizeof(*p.weights)),
                .open = ht_alloc(context, bytes * sizeof(*p.open))};
    bool all = p.text && p.weights && p.open;
    ht_status status = all ? HT_OK : HT_ERR_NO_MEMORY;
    *out = (ht_prompt_parts){0};
    for (size_t at = 0; all && prompt[at];) {
        at += take(&p, prompt + at);
    }
    for (size_t i = 0; i < p.n_open; ++i) {
        scale(&p, p.open[i].from, p.open[i].kind == '(' ? STEP : 1 / STEP);
    }
    if (status == HT_OK) {
        status = collect(context, &p, out);
    }
    ht_free(context, p.text);
    ht_free(context, p.weights);
    ht_free(context, p.open);
    if (status != HT_OK) {
        ht_prompt_parts_clear(context, out);
    }
    return status;
}

void ht_prompt_parts_clear(ht_context *context, ht_prompt_parts *parts) {
    for (uint32_t i = 0; i < parts->count; ++i) {
        ht_free(context, parts->parts[i].text);
    }
    ht_free(context, parts->parts);
    *parts = (ht_prompt_parts){0};
}

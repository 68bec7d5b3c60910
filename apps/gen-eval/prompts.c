// Prompts: JSON lines with what each picture must show, or plain lines.
#include "eval.h"

#include "common/prompts.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY = 192 };

static bool demand(const ht_judge_config *judge, const char *head_name, const char *class_name,
                   eval_prompt *out, char why[WHY]) {
    const ht_judge_head *head = ht_judge_find(judge, head_name);
    uint32_t class = head ? ht_judge_class(head, class_name) : UINT32_MAX;
    if (class == UINT32_MAX) {
        snprintf(why, WHY, "the judge knows no %.60s '%.60s'", head_name, class_name);
        return false;
    }
    out->want[head - judge->head] = (int)class;
    return true;
}

static const char *head_of(const char *what, size_t object, char name[HT_JUDGE_NAME]) {
    snprintf(name, HT_JUDGE_NAME, "%.20s_%c", what, (char)('a' + object));
    return name;
}

// How many objects the judge tells apart: shape_a, shape_b, ..
static size_t most_objects(const ht_judge_config *judge) {
    char name[HT_JUDGE_NAME];
    size_t count = 0;
    while (count < HT_JUDGE_MAX_HEADS && ht_judge_find(judge, head_of("shape", count, name))) {
        ++count;
    }
    return count;
}

// Members of object 0 name heads that end in _a, those of object 1 in _b, ..
static bool demand_object(const ht_judge_config *judge, json_t *object, size_t index, eval_prompt *out,
                          char why[WHY]) {
    char head[HT_JUDGE_NAME];
    const char *what;
    json_t *value;
    if (!json_object_get(object, "shape") || !json_object_get(object, "color")) {
        snprintf(why, WHY, "an object needs \"shape\" and \"color\"");
        return false;
    }
    json_object_foreach(object, what, value) {
        if (!json_is_string(value)) {
            snprintf(why, WHY, "\"%.60s\" of an object must be a text", what);
            return false;
        }
        if (!demand(judge, head_of(what, index, head), json_string_value(value), out, why)) {
            return false;
        }
    }
    return true;
}

// Shape and colour of an object that is not there are "none".
static bool demand_objects(const ht_judge_config *judge, const json_t *list, eval_prompt *out,
                           char why[WHY]) {
    const size_t count = json_array_size(list), most = most_objects(judge);
    char head[HT_JUDGE_NAME];
    if (count < 1 || count > most) {
        snprintf(why, WHY, "\"objects\" must hold 1 to %zu objects", most);
        return false;
    }
    for (size_t i = 0; i < count; ++i) {
        if (!demand_object(judge, json_array_get(list, i), i, out, why)) {
            return false;
        }
    }
    for (size_t i = count; i < most; ++i) {
        if (!demand(judge, head_of("shape", i, head), "none", out, why) ||
            !demand(judge, head_of("color", i, head), "none", out, why)) {
            return false;
        }
    }
    return true;
}

// Every member but "objects" names a head; null demands nothing. The first head (how things stand, or
// what moves) is always demanded.
static bool read_want(const ht_judge_config *judge, json_t *want, eval_prompt *out, char why[WHY]) {
    const char *name;
    json_t *value;
    if (!json_is_object(want)) {
        snprintf(why, WHY, "\"want\" must be an object");
        return false;
    }
    if (!json_is_string(json_object_get(want, judge->head[0].name))) {
        snprintf(why, WHY, "\"%s\" must be a text", judge->head[0].name);
        return false;
    }
    json_object_foreach(want, name, value) {
        if (strcmp(name, "objects") == 0 || json_is_null(value)) {
            continue;
        }
        if (!json_is_string(value)) {
            snprintf(why, WHY, "\"%.60s\" must be a text", name);
            return false;
        }
        if (!demand(judge, name, json_string_value(value), out, why)) {
            return false;
        }
    }
    out->wants = true;
    return demand_objects(judge, json_object_get(want, "objects"), out, why);
}

typedef struct reader {
    const ht_judge_config *judge;
    eval_prompts *out;
    size_t limit, room;
} reader;

static bool add(void *user, const char *text, const json_t *object, size_t line, char *why,
                size_t why_bytes) {
    reader *r = user;
    eval_prompts *p = r->out;
    json_t *want = json_object_get(object, "want");
    char reason[WHY] = "out of memory";
    (void)line;
    if (p->count == r->limit) {
        return true;
    }
    if (p->count == r->room) {
        const size_t room = r->room ? 2 * r->room : 64;
        eval_prompt *larger = realloc(p->items, room * sizeof(*larger));
        p->items = larger ? larger : p->items;
        r->room = larger ? room : r->room;
    }
    char *own = p->count < r->room ? strdup(text) : NULL;
    bool good = own != NULL;
    if (good) {
        eval_prompt *out = &p->items[p->count++];
        *out = (eval_prompt){.text = own};
        for (size_t i = 0; i < HT_JUDGE_MAX_HEADS; ++i) {
            out->want[i] = -1;
        }
        good = !r->judge || !want || json_is_null(want) || read_want(r->judge, want, out, reason);
        p->wanting += good && out->wants;
    }
    if (!good) {
        snprintf(why, why_bytes, "%s", reason);
    }
    return good;
}

bool eval_prompts_read(const eval_options *options, const ht_judge_config *judge, ht_app_log *log,
                       eval_prompts *out) {
    char why[PATH_MAX + WHY];
    reader r = {.judge = judge, .out = out, .limit = options->limit ? options->limit : SIZE_MAX};
    const bool good = ht_prompts_each(out->path, add, &r, why, sizeof(why));
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
    }
    return good;
}

void eval_prompts_free(eval_prompts *prompts) {
    for (size_t i = 0; i < prompts->count; ++i) {
        free(prompts->items[i].text);
    }
    free(prompts->items);
    *prompts = (eval_prompts){0};
}

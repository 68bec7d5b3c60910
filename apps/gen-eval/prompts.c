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

// Object 0 is shape_a and color_a, object 1 shape_b and color_b; one that is not there is "none".
static bool demand_objects(const ht_judge_config *judge, const json_t *list, eval_prompt *out,
                           char why[WHY]) {
    static const char *const heads[2][2] = {{"shape_a", "color_a"}, {"shape_b", "color_b"}};
    size_t count = json_array_size(list);
    if (count < 1 || count > 2) {
        snprintf(why, WHY, "\"objects\" must hold one or two objects");
        return false;
    }
    for (size_t i = 0; i < 2; ++i) {
        const json_t *object = json_array_get(list, i);
        const char *shape = json_string_value(json_object_get(object, "shape"));
        const char *color = json_string_value(json_object_get(object, "color"));
        if (i >= count) {
            shape = color = "none";
        }
        if (!shape || !color) {
            snprintf(why, WHY, "an object needs \"shape\" and \"color\"");
            return false;
        }
        if (!demand(judge, heads[i][0], shape, out, why) ||
            !demand(judge, heads[i][1], color, out, why)) {
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

// Prompts: JSON lines with what each picture must show, or plain lines.
#include "eval.h"

#include "common/files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILE_BYTES = 64 << 20, WHY = 192 };

static bool demand(const ht_judge_config *judge, const char *head_name, const char *class_name,
                   eval_prompt *out, char why[WHY]) {
    const ht_judge_head *head = ht_judge_find(judge, head_name);
    uint32_t class = head ? ht_judge_class(head, class_name) : UINT32_MAX;
    if (class == UINT32_MAX) {
        snprintf(why, WHY, "the judge knows no %s '%.60s'", head_name, class_name);
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

static bool read_want(const ht_judge_config *judge, const json_t *want, eval_prompt *out,
                      char why[WHY]) {
    static const char *const plain[] = {"layout", "ground", "sky"};
    if (!json_is_object(want)) {
        snprintf(why, WHY, "\"want\" must be an object");
        return false;
    }
    for (size_t i = 0; i < 3; ++i) {
        const json_t *value = json_object_get(want, plain[i]);
        if (i > 0 && (!value || json_is_null(value))) {
            continue;
        }
        if (!json_is_string(value)) {
            snprintf(why, WHY, "\"%s\" must be a text", plain[i]);
            return false;
        }
        if (!demand(judge, plain[i], json_string_value(value), out, why)) {
            return false;
        }
    }
    out->wants = true;
    return demand_objects(judge, json_object_get(want, "objects"), out, why);
}

static bool read_json(const ht_judge_config *judge, const char *line, eval_prompt *out,
                      char why[WHY]) {
    json_error_t error;
    json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    const json_t *prompt = json_object_get(json, "prompt");
    const json_t *want = json_object_get(json, "want");
    bool good = false;
    if (!json) {
        snprintf(why, WHY, "%.*s", WHY - 1, error.text);
    } else if (!json_is_string(prompt)) {
        snprintf(why, WHY, "expected an object with a text \"prompt\"");
    } else {
        out->text = strdup(json_string_value(prompt));
        good = out->text != NULL;
        snprintf(why, WHY, "out of memory");
        if (good && judge && want && !json_is_null(want)) {
            good = read_want(judge, want, out, why);
        }
    }
    json_decref(json);
    return good;
}

// False with the sentence in `why`; a line without a prompt is passed over.
static bool read_line(eval_prompts *p, const ht_judge_config *judge, bool json, const char *line,
                      char why[WHY]) {
    line += strspn(line, " \t\r");
    if (!*line || (!json && *line == '#')) {
        return true;
    }
    eval_prompt *out = &p->items[p->count];
    for (size_t i = 0; i < HT_JUDGE_MAX_HEADS; ++i) {
        out->want[i] = -1;
    }
    ++p->count;
    if (json) {
        bool good = read_json(judge, line, out, why);
        p->wanting += good && out->wants;
        return good;
    }
    out->text = strndup(line, strcspn(line, "\r"));
    snprintf(why, WHY, "out of memory");
    return out->text != NULL;
}

static size_t count_lines(const char *text) {
    size_t count = 1;
    for (; *text; ++text) {
        count += *text == '\n';
    }
    return count;
}

bool eval_prompts_read(const eval_options *options, const ht_judge_config *judge, ht_app_log *log,
                       eval_prompts *out) {
    char why[PATH_MAX + WHY];
    const char *dot = strrchr(out->path, '.');
    bool json = dot && (strcasecmp(dot, ".jsonl") == 0 || strcasecmp(dot, ".json") == 0);
    char *text = ht_file_read_text(out->path, MAX_FILE_BYTES, why, sizeof(why));
    if (!text) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    out->items = calloc(count_lines(text), sizeof(*out->items));
    bool good = out->items != NULL;
    size_t number = 1, limit = options->limit ? options->limit : SIZE_MAX;
    for (char *line = text; good && line && out->count < limit; ++number) {
        char reason[WHY] = "", *end = strchr(line, '\n');
        if (end) {
            *end = 0;
        }
        if (!read_line(out, judge, json, line, reason)) {
            ht_app_say(log, HT_LOG_ERROR, "'%s' line %zu: %s", out->path, number, reason);
            good = false;
        }
        line = end ? end + 1 : NULL;
    }
    free(text);
    if (good && out->count == 0) {
        ht_app_say(log, HT_LOG_ERROR, "'%s' holds no prompt", out->path);
        good = false;
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

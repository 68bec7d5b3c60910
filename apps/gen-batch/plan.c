// The file of jobs, line by line.
#include "batch.h"

#include "common/files.h"
#include "common/prompts.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILE_BYTES = 256 << 20 };

static bool is_json(const char *path) {
    const char *end = ht_file_ending(path);
    return strcasecmp(end, "jsonl") == 0 || strcasecmp(end, "json") == 0;
}

static bool is_blank(const char *line) {
    line += strspn(line, " \t\r");
    return !*line || *line == '#';
}

// One line as an object; NULL with a sentence in `why`.
static json_t *parse(const char *line, char *why, size_t why_bytes) {
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (!object) {
        snprintf(why, why_bytes, "%.*s (at character %d)", (int)sizeof(error.text), error.text,
                 error.column);
    } else if (!json_is_object(object)) {
        snprintf(why, why_bytes, "expected an object, as {\"prompt\": \"a red ball\"}");
        json_decref(object);
        object = NULL;
    }
    return object;
}

// The line of defaults holds nothing else. NULL: it is none, or is wrong (with a sentence in `why`).
static json_t *defaults_of(const json_t *line, char *why, size_t why_bytes) {
    json_t *defaults = json_object_get(line, "defaults");
    *why = 0;
    if (defaults && (json_object_size(line) != 1 || !json_is_object(defaults))) {
        snprintf(why, why_bytes, "expected {\"defaults\": {..}} and nothing else in this line");
        return NULL;
    }
    return defaults;
}

// Call for each line that is not blank, with its number from 1; false stops.
typedef bool (*line_fn)(void *user, const char *line, size_t number);
static bool each_line(const char *path, ht_app_log *log, line_fn each, void *user) {
    char why[BATCH_WHY];
    char *text = ht_file_read_text(path, MAX_FILE_BYTES, why, sizeof(why));
    if (!text) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    bool good = true;
    size_t number = 1;
    for (char *line = text; good && line; ++number) {
        char *end = strchr(line, '\n');
        if (end) {
            *end = 0;
        }
        good = is_blank(line) || each(user, line, number);
        line = end ? end + 1 : NULL;
    }
    free(text);
    return good;
}

typedef struct reader {
    const batch_options *options;
    ht_app_log *log;
    batch_plan *plan;
    const ht_job *defaults;
    ht_job *out;  // of the first line, for batch_plan_defaults
    size_t first; // number of the first line that is not blank
} reader;

static bool complain(const reader *r, size_t number, const char *why) {
    ht_app_say(r->log, HT_LOG_ERROR, "'%s' line %zu: %s", r->options->jobs, number, why);
    return false;
}

static bool read_line(void *user, const char *line, size_t number) {
    reader *r = user;
    char why[BATCH_WHY] = "";
    json_t *object = parse(line, why, sizeof(why));
    const bool first = r->first == 0;
    r->first = first ? number : r->first;
    if (!object) {
        return complain(r, number, why);
    }
    bool good;
    if (defaults_of(object, why, sizeof(why)) || *why) {
        good = first && !*why; // taken by batch_plan_defaults
        if (!*why) {
            snprintf(why, sizeof(why), "\"defaults\" belong into the first line");
        }
    } else {
        good = batch_expand(r->options, r->defaults, object, number, r->plan, why, sizeof(why));
    }
    json_decref(object);
    return good || complain(r, number, why);
}

// Only the first line is looked at: always "false", to stop.
static bool read_defaults(void *user, const char *line, size_t number) {
    reader *r = user;
    char why[BATCH_WHY] = "";
    json_t *object = parse(line, why, sizeof(why));
    r->first = number;
    json_t *defaults = object ? defaults_of(object, why, sizeof(why)) : NULL;
    if (defaults && ht_job_read_json(r->out, defaults, why, sizeof(why)) && r->out->prompt) {
        snprintf(why, sizeof(why), "\"defaults\" hold no \"prompt\"");
    } else if (defaults && !*why) {
        json_array_append(r->plan->texts, defaults);
    }
    json_decref(object);
    if (*why) {
        complain(r, number, why);
        r->out = NULL;
    }
    return false;
}

bool batch_plan_defaults(const batch_options *options, ht_app_log *log, batch_plan *plan,
                         ht_job *defaults) {
    reader r = {.options = options, .log = log, .plan = plan, .out = defaults};
    plan->texts = plan->texts ? plan->texts : json_array();
    if (!is_json(options->jobs)) {
        return true;
    }
    each_line(options->jobs, log, read_defaults, &r);
    return r.out && (r.first > 0 || *log->error == 0);
}

// A plain list: a job per prompt.
static bool read_prompts(const reader *r) {
    char why[BATCH_WHY];
    ht_prompts prompts;
    if (!ht_prompts_read(r->options->jobs, 0, &prompts, why, sizeof(why))) {
        ht_app_say(r->log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < prompts.count && good; ++i) {
        json_t *line = json_pack("{s:s}", "prompt", prompts.texts[i]);
        snprintf(why, sizeof(why), "the prompt is not UTF-8");
        good = (line && batch_expand(r->options, r->defaults, line, prompts.lines[i], r->plan, why,
                                     sizeof(why))) ||
               complain(r, prompts.lines[i], why);
        json_decref(line);
    }
    ht_prompts_free(&prompts);
    return good;
}

bool batch_plan_read(const batch_options *options, const ht_job *defaults, ht_app_log *log,
                     batch_plan *plan) {
    reader r = {.options = options, .log = log, .plan = plan, .defaults = defaults};
    plan->texts = plan->texts ? plan->texts : json_array();
    plan->seen = json_object();
    const bool good =
        is_json(options->jobs) ? each_line(options->jobs, log, read_line, &r) : read_prompts(&r);
    if (good && plan->count == 0) {
        ht_app_say(log, HT_LOG_ERROR, "'%s' holds no job", options->jobs);
    }
    return good && plan->count > 0;
}

void batch_plan_free(batch_plan *plan) {
    for (size_t i = 0; i < plan->count; ++i) {
        for (size_t k = 0; k < HT_MAX_BATCH; ++k) {
            free(plan->tasks[i].paths[k]);
        }
    }
    free(plan->tasks);
    json_decref(plan->texts);
    json_decref(plan->seen);
    *plan = (batch_plan){0};
}

// The tasks of one line: its lists multiplied out, seeds chosen, wildcards drawn.
#include "batch.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

// What a line may hold besides the fields of a job.
static const char *const own_keys[] = {"id",          "name",      "matrix", "prompts",
                                       "prompt_file", "wildcards", "literal"};

typedef struct line {
    const batch_options *options;
    batch_plan *plan;
    size_t number;
    const char *id, *pattern, *wildcards;
    bool literal;
    char *why;
    size_t why_bytes;
} line;

static bool refuse(const line *l, const char *sentence) {
    snprintf(l->why, l->why_bytes, "%s", sentence);
    return false;
}

static bool take_text(const line *l, const json_t *object, const char *key, const char **out) {
    const json_t *value = json_object_get(object, key);
    if (value &&
        (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))) {
        snprintf(l->why, l->why_bytes, "\"%s\": expected a text", key);
        return false;
    }
    *out = value ? json_string_value(value) : *out;
    return true;
}

static bool take_own(line *l, const json_t *object) {
    const json_t *literal = json_object_get(object, "literal");
    if (literal && !json_is_boolean(literal)) {
        return refuse(l, "\"literal\": expected true or false");
    }
    l->literal = literal ? json_is_true(literal) : l->options->literal;
    return take_text(l, object, "id", &l->id) && take_text(l, object, "name", &l->pattern) &&
           take_text(l, object, "wildcards", &l->wildcards);
}

// A text that lives as long as the plan; takes over one of malloc. NULL: out of memory, not UTF-8.
static const char *keep(batch_plan *plan, char *text) {
    json_t *value = text ? json_string(text) : NULL;
    free(text);
    return json_array_append_new(plan->texts, value) == 0 ? json_string_value(value) : NULL;
}

static batch_task *add_task(batch_plan *plan) {
    if (plan->count == BATCH_MAX_TASKS) {
        return NULL;
    }
    if ((plan->count & (plan->count - 1)) == 0) { // room for a power of two
        const size_t room = plan->count ? 2 * plan->count : 1;
        batch_task *larger = realloc(plan->tasks, room * sizeof(*larger));
        if (!larger) {
            return NULL;
        }
        plan->tasks = larger;
    }
    batch_task *task = &plan->tasks[plan->count];
    *task = (batch_task){.number = ++plan->count};
    return task;
}

// The key is of what was asked for, so that a line may move; the same asked twice is told apart by how
// often it was there before. So is the seed of a job that names none.
static bool identify(batch_plan *plan, batch_task *task) {
    json_t *asked = ht_job_json(&task->job);
    char *text = asked ? json_dumps(asked, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(asked);
    if (!text) {
        return false;
    }
    const XXH128_hash_t hash = XXH3_128bits(text, strlen(text));
    free(text);
    snprintf(task->key, sizeof(task->key), "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    const json_int_t before = json_integer_value(json_object_get(plan->seen, task->key));
    if (json_object_set_new(plan->seen, task->key, json_integer(before + 1)) != 0) {
        return false;
    }
    if (before > 0) {
        const size_t used = strlen(task->key);
        snprintf(task->key + used, sizeof(task->key) - used, "-%lld", (long long)before + 1);
    }
    if (task->job.seed < 0) {
        task->job.seed = (int64_t)(XXH3_64bits(task->key, strlen(task->key)) & UINT32_MAX);
    }
    return true;
}

static bool draw_wildcards(const line *l, batch_task *task) {
    ht_job *job = &task->job;
    const char **texts[] = {&job->prompt, &job->negative_prompt};
    uint64_t random = (uint64_t)job->seed;
    for (size_t i = 0; i < 2 && !l->literal; ++i) {
        if (!*texts[i] || !strpbrk(*texts[i], "{_\\")) {
            continue;
        }
        char *text = batch_wildcards(*texts[i], l->wildcards, &random, l->why, l->why_bytes);
        if (!text) {
            return false;
        }
        *texts[i] = keep(l->plan, text);
        if (!*texts[i]) {
            return refuse(l, "out of memory, or a wildcard is not UTF-8");
        }
    }
    return true;
}

// One combination of the lists: batch_count tasks.
static bool add_tasks(const line *l, const ht_job *job) {
    for (uint32_t i = 0; i < job->batch_count; ++i) {
        batch_task *task = add_task(l->plan);
        if (!task) {
            snprintf(l->why, l->why_bytes, "there are more than %d jobs, or memory is short",
                     BATCH_MAX_TASKS);
            return false;
        }
        task->job = *job;
        task->job.batch_count = 1;
        if (job->seed >= 0) {
            task->job.seed += (int64_t)i * job->batch_size;
        }
        task->line = l->number;
        task->id = l->id;
        task->pattern = l->pattern;
        if (!identify(l->plan, task)) {
            return refuse(l, "out of memory");
        }
        if (!draw_wildcards(l, task)) {
            return false;
        }
    }
    return true;
}

bool batch_expand(const batch_options *options, const ht_job *defaults, const json_t *object,
                  size_t number, batch_plan *plan, char *why, size_t why_bytes) {
    line l = {.options = options,
              .plan = plan,
              .number = number,
              .pattern = options->name,
              .wildcards = options->wildcards,
              .why = why,
              .why_bytes = why_bytes};
    ht_job base = *defaults;
    batch_axes axes;
    json_t *fields = json_deep_copy(object); // owns the texts of the tasks
    if (!fields || json_array_append_new(plan->texts, fields) != 0) {
        return refuse(&l, "out of memory");
    }
    if (!take_own(&l, fields) || !batch_axes_read(fields, &axes, why, why_bytes)) {
        return false;
    }
    json_t *plain = json_copy(fields);
    for (size_t i = 0; i < sizeof(own_keys) / sizeof(*own_keys); ++i) {
        json_object_del(plain, own_keys[i]);
    }
    bool good = ht_job_read_json(&base, plain, why, why_bytes);
    json_decref(plain);
    if (good && base.prompt && axes.count > 0 && strcmp(axes.axes[0].key, "prompt") == 0) {
        good = refuse(&l, "\"prompt\" and a list of prompts exclude each other");
    }
    for (size_t i = 0; i < axes.combinations && good; ++i) {
        ht_job job = base;
        json_t *values = batch_axes_at(&axes, i);
        good = json_array_append_new(plan->texts, values) == 0 &&
               ht_job_read_json(&job, values, why, why_bytes) &&
               ht_job_finish(&job, true, why, why_bytes) && add_tasks(&l, &job);
    }
    batch_axes_free(&axes);
    return good;
}

// In which order tasks are done, and which of them are this part's.
#include "batch.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

// What the engine keeps from one picture to the next, most expensive first: LoRAs, the sizes that graphs
// are built for, the encoded texts.
static const char *const kept[] = {"lora",       "lora_dir",    "width",       "height",
                                   "batch_size", "hires_scale", "hires_width", "hires_height",
                                   "clip_skip",  "cfg_scale",   "prompt",      "negative_prompt"};
enum { KEPT = sizeof(kept) / sizeof(*kept) };

typedef struct place {
    batch_task *task;
    size_t
        rank[KEPT]; // first task of the group with the same value in this field and those before it
} place;

static int compare(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->task->group != y->task->group) {
        return x->task->group < y->task->group ? -1 : 1;
    }
    for (size_t i = 0; i < KEPT; ++i) {
        if (x->rank[i] != y->rank[i]) {
            return x->rank[i] < y->rank[i] ? -1 : 1;
        }
    }
    return x->task->number < y->task->number ? -1 : 1;
}

static void number_groups(batch_plan *plan) {
    batch_task **first = malloc(plan->count * sizeof(*first)); // of each group
    plan->groups = 0;
    for (size_t i = 0; i < plan->count && first; ++i) {
        batch_task *task = &plan->tasks[i];
        size_t g = plan->groups; // the last one is the most likely
        while (g > 0 && !ht_job_same_model(&first[g - 1]->job, &task->job)) {
            --g;
        }
        if (g == 0) {
            first[plan->groups++] = task;
            g = plan->groups;
        }
        task->group = g - 1;
    }
    free(first);
}

// The number of the first task that has the value of this one, among those that agree in everything
// before: `seen` holds values with where they begin. 0: out of memory.
static size_t find_rank(json_t *seen, size_t begin, const batch_task *task, const ht_flag *flag) {
    json_t *value = json_pack("[I, o]", (json_int_t)begin, ht_job_field_json(&task->job, flag));
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    size_t number = text ? (size_t)json_integer_value(json_object_get(seen, text)) : 0;
    if (text && number == 0 &&
        json_object_set_new(seen, text, json_integer((json_int_t)task->number)) == 0) {
        number = task->number;
    }
    free(text);
    return number;
}

static bool rank(place *places, size_t count, size_t field) {
    const ht_flag *flag = ht_job_field_find(kept[field]);
    json_t *seen = json_object();
    bool good = seen != NULL;
    size_t begin = 0; // of the tasks that agree in everything before this field
    for (size_t i = 0; i < count && good; ++i) {
        place *p = &places[i];
        const place *b = &places[begin];
        if (p->task->group != b->task->group ||
            memcmp(p->rank, b->rank, field * sizeof(*p->rank)) != 0) {
            begin = i;
        }
        const bool like_last =
            i > begin && ht_job_same_field(&places[i - 1].task->job, &p->task->job, flag);
        p->rank[field] =
            like_last ? places[i - 1].rank[field] : find_rank(seen, begin, p->task, flag);
        good = p->rank[field] > 0;
    }
    json_decref(seen);
    qsort(places, count, sizeof(*places), compare);
    return good;
}

size_t batch_order(batch_plan *plan, const batch_options *options, batch_task **tasks) {
    place *places = calloc(plan->count, sizeof(*places));
    number_groups(plan);
    if (!places) {
        return 0;
    }
    for (size_t i = 0; i < plan->count; ++i) {
        places[i].task = &plan->tasks[i];
    }
    qsort(places, plan->count, sizeof(*places), compare);
    for (size_t field = 0; field < KEPT && rank(places, plan->count, field); ++field) {
    }
    const size_t parts = options->shards ? options->shards : 1;
    const size_t part = options->shards ? options->shard - 1 : 0;
    const size_t begin = plan->count * part / parts, end = plan->count * (part + 1) / parts;
    for (size_t i = begin; i < end; ++i) {
        tasks[i - begin] = places[i].task;
    }
    free(places);
    return end - begin;
}

// Names of pictures, by a pattern.
#include "batch.h"

#include "common/files.h"
#include "common/video.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_NAME = 400, MAX_VALUE = 120 };

bool batch_name_is_inside(const char *path) {
    const size_t length = strlen(path);
    if (length == 0 || length > MAX_NAME + 64 || path[0] == '/' || path[length - 1] == '/') {
        return false;
    }
    for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        const size_t n = strcspn(part, "/");
        if (n == 0 || part[0] == '.') { // also ".." and what we keep hidden
            return false;
        }
    }
    return true;
}

// Whatever a file system or another system's shell takes amiss becomes _; cut between characters.
static void clean(char *text) {
    size_t length = strlen(text);
    if (length > MAX_VALUE) {
        length = MAX_VALUE;
        while (length > 0 && (text[length] & 0xc0) == 0x80) {
            --length;
        }
        text[length] = 0;
    }
    for (char *c = text; *c; ++c) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || strchr("/\\:*?\"<>|", *c)) {
            *c = '_';
        }
    }
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '.')) {
        text[--length] = 0;
    }
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void field_text(const ht_job *job, const ht_flag *field, char *out, size_t bytes) {
    const void *where = (const char *)job + field->offset;
    const ht_flag_list *list = where;
    switch (field->kind) {
    case HT_FLAG_BOOL: snprintf(out, bytes, "%s", *(const bool *)where ? "true" : "false"); break;
    case HT_FLAG_TEXT: {
        const char *text = *(const char *const *)where;
        snprintf(out, bytes, "%s", text ? base_name(text) : "none");
        break;
    }
    case HT_FLAG_U32: snprintf(out, bytes, "%u", *(const uint32_t *)where); break;
    case HT_FLAG_I64: snprintf(out, bytes, "%lld", (long long)*(const int64_t *)where); break;
    case HT_FLAG_REAL: snprintf(out, bytes, "%g", *(const double *)where); break;
    default: snprintf(out, bytes, "%s", list->count ? base_name(list->items[0]) : "none"); break;
    }
}

// The value of [name] for picture `index` of a task; false: there is none of that name.
static bool value_of(const batch_task *task, uint32_t index, const char *name, char *out,
                     size_t bytes) {
    const ht_flag *field = ht_job_field_find(name);
    if (strcmp(name, "number") == 0) {
        snprintf(out, bytes, "%05zu", task->number);
    } else if (strcmp(name, "line") == 0) {
        snprintf(out, bytes, "%zu", task->line);
    } else if (strcmp(name, "id") == 0) {
        snprintf(out, bytes, "%s", task->id ? task->id : "none");
    } else if (strcmp(name, "key") == 0) {
        snprintf(out, bytes, "%s", task->key);
    } else if (strcmp(name, "seed") == 0) {
        snprintf(out, bytes, "%lld", (long long)task->job.seed + index);
    } else if (strcmp(name, "prompt") == 0) {
        snprintf(out, bytes, "%s", task->job.prompt);
    } else if (field && field->kind != HT_FLAG_LATER) {
        field_text(&task->job, field, out, bytes);
    } else {
        return false;
    }
    clean(out);
    return true;
}

static bool fill(const batch_task *task, uint32_t index, char name[MAX_NAME], char *why,
                 size_t why_bytes) {
    size_t used = 0;
    for (const char *p = task->pattern; *p;) {
        char key[64], value[512];
        const char *close = *p == '[' ? strchr(p, ']') : NULL;
        const size_t length = close ? (size_t)(close - p - 1) : 1;
        snprintf(key, sizeof(key), "%.*s", (int)(length < 63 ? length : 63), close ? p + 1 : p);
        if (close && !value_of(task, index, key, value, sizeof(value))) {
            snprintf(
                why, why_bytes,
                "the name '%.200s': there is no [%s]; [number], [seed], [line], [id], [key] and "
                "all fields can be used",
                task->pattern, key);
            return false;
        }
        const int n = snprintf(name + used, MAX_NAME - used, "%s", close ? value : key);
        used += (size_t)n;
        if (used >= MAX_NAME - 16) {
            snprintf(why, why_bytes, "the name of line %zu's picture becomes longer than %d bytes",
                     task->line, MAX_NAME - 16);
            return false;
        }
        p = close ? close + 1 : p + 1;
    }
    const bool clip = ht_job_is_clip(&task->job, name);
    if (!ht_video_is(name) && !ht_job_is_jpeg(name) &&
        strcasecmp(ht_file_ending(name), "png") != 0) {
        snprintf(name + used, MAX_NAME - used, clip ? ".mp4" : ".png");
    }
    if (clip && !ht_video_check(name, task->job.codec, why, why_bytes)) {
        return false;
    }
    if (!batch_name_is_inside(name)) {
        snprintf(why, why_bytes,
                 "the name '%.200s': expected a path inside the output folder, no part of which "
                 "begins with a dot",
                 name);
        return false;
    }
    return true;
}

// name.png, or name-2.png when that is taken.
static bool take(json_t *taken, char name[MAX_NAME]) {
    char own[MAX_NAME + 32];
    const char *dot = strrchr(name, '.');
    snprintf(own, sizeof(own), "%s", name);
    for (unsigned i = 2; json_object_get(taken, own); ++i) {
        snprintf(own, sizeof(own), "%.*s-%u%s", (int)(dot - name), name, i, dot);
    }
    if (strlen(own) >= MAX_NAME) {
        return false;
    }
    strcpy(name, own);
    return json_object_set_new(taken, name, json_true()) == 0;
}

bool batch_names(batch_plan *plan, char *why, size_t why_bytes) {
    json_t *taken = json_object();
    bool good = taken != NULL;
    snprintf(why, why_bytes, "out of memory, or a name is not UTF-8");
    for (size_t i = 0; i < plan->count; ++i) {
        const batch_task *task = &plan->tasks[i];
        for (uint32_t k = 0; k < task->job.batch_size && task->paths[k]; ++k) {
            good = json_object_set_new(taken, task->paths[k], json_true()) == 0 && good;
        }
    }
    for (size_t i = 0; i < plan->count && good; ++i) {
        batch_task *task = &plan->tasks[i];
        for (uint32_t k = 0; k < task->job.batch_size && !task->paths[k] && good; ++k) {
            char name[MAX_NAME];
            good = fill(task, k, name, why, why_bytes) && take(taken, name);
            task->paths[k] = good ? strdup(name) : NULL;
            good = task->paths[k] != NULL;
        }
    }
    json_decref(taken);
    return good;
}

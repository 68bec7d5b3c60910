// The folder of results: whose turn it is, what is done, and adding to it.
//
// A picture is written to a hidden file first, then its line is added to the results, then it gets its
// name. The line is what makes a task done: killed before it, nothing has happened; killed behind it,
// the next run gives the name.
#include "batch.h"

#include "common/files.h"
#include "common/folder.h"
#include "common/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

bool batch_part_path(const batch_results *results, const char *key, uint32_t index,
                     char path[PATH_MAX]) {
    const int n = snprintf(path, PATH_MAX, "%s/.parts/%s.%u", results->folder, key, index);
    return n > 0 && n < PATH_MAX;
}

bool batch_final_path(const batch_results *results, const char *name, char path[PATH_MAX]) {
    const int n = snprintf(path, PATH_MAX, "%s/%s", results->folder, name);
    return n > 0 && n < PATH_MAX;
}

typedef struct reading {
    batch_results *results;
    ht_app_log *log;
    size_t whole; // bytes of whole lines in this part's own file
} reading;

static bool read_one(void *user, const char *path) {
    reading *r = user;
    char why[BATCH_WHY];
    size_t whole;
    if (!batch_results_read(path, r->results->records, false, &whole, r->log, why, sizeof(why))) {
        ht_app_say(r->log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    r->whole = strcmp(path, r->results->path) == 0 ? whole : r->whole;
    return true;
}

static bool set_paths(const batch_options *options, ht_app_log *log, batch_results *out) {
    char name[64] = "results.jsonl";
    *out = (batch_results){.file = -1, .records = json_object()};
    out->alone = options->shards == 0;
    if (options->shards) {
        snprintf(name, sizeof(name), "results-%u-of-%u.jsonl", options->shard, options->shards);
    }
    const int a = snprintf(out->folder, sizeof(out->folder), "%s", options->output);
    const int b = snprintf(out->path, sizeof(out->path), "%s/%s", options->output, name);
    if (!out->records || a < 1 || a >= PATH_MAX - 600 || b >= PATH_MAX) {
        ht_app_say(log, HT_LOG_ERROR, "the name of the folder of results is too long");
        return false;
    }
    return true;
}

// Open and lock the file; a merge may have put another one in its place meanwhile.
static int open_locked(const char *path) {
    for (int tries = 0; tries < 10; ++tries) {
        struct stat here, there;
        const int file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        if (file < 0) {
            return -1;
        }
        if (fstat(file, &here) == 0 && !S_ISREG(here.st_mode)) {
            close(file);
            errno = EINVAL;
            return -1;
        }
        if (flock(file, LOCK_EX | LOCK_NB) == 0 && fstat(file, &here) == 0 &&
            stat(path, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev) {
            return file;
        }
        const int error = errno;
        close(file);
        errno = error;
        if (error == EWOULDBLOCK) {
            return -1;
        }
    }
    return -1;
}

static bool make_folder(const char *path) {
    return mkdir(path, 0777) == 0 || (errno == EEXIST && ht_is_folder(path));
}

bool batch_results_open(const batch_options *options, ht_app_log *log, batch_results *out) {
    char parts[PATH_MAX];
    if (!set_paths(options, log, out)) {
        return false;
    }
    snprintf(parts, sizeof(parts), "%s/.parts", options->output);
    if (!make_folder(out->folder) || !make_folder(parts)) {
        ht_app_say(log, HT_LOG_ERROR, "cannot make the folder '%s': %s", out->folder,
                   strerror(errno));
        return false;
    }
    out->file = open_locked(out->path);
    if (out->file < 0) {
        ht_app_say(log, HT_LOG_ERROR,
                   errno == EWOULDBLOCK ? "another gen-batch is at work with '%s'"
                                        : "cannot open '%s'",
                   out->path);
        return false;
    }
    reading r = {.results = out, .log = log};
    if (!batch_results_each(out->folder, read_one, &r)) {
        return false;
    }
    struct stat info;
    if (fstat(out->file, &info) != 0 || ftruncate(out->file, (off_t)r.whole) != 0) {
        ht_app_say(log, HT_LOG_ERROR, "cannot write '%s': %s", out->path, strerror(errno));
        return false;
    }
    if ((size_t)info.st_size > r.whole) {
        ht_app_say(log, HT_LOG_INFO, "'%s' ended in the middle of a line, which does not count",
                   out->path);
    }
    return true;
}

bool batch_results_look(const batch_options *options, ht_app_log *log, batch_results *out) {
    if (!set_paths(options, log, out)) {
        return false;
    }
    reading r = {.results = out, .log = log};
    return batch_results_each(out->folder, read_one, &r);
}

void batch_results_close(batch_results *results) {
    char parts[PATH_MAX + 16];
    if (results->file >= 0) {
        snprintf(parts, sizeof(parts), "%s/.parts", results->folder);
        if (results->alone) {
            rmdir(parts); // when nothing is in it
        }
        close(results->file);
    }
    json_decref(results->records);
    *results = (batch_results){.file = -1};
}

// A picture that is recorded is there, or is under its hidden name and gets its own now.
static bool is_there(const batch_results *results, const json_t *picture, const char *key,
                     uint32_t index, bool change) {
    char path[PATH_MAX], part[PATH_MAX], hash[HT_SHA256_TEXT];
    struct stat info;
    const char *name = json_string_value(json_object_get(picture, "path"));
    const json_int_t bytes = json_integer_value(json_object_get(picture, "bytes"));
    if (!batch_final_path(results, name, path) || !batch_part_path(results, key, index, part)) {
        return false;
    }
    if (stat(part, &info) == 0 && ht_sha256_file(part, hash) &&
        strcmp(hash, json_string_value(json_object_get(picture, "sha256"))) == 0) {
        return !change || rename(part, path) == 0;
    }
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && (json_int_t)info.st_size == bytes;
}

static bool is_done(const json_t *record) {
    const char *status = json_string_value(json_object_get(record, "status"));
    return status && strcmp(status, "done") == 0;
}

bool batch_results_apply(const batch_results *results, batch_plan *plan) {
    for (size_t i = 0; i < plan->count; ++i) {
        batch_task *task = &plan->tasks[i];
        const json_t *record = json_object_get(results->records, task->key);
        const json_t *pictures = json_object_get(record, "pictures");
        if (!record) {
            continue;
        }
        task->state = is_done(record) ? BATCH_DONE : BATCH_FAILED;
        task->attempts = (uint32_t)json_integer_value(json_object_get(record, "attempt"));
        for (uint32_t k = 0; k < task->job.batch_size && k < json_array_size(pictures); ++k) {
            const json_t *path = json_object_get(json_array_get(pictures, k), "path");
            task->paths[k] = strdup(json_string_value(path));
            if (!task->paths[k]) {
                return false;
            }
        }
    }
    return true;
}

static void clean(const batch_results *results, const batch_task *task) {
    char part[PATH_MAX];
    for (uint32_t i = 0; i < task->job.batch_size; ++i) {
        if (batch_part_path(results, task->key, i, part)) {
            unlink(part);
        }
    }
}

void batch_results_check(const batch_results *results, batch_task *task, bool change,
                         ht_app_log *log) {
    const json_t *record = json_object_get(results->records, task->key);
    const json_t *pictures = json_object_get(record, "pictures");
    if (task->state == BATCH_DONE) {
        bool there = json_array_size(pictures) == task->job.batch_size;
        for (uint32_t i = 0; i < task->job.batch_size && there; ++i) {
            there = is_there(results, json_array_get(pictures, i), task->key, i, change);
        }
        if (!there) {
            task->state = BATCH_TO_DO;
            ht_app_say(log, HT_LOG_WARN,
                       "job %zu (line %zu) is recorded as done, but not all of its pictures are "
                       "there: it is done again",
                       task->number, task->line);
        }
    }
    if (change && task->state != BATCH_DONE) {
        clean(results, task);
    }
}

bool batch_results_add(batch_results *results, const json_t *record, char *why, size_t why_bytes) {
    struct stat info;
    char *text = json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(7));
    const size_t bytes = text ? strlen(text) : 0;
    if (!text || fstat(results->file, &info) != 0) {
        snprintf(why, why_bytes, text ? "cannot write '%s'" : "out of memory", results->path);
        free(text);
        return false;
    }
    text[bytes] = '\n'; // in the place of the final zero: one call writes the line
    const bool good =
        ht_file_write_all(results->file, text, bytes + 1) && fsync(results->file) == 0;
    if (!good) {
        snprintf(why, why_bytes, "cannot write '%s': %s", results->path, strerror(errno));
        if (ftruncate(results->file, info.st_size) != 0) {
            snprintf(why, why_bytes, "cannot write '%s', and cannot take back what was written",
                     results->path);
        }
    }
    free(text);
    return good;
}

bool batch_results_plan(const batch_results *results, const batch_plan *plan, char *why,
                        size_t why_bytes) {
    char path[PATH_MAX];
    json_t *keys = json_array();
    for (size_t i = 0; i < plan->count; ++i) {
        json_array_append_new(keys, json_string(plan->tasks[i].key));
    }
    json_t *object = json_pack("{s:s, s:o}", "version", HT_VERSION, "keys", keys);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    snprintf(why, why_bytes, "out of memory");
    const bool good = text && batch_final_path(results, "plan.json", path) &&
                      ht_file_write(path, text, strlen(text), true, why, why_bytes);
    free(text);
    json_decref(object);
    return good;
}

// merge: the results of all parts as one file, and whether they are complete.
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
#include <unistd.h>

enum { MAX_PLAN_BYTES = 128 << 20 };

typedef struct merge {
    const char *folder;
    ht_app_log *log;
    json_t *records, *keys;
    char **paths; // of the files that were read
    int *files;   // locked
    size_t n_files;
    size_t done, failed, missing, broken;
} merge;

// Lock and read one file.
static bool read_file(void *user, const char *path) {
    merge *m = user;
    char why[BATCH_WHY];
    size_t whole;
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 || flock(file, LOCK_EX | LOCK_NB) != 0) {
        ht_app_say(m->log, HT_LOG_ERROR,
                   file >= 0 && errno == EWOULDBLOCK
                       ? "a gen-batch is still at work with '%s'; merge when all are through"
                       : "cannot open '%s'",
                   path);
        if (file >= 0) {
            close(file);
        }
        return false;
    }
    char **paths = realloc(m->paths, (m->n_files + 1) * sizeof(*paths));
    m->paths = paths ? paths : m->paths;
    int *files = realloc(m->files, (m->n_files + 1) * sizeof(*files));
    m->files = files ? files : m->files;
    char *own = strdup(path);
    if (!paths || !files || !own) {
        ht_app_say(m->log, HT_LOG_ERROR, "out of memory");
        free(own);
        close(file);
        return false;
    }
    m->files[m->n_files] = file;
    m->paths[m->n_files++] = own;
    if (!batch_results_read(path, m->records, true, &whole, m->log, why, sizeof(why))) {
        ht_app_say(m->log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    return true;
}

// The keys of all jobs, as the last run wrote them down.
static bool read_plan(merge *m) {
    char path[PATH_MAX], why[BATCH_WHY];
    const int n = snprintf(path, sizeof(path), "%s/plan.json", m->folder);
    char *text = n < PATH_MAX ? ht_file_read_text(path, MAX_PLAN_BYTES, why, sizeof(why)) : NULL;
    json_t *plan = text ? json_loads(text, 0, NULL) : NULL;
    m->keys = json_incref(json_object_get(plan, "keys"));
    free(text);
    json_decref(plan);
    if (!json_is_array(m->keys)) {
        ht_app_say(m->log, HT_LOG_ERROR, "'%s' is no folder of gen-batch's results: no plan.json",
                   m->folder);
        return false;
    }
    return true;
}

// Do the files of a record have the contents that were recorded? Part of a path that a killed run did
// not give its name counts as missing: the next run gives it.
static bool verify(const merge *m, const json_t *record) {
    const json_t *pictures = json_object_get(record, "pictures");
    bool good = true;
    for (size_t i = 0; i < json_array_size(pictures); ++i) {
        const json_t *picture = json_array_get(pictures, i);
        char path[PATH_MAX], hash[HT_SHA256_TEXT];
        const int n = snprintf(path, sizeof(path), "%s/%s", m->folder,
                               json_string_value(json_object_get(picture, "path")));
        if (n >= PATH_MAX || !ht_sha256_file(path, hash)) {
            ht_app_say(m->log, HT_LOG_ERROR, "'%s' is recorded but cannot be read", path);
            good = false;
        } else if (strcmp(hash, json_string_value(json_object_get(picture, "sha256"))) != 0) {
            ht_app_say(m->log, HT_LOG_ERROR, "'%s' is not what was recorded: its SHA-256 differs",
                       path);
            good = false;
        }
    }
    return good;
}

static bool is_done(const json_t *record) {
    const char *status = json_string_value(json_object_get(record, "status"));
    return status && strcmp(status, "done") == 0;
}

// Lines in the order of the jobs, then those of jobs that are no longer asked for.
static char *all_lines(merge *m, size_t *bytes) {
    json_t *rest = json_copy(m->records), *record, *key;
    const char *name;
    size_t i, used = 0;
    *bytes = 0;
    json_object_foreach(m->records, name, record) {
        *bytes += json_string_length(json_object_get(record, "text")) + 1;
    }
    char *out = rest ? malloc(*bytes + 1) : NULL;
    json_t *order = json_array();
    json_array_foreach(m->keys, i, key) {
        record = json_object_get(rest, json_is_string(key) ? json_string_value(key) : "");
        if (!record) {
            ++m->missing;
            continue;
        }
        json_array_append(order, json_object_get(record, "text"));
        m->done += is_done(record);
        m->failed += !is_done(record);
        m->broken += is_done(record) && !verify(m, record);
        json_object_del(rest, json_string_value(key));
    }
    json_object_foreach(rest, name, record) {
        json_array_append(order, json_object_get(record, "text"));
    }
    for (i = 0; out && i < json_array_size(order); ++i) {
        const json_t *text = json_array_get(order, i);
        memcpy(out + used, json_string_value(text), json_string_length(text));
        used += json_string_length(text);
        out[used++] = '\n';
    }
    json_decref(order);
    json_decref(rest);
    *bytes = used;
    return out;
}

static bool write_merged(merge *m) {
    char path[PATH_MAX], why[BATCH_WHY] = "out of memory";
    size_t bytes;
    snprintf(path, sizeof(path), "%s/results.jsonl", m->folder);
    char *text = all_lines(m, &bytes);
    const bool good = text && ht_file_write(path, text, bytes, true, why, sizeof(why));
    free(text);
    if (!good) {
        ht_app_say(m->log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    for (size_t i = 0; i < m->n_files; ++i) {
        if (strcmp(m->paths[i], path) != 0) {
            unlink(m->paths[i]); // all of it is in the merged file
        }
    }
    snprintf(path, sizeof(path), "%s/.parts", m->folder);
    rmdir(path); // when nothing is in it
    return true;
}

static int work(const batch_options *options, merge *m) {
    if (strlen(m->folder) > PATH_MAX - 700 || !ht_is_folder(m->folder)) {
        ht_app_say(m->log, HT_LOG_ERROR, "'%s' is not a folder", m->folder);
        return EXIT_FAILED;
    }
    if (!m->records || !read_plan(m) || !batch_results_each(m->folder, read_file, m)) {
        return EXIT_FAILED;
    }
    if (!write_merged(m)) {
        return EXIT_FAILED;
    }
    if (m->log->level >= HT_LOG_WARN) {
        fprintf(stderr,
                "gen-batch: %zu jobs: %zu done, %zu failed, %zu not there; %zu files merged\n",
                json_array_size(m->keys), m->done, m->failed, m->missing, m->n_files);
    }
    if (options->contact_sheet && !batch_sheet(m->folder, m->records, m->log)) {
        return EXIT_FAILED;
    }
    return m->failed + m->missing + m->broken == 0 ? EXIT_GOOD : EXIT_FAILED;
}

int batch_merge(const batch_options *options, ht_app_log *log) {
    merge m = {.folder = options->output, .log = log, .records = json_object()};
    const int code = work(options, &m);
    for (size_t i = 0; i < m.n_files; ++i) {
        close(m.files[i]);
        free(m.paths[i]);
    }
    free(m.files);
    free(m.paths);
    json_decref(m.records);
    json_decref(m.keys);
    return code;
}

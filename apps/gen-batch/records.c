// Files of results: reading them, a line per task.
#include "batch.h"

#include "common/files.h"

#include <dirent.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const size_t MAX_FILE_BYTES = (size_t)4 << 30;

static bool is_done(const json_t *record) {
    const char *status = json_string_value(json_object_get(record, "status"));
    return status && strcmp(status, "done") == 0;
}

// Names in a file of results are used as paths: only such as we write.
static bool is_sound(const json_t *record) {
    const json_t *pictures = json_object_get(record, "pictures");
    const char *key = json_string_value(json_object_get(record, "key"));
    if (!key || strlen(key) >= BATCH_KEY || strspn(key, "0123456789abcdef-") != strlen(key)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(pictures); ++i) {
        const json_t *picture = json_array_get(pictures, i);
        const char *path = json_string_value(json_object_get(picture, "path"));
        if (!path || !batch_name_is_inside(path) ||
            !json_is_string(json_object_get(picture, "sha256")) ||
            !json_is_integer(json_object_get(picture, "bytes"))) {
            return false;
        }
    }
    return !is_done(record) || json_array_size(pictures) > 0;
}

// The last word counts, but a failure does not undo what was done. Of a record only what runs ask for is
// kept, or all of it as a text. False: out of memory.
static bool take(json_t *records, const json_t *record, const char *line) {
    static const char *const wanted[] = {"key", "number", "line", "status", "attempt", "pictures"};
    const char *key = json_string_value(json_object_get(record, "key"));
    if (!is_done(record) && is_done(json_object_get(records, key))) {
        return true;
    }
    json_t *kept = json_object();
    bool good = kept != NULL;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted) && good; ++i) {
        json_t *value = json_object_get(record, wanted[i]);
        good = !value || json_object_set(kept, wanted[i], value) == 0;
    }
    if (line) {
        good = good && json_object_set_new(kept, "text", json_string(line)) == 0;
    }
    return json_object_set_new(records, key, kept) == 0 && good;
}

bool batch_results_read(const char *path, json_t *records, bool texts, size_t *whole,
                        ht_app_log *log, char *why, size_t why_bytes) {
    char *text = ht_file_read_text(path, MAX_FILE_BYTES, why, why_bytes);
    size_t number = 1;
    *whole = 0;
    if (!text) {
        return false;
    }
    bool good = true;
    char *end;
    for (char *line = text; good && (end = strchr(line, '\n')); ++number) {
        *end = 0;
        json_t *record = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (is_sound(record)) {
            good = take(records, record, texts ? line : NULL);
            snprintf(why, why_bytes, "out of memory");
        } else if (*line) {
            ht_app_say(log, HT_LOG_WARN, "'%s' line %zu is none of ours and does not count", path,
                       number);
        }
        json_decref(record);
        line = end + 1;
        *whole = (size_t)(line - text);
    }
    free(text);
    return good;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_results(const struct dirent *entry) {
    return fnmatch("results.jsonl", entry->d_name, 0) == 0 ||
           fnmatch("results-*-of-*.jsonl", entry->d_name, 0) == 0;
}

bool batch_results_each(const char *folder, bool (*each)(void *user, const char *path),
                        void *user) {
    struct dirent **entries;
    const int count = scandir(folder, &entries, is_results, by_name);
    bool good = true;
    for (int i = 0; i < count; ++i) {
        char path[PATH_MAX];
        const int n = snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        struct stat info;
        if (good && n > 0 && (size_t)n < sizeof(path) && stat(path, &info) == 0 &&
            S_ISREG(info.st_mode)) {
            good = each(user, path);
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return good;
}

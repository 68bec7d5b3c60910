// Handing over the pictures of a task: hidden files, the line in the results, their names.
#include "batch.h"

#include "common/files.h"
#include "common/sha256.h"
#include "common/video.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// What every line holds.
static json_t *record_of(const batch_options *options, const batch_task *task, const char *status,
                         uint32_t attempt) {
    char now[32], host[256] = "";
    const time_t seconds = time(NULL);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &utc);
    gethostname(host, sizeof(host) - 1);
    json_t *record = json_pack("{s:s, s:I, s:I, s:s, s:i, s:s, s:s}", "key", task->key, "number",
                               (json_int_t)task->number, "line", (json_int_t)task->line, "status",
                               status, "attempt", (int)attempt, "time", now, "host", host);
    if (record && task->id) {
        json_object_set_new(record, "id", json_string(task->id));
    }
    if (record && options->shards) {
        char shard[32];
        snprintf(shard, sizeof(shard), "%u/%u", options->shard, options->shards);
        json_object_set_new(record, "shard", json_string(shard));
    }
    if (record) {
        json_object_set_new(record, "job", ht_job_json(&task->job));
    }
    return record;
}

// Nobody looks for the hidden file before its line is there, so it needs no name of its own before it is
// complete.
static bool write_hidden(const char *path, const ht_bytes *bytes, char *why, size_t why_bytes) {
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = file >= 0 && ht_file_write_all(file, bytes->data, bytes->count) && fsync(file) == 0;
    if (!good) {
        snprintf(why, why_bytes, "cannot write '%s': %s", path, strerror(errno));
    }
    if (file >= 0 && close(file) != 0 && good) {
        snprintf(why, why_bytes, "cannot write '%s': %s", path, strerror(errno));
        good = false;
    }
    if (!good && file >= 0) {
        unlink(path);
    }
    return good;
}

// Encode one picture into its hidden file, on the disk; its entry of the record.
static json_t *write_part(const batch_options *options, const batch_results *results,
                          const batch_task *task, const ht_job *job, const ht_image *image,
                          const ht_job_picture *picture, char *why, size_t why_bytes) {
    char part[PATH_MAX], hash[HT_SHA256_TEXT];
    ht_bytes bytes = {0};
    snprintf(why, why_bytes, "out of memory");
    const bool good = (ht_video_is(picture->path)
                           ? ht_job_encode_clip(job, picture, image, !options->no_metadata, &bytes,
                                                why, why_bytes)
                           : ht_job_encode(job, picture, image, !options->no_metadata, &bytes)) &&
                      batch_part_path(results, task->key, picture->position - 1, part) &&
                      write_hidden(part, &bytes, why, why_bytes);
    json_t *entry = NULL;
    if (good) {
        ht_sha256(bytes.data, bytes.count, hash);
        entry =
            json_pack("{s:s, s:I, s:I, s:s}", "path", picture->path, "seed",
                      (json_int_t)picture->seed, "bytes", (json_int_t)bytes.count, "sha256", hash);
    }
    free(bytes.data);
    return entry;
}

// The folders of a name with slashes.
static bool make_folders(char path[PATH_MAX], size_t from) {
    for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        const bool good = mkdir(path, 0777) == 0 || errno == EEXIST;
        *slash = '/';
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool give_names(const batch_results *results, const batch_task *task, char *why,
                       size_t why_bytes) {
    for (uint32_t i = 0; i < task->job.batch_size; ++i) {
        char part[PATH_MAX], path[PATH_MAX];
        if (!batch_part_path(results, task->key, i, part) ||
            !batch_final_path(results, task->paths[i], path) || rename(part, path) != 0) {
            snprintf(why, why_bytes, "cannot write '%s': %s", task->paths[i], strerror(errno));
            return false;
        }
    }
    return true;
}

// Before anything is recorded: the names can be given.
static bool prepare_names(const batch_results *results, const batch_task *task, char *why,
                          size_t why_bytes) {
    for (uint32_t i = 0; i < task->job.batch_size; ++i) {
        char path[PATH_MAX];
        if (!batch_final_path(results, task->paths[i], path) ||
            !make_folders(path, strlen(results->folder) + 1)) {
            snprintf(why, why_bytes, "cannot make the folder of '%s': %s", task->paths[i],
                     strerror(errno));
            return false;
        }
        if (!ht_file_check(path, true, why, why_bytes)) {
            return false;
        }
    }
    return true;
}

// Settings, times and memory as in gen's report, and what is this run's.
static bool add_report(json_t *record, const batch_task *task, const ht_job_picture *picture,
                       const batch_work *work, json_t *pictures) {
    json_t *report = ht_job_report_json(&task->job, picture);
    json_object_del(report, "path");
    return report &&
           json_object_set_new(report, "recipe",
                               json_string(ht_job_recipe_name(&task->job, picture))) == 0 &&
           json_object_set_new(record, "pictures", pictures) == 0 &&
           json_object_set_new(record, "device", json_string(work->device)) == 0 &&
           json_object_set_new(record, "driver", json_string(work->driver)) == 0 &&
           json_object_set_new(record, "open_seconds", json_real(work->open_seconds)) == 0 &&
           json_object_set_new(record, "seconds", json_real(work->seconds)) == 0 &&
           json_object_set_new(record, "report", report) == 0;
}

size_t batch_images(const batch_task *task, const ht_job *job) {
    return job->batch_size * (size_t)(ht_video_is(task->paths[0]) ? job->frames : 1);
}

bool batch_keep(const batch_options *options, batch_results *results, batch_task *task,
                const ht_job *job, const ht_image *images, const ht_report *report,
                const batch_work *work, char *why, size_t why_bytes) {
    ht_job_picture *picture = calloc(1, sizeof(*picture));
    const size_t each = batch_images(task, job) / job->batch_size;
    json_t *pictures = json_array();
    json_t *record = record_of(options, task, "done", task->attempts + 1);
    snprintf(why, why_bytes, "out of memory");
    bool good = picture && pictures && record && prepare_names(results, task, why, why_bytes);
    for (uint32_t i = 0; i < task->job.batch_size && good; ++i) {
        picture->prompt = task->job.prompt;
        picture->seed = (uint64_t)task->job.seed + i;
        picture->position = i + 1;
        picture->report = *report;
        snprintf(picture->path, sizeof(picture->path), "%s", task->paths[i]);
        json_t *entry =
            write_part(options, results, task, job, &images[i * each], picture, why, why_bytes);
        good = json_array_append_new(pictures, entry) == 0;
    }
    good = good && add_report(record, task, picture, work, json_incref(pictures)) &&
           batch_results_add(results, record, why, why_bytes) &&
           give_names(results, task, why, why_bytes);
    if (good) {
        task->state = BATCH_DONE;
        json_object_del(record, "report"); // the file has it; hundreds of thousands of jobs fit
        json_object_del(record, "job");
        json_object_set(results->records, task->key, record);
    }
    json_decref(pictures);
    json_decref(record);
    free(picture);
    return good;
}

bool batch_keep_failure(const batch_options *options, batch_results *results, batch_task *task,
                        const char *error, char *why, size_t why_bytes) {
    json_t *record = record_of(options, task, "failed", ++task->attempts);
    snprintf(why, why_bytes, "out of memory");
    json_t *text = json_string(error);
    const bool good =
        record &&
        json_object_set_new(record, "error",
                            text ? text : json_string("an error whose text is not UTF-8")) == 0 &&
        batch_results_add(results, record, why, why_bytes);
    task->state = BATCH_FAILED;
    if (good) {
        json_object_set(results->records, task->key, record);
    }
    json_decref(record);
    return good;
}

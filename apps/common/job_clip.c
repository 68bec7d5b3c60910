// Clips of jobs as files.
#include "job_output.h"

#include "files.h"
#include "video.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool ht_job_is_clip(const ht_job *job, const char *output) {
    return job->frames > 1 || (output && ht_video_is(output));
}

void ht_job_choose_model(ht_job *job, const char *output) {
    if (job->model == ht_job_defaults.model && ht_job_is_clip(job, output)) {
        job->model = "scenes-video";
    }
}

// A sequence: the number of each frame in the place of %d.
static bool is_sequence(const char *path) {
    char first[PATH_MAX];
    return !ht_video_is(path) && ht_file_number(path, 1, first);
}

bool ht_job_check_clip(const ht_job *job, const char *path, bool overwrite, char *why,
                       size_t why_bytes) {
    char name[PATH_MAX];
    if (!is_sequence(path)) {
        return ht_video_check(path, job->codec, why, why_bytes) &&
               ht_file_check(path, overwrite, why, why_bytes);
    }
    if (strcasecmp(ht_file_ending(path), "png") != 0 && !ht_job_is_jpeg(path)) {
        snprintf(why, why_bytes, "'%s': the frames of a clip are written as .png or .jpg", path);
        return false;
    }
    const size_t frames = job->frames > 0 ? job->frames : 1;
    for (size_t i = 1; i <= frames; ++i) {
        if (!ht_file_number(path, i, name) || !ht_file_check(name, overwrite, why, why_bytes)) {
            return false;
        }
    }
    return true;
}

// Each frame complete under its name; those that are there stay when a later one fails.
static bool write_sequence(const ht_job *job, const ht_job_picture *picture, const ht_image *frames,
                           bool metadata, bool overwrite, ht_app_log *log) {
    ht_job_picture *one = malloc(sizeof(*one));
    bool good = one != NULL;
    if (!one) {
        ht_app_say(log, HT_LOG_ERROR, "out of memory");
        return false;
    }
    *one = *picture;
    for (size_t i = 0; i < job->frames && good; ++i) {
        good = ht_file_number(picture->path, i + 1, one->path) &&
               ht_job_write(job, one, &frames[i], metadata, overwrite, log);
    }
    free(one);
    return good;
}

bool ht_job_encode_clip(const ht_job *job, const ht_job_picture *picture, const ht_image *frames,
                        bool metadata, ht_bytes *out, char *why, size_t why_bytes) {
    char *parameters = ht_job_parameters(job, picture);
    char *json = ht_job_metadata(job, picture);
    const ht_png_text texts[] = {{"comment", parameters}, {"description", json}};
    const ht_video_desc desc = {.fps = job->fps,
                                .crf = (int)job->crf,
                                .codec = job->codec,
                                .texts = texts,
                                .n_texts = metadata ? 2 : 0};
    snprintf(why, why_bytes, "out of memory");
    const bool good =
        parameters && json &&
        ht_video_encode(picture->path, frames, job->frames, &desc, out, why, why_bytes);
    free(parameters);
    free(json);
    return good;
}

bool ht_job_write_clip(const ht_job *job, const ht_job_picture *picture, const ht_image *frames,
                       bool metadata, bool overwrite, ht_app_log *log) {
    char why[PATH_MAX + 512];
    ht_bytes bytes = {0};
    if (is_sequence(picture->path)) {
        return write_sequence(job, picture, frames, metadata, overwrite, log);
    }
    const bool good =
        ht_job_encode_clip(job, picture, frames, metadata, &bytes, why, sizeof(why)) &&
        ht_file_write(picture->path, bytes.data, bytes.count, overwrite, why, sizeof(why));
    free(bytes.data);
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
    }
    return good;
}

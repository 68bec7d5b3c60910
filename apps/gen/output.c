// Names of results, and writing them.
#include "gen.h"

#include "common/files.h"
#include "common/folder.h"
#include "common/png.h"
#include "common/video.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool is_device(const char *path) {
    struct stat info;
    return strcmp(path, "-") == 0 ||
           (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode));
}

static bool fits(int length) {
    return length > 0 && length < PATH_MAX;
}

// head + number + tail: gen-42.png, or gen-42-2.png when that is taken and may not be replaced.
static bool free_name(const char *head, const char *tail, bool overwrite, size_t first,
                      char path[PATH_MAX]) {
    for (size_t i = first; i < first + 100000; ++i) {
        char number[24] = "";
        if (i > 1) {
            snprintf(number, sizeof(number), "-%zu", i);
        }
        if (!fits(snprintf(path, PATH_MAX, "%s%s%s", head, number, tail))) {
            return false;
        }
        if (overwrite || !ht_file_exists(path)) {
            return true;
        }
    }
    return false;
}

static bool name_it(const gen_options *options, const gen_place *place, char path[PATH_MAX]) {
    const char *given = options->output;
    const bool clip = ht_job_is_clip(&options->job, given);
    char head[PATH_MAX];
    if (!given || ht_is_folder(given)) {
        bool slash = given && *given && given[strlen(given) - 1] == '/';
        int n = snprintf(head, sizeof(head), "%s%sgen-%llu", given ? given : "",
                         given && !slash ? "/" : "", (unsigned long long)place->seed);
        return fits(n) && free_name(head, clip ? ".mp4" : ".png", options->overwrite, 1, path);
    }
    const bool frames = clip && !ht_video_is(given); // which the pattern numbers
    if (!frames && ht_file_number(given, place->index + 1, path)) {
        return true;
    }
    if (place->index == 0 || is_device(given)) {
        return fits(snprintf(path, PATH_MAX, "%s", given));
    }
    // The next ones of several: name-2.png, name-3.png
    const char *end = ht_file_ending(given);
    size_t stem = *end ? (size_t)(end - 1 - given) : strlen(given);
    return fits(
        snprintf(path, PATH_MAX, "%.*s-%zu%s", (int)stem, given, place->index + 1, given + stem));
}

bool gen_output_name(const gen_options *options, ht_app_log *log, const gen_place *place,
                     char path[PATH_MAX]) {
    char why[PATH_MAX + 256];
    if (!name_it(options, place, path)) {
        ht_app_say(log, HT_LOG_ERROR, "no name for the output can be made");
        return false;
    }
    const bool clip = ht_job_is_clip(&options->job, options->output);
    if (clip ? !ht_job_check_clip(&options->job, path, options->overwrite, why, sizeof(why))
             : !ht_file_check(path, options->overwrite, why, sizeof(why))) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    return true;
}

static bool check_kind(const gen_options *options, ht_app_log *log, const gen_place *first,
                       const char *path) {
    if (ht_job_is_clip(&options->job, options->output)) {
        if (!ht_video_is(path) && first->count > 1) {
            ht_app_say(log, HT_LOG_ERROR,
                       "%zu clips cannot go to one sequence of pictures; give --output a name such "
                       "as clip.mp4",
                       first->count);
            return false;
        }
        return true;
    }
    if (!is_device(path) && strcasecmp(ht_file_ending(path), "png") != 0 && !ht_job_is_jpeg(path)) {
        ht_app_say(log, HT_LOG_ERROR, "'%s': pictures are written as .png or .jpg", path);
        return false;
    }
    if (strcmp(path, "-") == 0 && first->count > 1) {
        ht_app_say(log, HT_LOG_ERROR, "%zu pictures cannot go to one stdout; give --output a FILE",
                   first->count);
        return false;
    }
    return true;
}

bool gen_output_check(const gen_options *options, ht_app_log *log, const gen_place *first) {
    char path[PATH_MAX], why[PATH_MAX + 256];
    if (!gen_output_name(options, log, first, path) || !check_kind(options, log, first, path)) {
        return false;
    }
    const char *others[] = {options->preview,
                            options->json && *options->json ? options->json : NULL};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); ++i) {
        if (others[i] && !ht_file_check(others[i], true, why, sizeof(why))) {
            ht_app_say(log, HT_LOG_ERROR, "%s", why);
            return false;
        }
    }
    return true;
}

bool gen_preview_write(const gen_options *options, ht_app_log *log, const ht_image *image) {
    char why[PATH_MAX + 256] = "out of memory";
    ht_bytes bytes = {0};
    bool good = ht_png_encode(image, NULL, 0, &bytes) &&
                ht_file_write(options->preview, bytes.data, bytes.count, true, why, sizeof(why));
    free(bytes.data);
    if (!good) {
        ht_app_say(log, HT_LOG_WARN, "no preview: %s", why);
    }
    return good;
}

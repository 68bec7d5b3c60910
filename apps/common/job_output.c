// Pictures of jobs as files.
#include "job_output.h"

#include "files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool ht_job_is_jpeg(const char *path) {
    const char *end = ht_file_ending(path);
    return strcasecmp(end, "jpg") == 0 || strcasecmp(end, "jpeg") == 0;
}

bool ht_job_encode(const ht_job *job, const ht_job_picture *picture, const ht_image *image,
                   bool metadata, ht_bytes *out) {
    if (ht_job_is_jpeg(picture->path)) {
        return ht_jpeg_encode(image, out);
    }
    char *parameters = ht_job_parameters(job, picture);
    char *json = ht_job_metadata(job, picture);
    const ht_png_text texts[] = {{"parameters", parameters}, {"halftone", json}};
    const bool good = parameters && json && ht_png_encode(image, texts, metadata ? 2 : 0, out);
    free(parameters);
    free(json);
    return good;
}

bool ht_job_write(const ht_job *job, const ht_job_picture *picture, const ht_image *image,
                  bool metadata, bool overwrite, ht_app_log *log) {
    char why[PATH_MAX + 256] = "out of memory";
    ht_bytes bytes = {0};
    const bool good =
        ht_job_encode(job, picture, image, metadata, &bytes) &&
        ht_file_write(picture->path, bytes.data, bytes.count, overwrite, why, sizeof(why));
    free(bytes.data);
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
    }
    return good;
}

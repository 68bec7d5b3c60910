// The pictures that a job starts from.
#include "job_parts.h"

#include "png.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void forget(ht_job_source *source) {
    free(source->image.rgb);
    *source = (ht_job_source){0};
}

// A mask may be in the transparency of a picture: see ht_mask_read.
static bool read_one(const char *path, bool is_mask, ht_app_log *log, ht_job_source *out) {
    const char *why;
    struct stat info = {0};
    uint32_t width, height;
    if (!path) {
        forget(out);
        return true;
    }
    const bool found = stat(path, &info) == 0 && strlen(path) < sizeof(out->path);
    if (found && out->image.rgb && strcmp(out->path, path) == 0 && same_file(&out->info, &info)) {
        return true;
    }
    forget(out);
    uint8_t *pixels = is_mask ? ht_mask_read(path, &width, &height, &why)
                              : ht_picture_read(path, &width, &height, &why);
    if (!pixels) {
        ht_app_say(log, HT_LOG_ERROR, "'%s' cannot be read as a picture: %s", path, why);
        return false;
    }
    *out =
        (ht_job_source){.info = info, .image = {.width = width, .height = height, .rgb = pixels}};
    snprintf(out->path, sizeof(out->path), "%s", found ? path : "");
    return true;
}

bool ht_job_pictures_read(const ht_job *job, ht_app_log *log, ht_job_pictures *pictures) {
    return read_one(job->init_image, false, log, &pictures->init) &&
           read_one(job->mask, true, log, &pictures->mask) &&
           read_one(job->control_image, false, log, &pictures->control);
}

void ht_job_pictures_free(ht_job_pictures *pictures) {
    forget(&pictures->init);
    forget(&pictures->mask);
    forget(&pictures->control);
}

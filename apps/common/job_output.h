// Pictures of jobs as files: encoding with what made them inside, and reports.
#ifndef HT_APP_JOB_OUTPUT_H
#define HT_APP_JOB_OUTPUT_H

#include "job.h"
#include "png.h"

#include <limits.h>

struct json_t;

// One picture that was made.
typedef struct ht_job_picture {
    char path[PATH_MAX]; // .png, .jpg, .jpeg, or "-" and devices: PNG
    const char *prompt;
    uint64_t seed;
    uint32_t position; // in its batch, from 1
    ht_report report;
} ht_job_picture;

// job_metadata.c: A1111's "parameters" block, and our own exact JSON; free() both. NULL: out of
// memory.
char *ht_job_parameters(const ht_job *job, const ht_job_picture *picture);
char *ht_job_metadata(const ht_job *job, const ht_job_picture *picture);
// Fields of the job that are not as in ht_job_defaults, under their keys and files by name alone, into
// an object; what it has already stays.
void ht_job_settings(const ht_job *job, struct json_t *json);
// Name of the recipe that was used: "w4a8", "fp16", "fp32".
const char *ht_job_recipe_name(const ht_job *job, const ht_job_picture *picture);

// job_output.c: by the ending of picture->path; `metadata`: with both texts, in a PNG. False: out of
// memory.
bool ht_job_encode(const ht_job *job, const ht_job_picture *picture, const ht_image *image,
                   bool metadata, ht_bytes *out);
bool ht_job_is_jpeg(const char *path);
// The same into the file picture->path, which appears when it is complete. False after a message.
bool ht_job_write(const ht_job *job, const ht_job_picture *picture, const ht_image *image,
                  bool metadata, bool overwrite, ht_app_log *log);

// job_clip.c: is a job with this output (or NULL) one of clips? By its frames, or by the name.
bool ht_job_is_clip(const ht_job *job, const char *output);
// Clips are made by the model for clips where nobody said which. The rest of a job is not looked at.
void ht_job_choose_model(ht_job *job, const char *output);
// Could clips be written under this name: a container that can be made here, or the pattern of a
// sequence of pictures (%04d.png)? False with the sentence in `why`.
bool ht_job_check_clip(const ht_job *job, const char *path, bool overwrite, char *why,
                       size_t why_bytes);
// The frames of one clip as a file of the container that picture->path ends like. False with the sentence
// in `why`.
bool ht_job_encode_clip(const ht_job *job, const ht_job_picture *picture, const ht_image *frames,
                        bool metadata, ht_bytes *out, char *why, size_t why_bytes);
// The frames of one clip into the file picture->path, or into one file each where that is a pattern.
// Whole or not at all, as far as files go. False after a message.
bool ht_job_write_clip(const ht_job *job, const ht_job_picture *picture, const ht_image *frames,
                       bool metadata, bool overwrite, ht_app_log *log);

// job_report.c: settings, sizes, times and memory of one picture; NULL: out of memory.
struct json_t *ht_job_report_json(const ht_job *job, const ht_job_picture *picture);
// One line for people on stderr.
void ht_job_report_summary(const ht_job_picture *picture, ht_app_log *log);

#endif

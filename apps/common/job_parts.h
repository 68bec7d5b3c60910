// What the files of a job's session share: the files that a job names.
#ifndef HT_APP_JOB_PARTS_H
#define HT_APP_JOB_PARTS_H

#include "job.h"

#include <limits.h>
#include <sys/stat.h>

// One picture that a job starts from, kept while its file stays the same.
typedef struct ht_job_source {
    char path[PATH_MAX];
    struct stat info;
    ht_image image; // of malloc; no pixels: none
} ht_job_source;

// job_pictures.c
typedef struct ht_job_pictures {
    ht_job_source init, mask, control;
} ht_job_pictures;
// Those that the job names, read again only when they are others; without pixels when not named.
// False after a message.
bool ht_job_pictures_read(const ht_job *job, ht_app_log *log, ht_job_pictures *pictures);
void ht_job_pictures_free(ht_job_pictures *pictures);

// job_embeddings.c: files of textual inversion.
typedef struct ht_job_embeddings {
    ht_embedding_file *files;
    size_t count;
} ht_job_embeddings;
// Those of --embedding, and those of --embd-dir that a prompt names. False after a message.
bool ht_job_embeddings_read(const ht_job *job, const char *const *prompts, size_t n_prompts,
                            ht_app_log *log, ht_job_embeddings *out);
void ht_job_embeddings_free(ht_job_embeddings *embeddings);

// job_loras.c: LoRAs of one picture.
enum { HT_JOB_LORAS = 64 };
typedef struct ht_job_loras {
    char *prompt; // without tags
    ht_lora_file files[HT_JOB_LORAS];
    uint32_t count;
} ht_job_loras;
// Those of --lora, and of the tags in `prompt`. False after a message.
bool ht_job_loras_read(const ht_job *job, ht_app_log *log, const char *prompt, ht_job_loras *out);
void ht_job_loras_free(ht_job_loras *loras);
// Length of the path in FILE or FILE:SCALE, and the scale (1 when it is not said). A file may have a
// colon in its name.
size_t ht_job_lora_path(const char *text, float *scale);

#endif

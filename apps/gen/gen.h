// What the files of gen share.
#ifndef HT_GEN_H
#define HT_GEN_H

#include "options.h"

#include "common/log.h"
#include "common/progress.h"

#include <limits.h>
#include <pipeline.h>

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CANCELLED = 130 };

// Prompts of this call.
typedef struct gen_prompts {
    char *text; // of the file; owns the lines
    const char **lines;
    size_t count;
} gen_prompts;
// False after a message.
bool gen_prompts_read(const gen_options *options, ht_app_log *log, gen_prompts *out);
void gen_prompts_free(gen_prompts *prompts);

// Pictures this call starts from; without pixels when not given.
typedef struct gen_pictures {
    ht_image init, mask, control;
} gen_pictures;
// False after a message.
bool gen_pictures_read(const gen_options *options, ht_app_log *log, gen_pictures *out);
void gen_pictures_free(gen_pictures *pictures);

// Files of textual inversion that this call uses.
typedef struct gen_embeddings {
    ht_embedding_file *files;
    size_t count;
} gen_embeddings;
// Those of --embedding, and those of --embd-dir that a prompt names. False after a message.
bool gen_embeddings_read(const gen_options *options, const gen_prompts *prompts, ht_app_log *log,
                         gen_embeddings *out);
void gen_embeddings_free(gen_embeddings *embeddings);

enum { HT_COUNT_LORAS = 64 };

// LoRAs of one picture.
typedef struct gen_loras {
    char *prompt; // without tags
    ht_lora_file files[HT_COUNT_LORAS];
    uint32_t count;
} gen_loras;
// loras.c: of the flags and of a prompt's tags. False after a message.
bool gen_loras_read(const gen_options *options, ht_app_log *log, const char *prompt,
                    gen_loras *out);
void gen_loras_free(gen_loras *loras);

// One picture to be made.
typedef struct gen_job {
    const char *prompt;
    uint64_t seed;
    size_t index, count; // of all pictures
    uint32_t batch;      // this one and those behind it, at once
} gen_job;

// One picture that was made.
typedef struct gen_picture {
    char path[PATH_MAX];
    const char *prompt;
    uint64_t seed;
    uint32_t position; // in its batch, from 1
    ht_report report;
} gen_picture;

// output.c
// Choose the file's name and check that it can be written; false after a message.
bool gen_output_name(const gen_options *options, ht_app_log *log, const gen_job *job,
                     char path[PATH_MAX]);
// The same for the first name, --preview and --json, before anything is computed.
bool gen_output_check(const gen_options *options, ht_app_log *log, const gen_job *first);
bool gen_output_write(const gen_options *options, ht_app_log *log, const ht_image *image,
                      const gen_picture *picture);
bool gen_preview_write(const gen_options *options, ht_app_log *log, const ht_image *image);

// metadata.c: A1111's "parameters" block, and our own exact JSON; free() both. NULL: out of memory.
char *gen_metadata_parameters(const gen_options *options, const gen_picture *picture);
char *gen_metadata_json(const gen_options *options, const gen_picture *picture);

// Settings that not every call has, into an object.
struct json_t;
void gen_metadata_settings(const gen_options *options, struct json_t *json);

// Name of the recipe that was used: "w4a8", "fp16", "fp32".
const char *gen_metadata_recipe(const gen_options *options, const gen_picture *picture);

// report.c: what --json writes.
typedef struct gen_report {
    const gen_options *options;
    const char *model_path, *device, *driver;
    double open_seconds, total_seconds;
    const gen_picture *pictures;
    size_t count;
} gen_report;
bool gen_report_write(const gen_report *report, ht_app_log *log);
void gen_report_summary(const gen_picture *picture, ht_app_log *log);

// lists.c: answers of --list-..., to stdout; an exit code.
int gen_list(const gen_options *options, ht_app_log *log);

// run.c: everything behind the options; an exit code. `stop` becomes non-zero on Ctrl-C.
int gen_run(const gen_options *options, ht_app_log *log, const volatile int *stop);

#endif

// What the files of gen-batch share.
#ifndef HT_BATCH_H
#define HT_BATCH_H

#include "options.h"

#include "common/job_output.h"
#include "common/log.h"

#include <limits.h>

struct json_t;

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CANCELLED = 130 };
enum { BATCH_KEY = 48, BATCH_WHY = PATH_MAX + 512, BATCH_MAX_TASKS = 1000000 };

typedef enum batch_state { BATCH_TO_DO, BATCH_DONE, BATCH_FAILED } batch_state;

// One call of the engine: a picture, or batch_size of them.
typedef struct batch_task {
    ht_job job;          // complete: prompt and seed are set, batch_count is 1; texts of the plan
    size_t number, line; // from 1: among all tasks, and in the file
    const char *id;      // the user's, or NULL
    const char *pattern; // of the name
    char key[BATCH_KEY]; // what it is recorded under: of its fields, not of its place
    char *paths[HT_MAX_BATCH]; // below the folder of results; of malloc
    batch_state state;
    uint32_t attempts; // that failed
    size_t group;      // of tasks that share an open model
} batch_task;

typedef struct batch_plan {
    batch_task *tasks; // in the order of the file
    size_t count, groups;
    struct json_t *texts; // whatever owns the texts of the tasks
    struct json_t *seen;  // how often each key was there
} batch_plan;

// plan.c: read the file of jobs, expand them. False after a message, which names the line.
bool batch_plan_read(const batch_options *options, const ht_job *defaults, ht_app_log *log,
                     batch_plan *plan);
// Only the defaults that the file begins with, on top of `defaults`; texts are kept by the plan.
bool batch_plan_defaults(const batch_options *options, ht_app_log *log, batch_plan *plan,
                         ht_job *defaults);
void batch_plan_free(batch_plan *plan);

// expand.c: the tasks of one line. False with a sentence in `why`.
bool batch_expand(const batch_options *options, const ht_job *defaults, const struct json_t *line,
                  size_t number, batch_plan *plan, char *why, size_t why_bytes);

// axes.c: lists of values.
typedef struct batch_axis {
    const char *key;       // a field of jobs
    struct json_t *values; // array
} batch_axis;
enum { BATCH_MAX_AXES = 16 };
typedef struct batch_axes {
    batch_axis axes[BATCH_MAX_AXES];
    size_t count, combinations;
} batch_axes;
// From "prompts", "prompt_file" and "matrix". False with a sentence in `why`.
bool batch_axes_read(const struct json_t *line, batch_axes *out, char *why, size_t why_bytes);
void batch_axes_free(batch_axes *axes);
// The values of combination `index` as an object of fields; the last axis is the fastest. NULL: out of
// memory.
struct json_t *batch_axes_at(const batch_axes *axes, size_t index);

// ranges.c: "1-5, 8, 10-20 (+5), 0-1 [5]" as an array of numbers. NULL with a sentence in `why`.
struct json_t *batch_range(const char *text, bool whole, char *why, size_t why_bytes);

// wildcards.c: {a|b}, {2$$a|b|c}, __NAME__ of DIR/NAME.txt, chosen by the seed; \ takes the meaning from
// the next character of { } | _ $. A text of malloc; NULL with a sentence in `why`.
char *batch_wildcards(const char *prompt, const char *folder, uint64_t *random, char *why,
                      size_t why_bytes);

// names.c: paths for all tasks that have none. False with a sentence in `why`.
bool batch_names(batch_plan *plan, char *why, size_t why_bytes);
// Is this a path that stays in the folder of results?
bool batch_name_is_inside(const char *path);

// order.c: number the groups, and give the tasks of this part in the order in which they are to be done:
// models, LoRAs, sizes and prompts that are alike follow each other. `tasks` [plan->count] is filled.
// Returns how many there are.
size_t batch_order(batch_plan *plan, const batch_options *options, batch_task **tasks);

// results.c: what is recorded in the folder, and adding to it.
typedef struct batch_results {
    int file;   // this part's, locked; -1: none
    bool alone; // not one of several parts
    char folder[PATH_MAX], path[PATH_MAX];
    struct json_t *records; // per key the last line that counts
} batch_results;
// Make the folder, lock this part's file, read all files. False after a message.
bool batch_results_open(const batch_options *options, ht_app_log *log, batch_results *out);
// Only read; nothing is made.
bool batch_results_look(const batch_options *options, ht_app_log *log, batch_results *out);
void batch_results_close(batch_results *results);
// Carry over what is recorded about the tasks. False: out of memory.
bool batch_results_apply(const batch_results *results, batch_plan *plan);
// One task of this part: are its pictures there? What a killed run had begun to hand over is finished
// (with `change`); what it left of a task that is not done is removed.
void batch_results_check(const batch_results *results, batch_task *task, bool change,
                         ht_app_log *log);
// Add a line, to the disk. False with a sentence in `why`; then the file is as before.
bool batch_results_add(batch_results *results, const struct json_t *record, char *why,
                       size_t why_bytes);
// Which tasks there are, for merge. False with a sentence in `why`.
bool batch_results_plan(const batch_results *results, const batch_plan *plan, char *why,
                        size_t why_bytes);
// records.c: read the lines of one file into `records`, with the lines as "text" if asked for; a torn
// last line does not count. *whole: bytes before it. False with a sentence in `why`.
bool batch_results_read(const char *path, struct json_t *records, bool texts, size_t *whole,
                        ht_app_log *log, char *why, size_t why_bytes);
// Call for each results*.jsonl in the folder, sorted; false stops.
bool batch_results_each(const char *folder, bool (*each)(void *user, const char *path), void *user);
// Path of a picture while it is handed over, and its final one. False: too long.
bool batch_part_path(const batch_results *results, const char *key, uint32_t index,
                     char path[PATH_MAX]);
bool batch_final_path(const batch_results *results, const char *name, char path[PATH_MAX]);

// How many images the engine makes for a job of this task: more than one each for clips.
size_t batch_images(const batch_task *task, const ht_job *job);

// keep.c: hand the pictures of a task over. Either all are there and recorded, or nothing is. False with
// a sentence in `why`: the disk is full, for instance.
typedef struct batch_work {
    double open_seconds, seconds; // of the model, if it was opened for this task; of everything
    char device[256], driver[256];
} batch_work;
// `job`: the task's, with what the model filled in about clips, of which each has so many images.
bool batch_keep(const batch_options *options, batch_results *results, batch_task *task,
                const ht_job *job, const ht_image *images, const ht_report *report, const batch_work *work, char *why,
                size_t why_bytes);
// Record that it failed.
bool batch_keep_failure(const batch_options *options, batch_results *results, batch_task *task,
                        const char *error, char *why, size_t why_bytes);

// keeper.c: the same by a thread that works beside the engine. What a keeper is given belongs to it until
// batch_keeper_wait: the task, and the results. NULL: there can be no thread.
typedef struct batch_keeper batch_keeper;
batch_keeper *batch_keeper_create(const batch_options *options, batch_results *results);
void batch_keeper_destroy(batch_keeper **keeper);
// False with a sentence in `why` when this task cannot be taken, or the one before could not be kept.
bool batch_keeper_give(batch_keeper *keeper, batch_task *task, const ht_job *job,
                       const ht_image *images, const ht_report *report, const batch_work *work, char *why,
                       size_t why_bytes);
// Until all that was given is kept; false with a sentence in `why` when something could not be.
bool batch_keeper_wait(batch_keeper *keeper, char *why, size_t why_bytes);

// run.c: everything behind the options; an exit code.
int batch_run(const batch_options *options, int argc, char **argv, ht_app_log *log,
              const volatile int *stop);
// show.c: --dry-run.
int batch_show(const batch_options *options, batch_plan *plan, batch_task **tasks, size_t count,
               ht_app_log *log);
// merge.c
int batch_merge(const batch_options *options, ht_app_log *log);
// sheet.c: contact-sheet.png of all pictures that are recorded, in the order of the plan.
bool batch_sheet(const char *folder, const struct json_t *records, ht_app_log *log);

#endif

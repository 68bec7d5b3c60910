// What the files of gen share.
#ifndef HT_GEN_H
#define HT_GEN_H

#include "options.h"

#include "common/job_output.h"
#include "common/log.h"
#include "common/progress.h"

#include <limits.h>

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CANCELLED = 130 };

// Where one picture stands among all of the call.
typedef struct gen_place {
    uint64_t seed;
    size_t index, count;
} gen_place;

// output.c
// Choose the file's name and check that it can be written; false after a message.
bool gen_output_name(const gen_options *options, ht_app_log *log, const gen_place *place,
                     char path[PATH_MAX]);
// The same for the first name, --preview and --json, before anything is computed.
bool gen_output_check(const gen_options *options, ht_app_log *log, const gen_place *first);
bool gen_preview_write(const gen_options *options, ht_app_log *log, const ht_image *image);

// report.c: what --json writes.
typedef struct gen_report {
    const gen_options *options;
    const char *model_path, *device, *driver;
    double open_seconds, total_seconds;
    const ht_job_picture *pictures;
    size_t count;
} gen_report;
bool gen_report_write(const gen_report *report, ht_app_log *log);

// lists.c: answers of --list-..., to stdout; an exit code.
int gen_list(const gen_options *options, ht_app_log *log);

// run.c: everything behind the options; an exit code. `stop` becomes non-zero on Ctrl-C.
int gen_run(const gen_options *options, ht_app_log *log, const volatile int *stop);

#endif

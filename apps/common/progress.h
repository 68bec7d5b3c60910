// A progress bar on stderr: one line that is rewritten on a terminal, else a line every few seconds.
#ifndef HT_APP_PROGRESS_H
#define HT_APP_PROGRESS_H

#include "log.h"

#include <pipeline.h>

typedef struct ht_app_progress {
    ht_app_log *log;
    bool quiet, terminal;
    double every;     // seconds between plain lines
    double last_line; // time of the last one
    char prefix[40];  // "2/5 " of several pictures
} ht_app_progress;

// HALFTONE_PROGRESS=lines in the environment: a plain line for each call of show, for programs.
void ht_app_progress_init(ht_app_progress *progress, ht_app_log *log, bool quiet);
void ht_app_progress_show(ht_app_progress *progress, const ht_progress *now);
void ht_app_progress_clear(ht_app_progress *progress);
double ht_app_seconds(void);

#endif

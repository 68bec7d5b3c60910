// Messages of the library and of the program on stderr, below the progress bar.
#ifndef HT_APP_LOG_H
#define HT_APP_LOG_H

#include <halftone/context.h>

typedef struct ht_app_log {
    const char *program;
    ht_log_level level;
    bool silent;      // write nothing; errors are kept all the same
    bool bar;         // a progress bar stands on the last line: clear it first
    char error[2048]; // the last error's sentence; clear it to see whether there is another
} ht_app_log;

// For ht_context_desc.log; `user` is the ht_app_log.
void ht_app_log_write(void *user, ht_log_level level, const char *text);
void ht_app_say(ht_app_log *log, ht_log_level level, const char *format, ...) HT_PRINTF(3, 4);

#endif

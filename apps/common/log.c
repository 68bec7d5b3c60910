// Messages on stderr.
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

void ht_app_log_write(void *user, ht_log_level level, const char *text) {
    static const char *const heads[] = {
        [HT_LOG_ERROR] = "error: ", [HT_LOG_WARN] = "warning: ", [HT_LOG_INFO] = "",
        [HT_LOG_DEBUG] = "",        [HT_LOG_TRACE] = "",
    };
    ht_app_log *log = user;
    if (level == HT_LOG_ERROR) {
        snprintf(log->error, sizeof(log->error), "%s", text);
    }
    if (log->silent || level > log->level) {
        return;
    }
    fprintf(stderr, "%s%s: %s%s\n", log->bar ? "\r\033[K" : "", log->program, heads[level], text);
    log->bar = false;
}

void ht_app_say(ht_app_log *log, ht_log_level level, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ht_app_log_write(log, level, text);
}

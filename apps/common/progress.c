// A progress bar on stderr.
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double PLAIN_SECONDS = 5;

double ht_app_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void ht_app_progress_init(ht_app_progress *progress, ht_app_log *log, bool quiet) {
    const char *form = getenv("HALFTONE_PROGRESS");
    const bool lines = form && strcmp(form, "lines") == 0;
    *progress = (ht_app_progress){.log = log,
                                  .quiet = quiet && !lines,
                                  .terminal = !lines && isatty(2) != 0,
                                  .every = lines ? 0 : PLAIN_SECONDS,
                                  .last_line = ht_app_seconds()};
}

void ht_app_progress_clear(ht_app_progress *progress) {
    if (progress->log->bar) {
        fputs("\r\033[K", stderr);
        progress->log->bar = false;
    }
}

// "| 12/20 - 3.41it/s, 2 s left"
static void describe(const ht_progress *now, char *text, size_t bytes) {
    double rate = now->seconds > 0 ? now->step / now->seconds : 0;
    double left = rate > 0 ? (now->steps - now->step) / rate : 0;
    int n = snprintf(text, bytes, "%u/%u", now->step, now->steps);
    if (now->step > 0 && n > 0 && (size_t)n < bytes) {
        snprintf(text + n, bytes - (size_t)n,
                 rate >= 1 ? " - %.2fit/s, %.0f s left" : " - %.2fs/it, %.0f s left",
                 rate >= 1 ? rate : 1 / rate, left);
    }
}

void ht_app_progress_show(ht_app_progress *progress, const ht_progress *now) {
    char figures[80] = "", bar[24] = "";
    if (progress->quiet) {
        return;
    }
    if (now->steps > 0) {
        describe(now, figures, sizeof(figures));
    }
    if (progress->terminal) {
        uint32_t width = 20, done = now->steps ? now->step * width / now->steps : 0;
        if (now->steps > 0) {
            memset(bar, ' ', width);
            memset(bar, '=', done);
            if (done < width) {
                bar[done] = '>';
            }
            bar[width] = 0;
        }
        fprintf(stderr, "\r\033[K%s%-7s %s%s%s%s", progress->prefix, ht_phase_name(now->phase),
                *bar ? "|" : "", bar, *bar ? "| " : "", figures);
        fflush(stderr);
        progress->log->bar = true;
    } else if (ht_app_seconds() - progress->last_line >= progress->every) {
        progress->last_line = ht_app_seconds();
        fprintf(stderr, "%s%s %s\n", progress->prefix, ht_phase_name(now->phase), figures);
    }
}

// gen-batch: the pictures of a file of jobs. Signals, and what to do.
#include "batch.h"

#include "common/stop.h"

#include <stdio.h>

int main(int argc, char **argv) {
    batch_options options;
    if (!batch_options_parse(argc, argv, &options)) {
        return EXIT_USAGE;
    }
    if (options.help) {
        batch_options_help();
        return EXIT_GOOD;
    }
    if (options.version) {
        printf("halftone %s\n", HT_VERSION);
        return EXIT_GOOD;
    }
    static const ht_log_level levels[] = {HT_LOG_WARN, HT_LOG_INFO, HT_LOG_DEBUG, HT_LOG_TRACE};
    const int verbose = options.verbose > 3 ? 3 : options.verbose;
    ht_app_log log = {.program = "gen-batch",
                      .level = options.quiet ? HT_LOG_ERROR : levels[verbose]};
    ht_app_guard_signals("gen-batch");
    if (options.merge) {
        return batch_merge(&options, &log);
    }
    return batch_run(&options, argc, argv, &log, ht_app_stop_on_signals(EXIT_CANCELLED));
}

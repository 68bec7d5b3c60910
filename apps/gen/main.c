// gen: a picture from a text. Signals, and what to do.
#include "gen.h"

#include "common/stop.h"

#include <stdio.h>

int main(int argc, char **argv) {
    gen_options options;
    if (!gen_options_parse(argc, argv, &options)) {
        return EXIT_USAGE;
    }
    if (options.help) {
        gen_options_help();
        return EXIT_GOOD;
    }
    if (options.version) {
        printf("halftone %s\n", HT_VERSION);
        return EXIT_GOOD;
    }
    static const ht_log_level levels[] = {HT_LOG_WARN, HT_LOG_INFO, HT_LOG_DEBUG, HT_LOG_TRACE};
    int verbose = options.verbose > 3 ? 3 : options.verbose;
    ht_app_log log = {.program = "gen", .level = options.quiet ? HT_LOG_ERROR : levels[verbose]};
    if (options.list_devices || options.list_models || options.list_samplers ||
        options.list_recipes || options.list_formats) {
        return gen_list(&options, &log);
    }
    ht_app_guard_signals("gen");
    return gen_run(&options, &log, ht_app_stop_on_signals(EXIT_CANCELLED));
}

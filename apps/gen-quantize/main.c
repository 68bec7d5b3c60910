// gen-quantize: a float checkpoint into a packed one. Signals, and what to do.
#include "attention.h"

#include "common/files.h"
#include "common/stop.h"

#include <stdio.h>

int main(int argc, char **argv) {
    quantize_options options;
    if (!quantize_options_parse(argc, argv, &options)) {
        return EXIT_USAGE;
    }
    if (options.help) {
        quantize_options_help();
        return EXIT_GOOD;
    }
    if (options.version) {
        printf("halftone %s\n", HT_VERSION);
        return EXIT_GOOD;
    }
    ht_app_log log = {.program = "gen-quantize",
                      .level = options.quiet     ? HT_LOG_ERROR
                               : options.verbose ? HT_LOG_INFO
                                                 : HT_LOG_WARN};
    ht_app_guard_signals("gen-quantize");
    const volatile int *stop = ht_app_stop_on_signals(EXIT_CANCELLED);
    if (options.show_stats) {
        return quantize_show(&options, &log) ? EXIT_GOOD : EXIT_FAILED;
    }
    if (options.show_attention) {
        return quantize_attention_show(&options, &log) ? EXIT_GOOD : EXIT_FAILED;
    }
    char statistics[PATH_MAX];
    if (!quantize_calibration(&options, &log, statistics, sizeof(statistics))) {
        return EXIT_USAGE;
    }
    const bool watch = options.attention && options.prompts &&
                       (options.overwrite || !ht_file_exists(options.attention));
    if (watch && !quantize_attention_collect(&options, options.prompts, &log, stop)) {
        return *stop ? EXIT_CANCELLED : EXIT_FAILED;
    }
    if (options.prompts && options.stats && !quantize_collect(&options, &log, stop)) {
        return *stop ? EXIT_CANCELLED : EXIT_FAILED;
    }
    return options.output ? quantize_run(&options, &log, stop) : EXIT_GOOD;
}

// gen-eval: the same prompts and seeds under several recipes, compared. Signals, and what to do.
#include "ablate.h"
#include "eval.h"

#include "common/stop.h"

#include <stdio.h>

int main(int argc, char **argv) {
    eval_options options;
    if (!eval_options_parse(argc, argv, &options)) {
        return EXIT_USAGE;
    }
    if (options.help) {
        eval_options_help();
        return EXIT_GOOD;
    }
    if (options.version) {
        printf("halftone %s\n", HT_VERSION);
        return EXIT_GOOD;
    }
    ht_app_log log = {.program = "gen-eval",
                      .level = options.quiet         ? HT_LOG_ERROR
                               : options.verbose > 1 ? HT_LOG_DEBUG
                               : options.verbose     ? HT_LOG_INFO
                                                     : HT_LOG_WARN};
    ht_app_guard_signals("gen-eval");
    const volatile int *stop = ht_app_stop_on_signals(EXIT_CANCELLED);
    if (options.ablate) {
        const int code = eval_ablate(&options, &log, stop);
        if (code != EXIT_GOOD) {
            return code;
        }
    }
    return options.layers ? eval_layers(&options, &log, stop) : eval_run(&options, &log, stop);
}

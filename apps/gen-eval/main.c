// gen-eval: the same prompts and seeds under several recipes, compared. Signals, and what to do.
#include "eval.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t stop_asked;
static volatile int stop;

// The first time the run ends at its next step, the second time at once.
static void on_stop(int signal_number) {
    (void)signal_number;
    if (stop_asked) {
        _exit(EXIT_CANCELLED);
    }
    stop_asked = 1;
    stop = 1;
}

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
    struct sigaction action = {.sa_handler = on_stop};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return eval_run(&options, &log, &stop);
}

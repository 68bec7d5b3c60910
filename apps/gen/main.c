// gen: a picture from a text. Signals, and what to do.
#include "gen.h"

#include "common/stop.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void on_bus_error(int signal_number) {
    (void)signal_number;
    static const char text[] =
        "\ngen: error: a model file changed or shrank while it was being read\n";
    ssize_t ignored = write(2, text, sizeof(text) - 1);
    (void)ignored;
    _exit(EXIT_FAILED);
}

static void handle(int signal_number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, NULL);
}

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
    handle(SIGBUS, on_bus_error);
    handle(SIGPIPE, SIG_IGN);
    return gen_run(&options, &log, ht_app_stop_on_signals(EXIT_CANCELLED));
}

// Ctrl-C and SIGTERM.
#include "stop.h"

#include <signal.h>
#include <unistd.h>

static volatile int stop;
static int code_at_once;

static void on_stop(int signal_number) {
    (void)signal_number;
    if (stop) {
        _exit(code_at_once);
    }
    stop = 1;
}

const volatile int *ht_app_stop_on_signals(int exit_code) {
    struct sigaction action = {.sa_handler = on_stop};
    code_at_once = exit_code;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop;
}

static const char *guarded;

static void on_bus_error(int signal_number) {
    (void)signal_number;
    static const char text[] = ": error: a model file changed or shrank while it was being read\n";
    size_t length = 0;
    while (guarded[length]) {
        ++length;
    }
    ssize_t ignored = write(2, "\n", 1);
    ignored = write(2, guarded, length);
    ignored = write(2, text, sizeof(text) - 1);
    (void)ignored;
    _exit(1);
}

void ht_app_guard_signals(const char *program) {
    struct sigaction on_bus = {.sa_handler = on_bus_error}, ignore = {.sa_handler = SIG_IGN};
    guarded = program;
    sigemptyset(&on_bus.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGBUS, &on_bus, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

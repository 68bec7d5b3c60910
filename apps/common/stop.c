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

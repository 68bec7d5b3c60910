// Ctrl-C and SIGTERM.
#ifndef HT_APP_STOP_H
#define HT_APP_STOP_H

// From now on the first of them sets the flag that is returned, and the run ends at its next step;
// the second ends the program at once with `exit_code`.
const volatile int *ht_app_stop_on_signals(int exit_code);

// A mapped file that shrinks ends the program with a sentence, and a pipe that was closed is an error
// of writing, not a signal; so is a limit of files' size. `program` is kept.
void ht_app_guard_signals(const char *program);

#endif

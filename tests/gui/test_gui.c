// The window under test, from outside: test_gui [FILTER].
#include "test_gui.h"

#include "drive.h"
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int stop_program(void **state) {
    (void)state;
    if (gui_pid() > 0 && waitpid(gui_pid(), NULL, WNOHANG) == 0) { // a test has failed
        kill(gui_pid(), SIGKILL);
        waitpid(gui_pid(), NULL, 0);
    }
    // The next test begins as at the first start, whatever this one has left in the form.
    char settings[1024];
    snprintf(settings, sizeof(settings), "%s/halftone/gui.ini", getenv("XDG_CONFIG_HOME"));
    unlink(settings);
    return 0;
}

// GTK 4.8 tells the registry of a program before the program answers questions for its cache, which
// libatspi asks at once, and warns about; it then asks for every object by itself.
static void hear(const char *domain, GLogLevelFlags level, const char *message, gpointer user) {
    if (!strstr(message, "Error in GetItems")) {
        g_log_default_handler(domain, level, message, user);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_generate, stop_program),
        cmocka_unit_test_teardown(test_names, stop_program),
        cmocka_unit_test_teardown(test_cancel, stop_program),
        cmocka_unit_test_teardown(test_queue, stop_program),
        cmocka_unit_test_teardown(test_sentence, stop_program),
        cmocka_unit_test_teardown(test_settings_of_pictures, stop_program),
        cmocka_unit_test_teardown(test_gallery, stop_program),
        cmocka_unit_test_teardown(test_drop, stop_program),
        cmocka_unit_test_teardown(test_mask, stop_program),
        cmocka_unit_test_teardown(test_clip, stop_program),
        cmocka_unit_test_teardown(test_more_fields, stop_program),
        cmocka_unit_test_teardown(test_refused_fields, stop_program),
        cmocka_unit_test_teardown(test_compare, stop_program),
        cmocka_unit_test_teardown(test_pack, stop_program),
        cmocka_unit_test_teardown(test_windows, stop_program),
        cmocka_unit_test_teardown(test_remembered, stop_program),
        cmocka_unit_test_teardown(test_close_while_running, stop_program),
        cmocka_unit_test_teardown(test_cancel_memory, stop_program),
        cmocka_unit_test_teardown(test_memory, stop_program),
    };
    g_log_set_handler("dbind", G_LOG_LEVEL_MASK, hear, NULL);
    atspi_init();
    g_object_unref(
        atspi_get_desktop(0)); // starts the registry, which programs look for when they start
    gui_sleep(1);
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The program under test.
#include "drive.h"

#include "support.h"

#include <common/video.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t program;
static char log_path[512];

pid_t gui_pid(void) {
    return program;
}

double gui_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void gui_sleep(double seconds) {
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

static pid_t spawn(const char *argument, const char *log) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        const char *other = getenv("HT_GUI_PROGRAM"); // built with sanitizers, say
        execl(other ? other : HT_GUI_PATH, "gen-gui", *argument ? argument : NULL, (char *)NULL);
        _exit(127);
    }
    return child;
}

static void show_log(void) {
    char line[1024];
    FILE *stream = fopen(log_path, "r");
    while (stream && fgets(line, sizeof(line), stream)) {
        fputs(line, stderr);
    }
    if (stream) {
        fclose(stream);
    }
}

void gui_fail(const char *format, ...) {
    char sentence[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s; what is seen:\n", sentence);
    gui_print_seen();
    show_log();
    gui_shot("failure");
    fail_msg("%s", sentence);
}

void gui_expect_running(void) {
    int status;
    if (program > 0 && waitpid(program, &status, WNOHANG) == program) {
        program = 0;
        show_log();
        fail_msg("the program ended meanwhile, with status 0x%x", (unsigned)status);
    }
}

void gui_open(const char *arguments) {
    snprintf(log_path, sizeof(log_path), "%s/gen-gui.log", getenv("HOME"));
    program = spawn(arguments, log_path);
    gui_expect(ATSPI_ROLE_FRAME, "Halftone", SOON);
    // Models are looked into on another thread; what is known of the chosen one moves the form.
    gui_expect(ATSPI_ROLE_LABEL, "* × * · * step*", SOON);
}

void gui_hand_over(const char *path) {
    char log[600];
    int status;
    snprintf(log, sizeof(log), "%s.second", log_path);
    pid_t second = spawn(path, log);
    assert_int_equal(waitpid(second, &status, 0), second);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        gui_fail("handing over '%s' ended with status 0x%x", path, (unsigned)status);
    }
}

// GTK's and GLib's complaints, and ours.
static void expect_silence(void) {
    char line[1024];
    FILE *stream = fopen(log_path, "r");
    assert_non_null(stream);
    bool silent = true;
    while (fgets(line, sizeof(line), stream)) {
        silent = false;
        fprintf(stderr, "gen-gui says: %s", line);
    }
    fclose(stream);
    if (!silent) {
        fail_msg("the program wrote to stderr, see above");
    }
}

// No file that is not whole.
static void expect_whole(void) {
    DIR *dir = opendir(gui_results());
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        if (strncmp(entry->d_name, ".ht-", 4) == 0) {
            fail_msg("'%s' was left behind", entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

void gui_expect_end(void) {
    const double until = gui_seconds() + SOON;
    int status;
    pid_t ended = 0;
    while (ended == 0 && gui_seconds() < until) {
        ended = waitpid(program, &status, WNOHANG);
        gui_sleep(0.02);
    }
    if (ended == 0) {
        gui_fail("the program did not end within %g s", SOON);
    }
    program = 0;
    expect_silence();
    expect_whole();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("the program ended with status 0x%x", (unsigned)status);
    }
}

void gui_close(void) {
    gui_keys("ctrl+q");
    gui_expect_end();
}

long gui_resident_kib(void) {
    char path[64], line[256];
    long kib = -1;
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)program);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    while (fgets(line, sizeof(line), stream)) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            kib = strtol(line + 6, NULL, 10);
        }
    }
    fclose(stream);
    return kib;
}

const char *gui_results(void) {
    static char path[512];
    snprintf(path, sizeof(path), "%s/Pictures/halftone", getenv("HOME"));
    return path;
}

void gui_shell(const char *command) {
    if (system(command) != 0) {
        gui_fail("'%s' did not work", command);
    }
}

void gui_put_picture(void) {
    char command[2048];
    snprintf(command, sizeof(command), "mkdir -p '%s' && cp assets/pictures/first.png '%s'",
             gui_results(), gui_results());
    gui_shell(command);
}

static bool is_result(const char *name) {
    return name[0] != '.' && (strstr(name, ".png") || ht_video_is(name));
}

int gui_count_results(void) {
    DIR *dir = opendir(gui_results());
    int count = 0;
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        count += is_result(entry->d_name);
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

void gui_wait_results(int count) {
    GUI_UNTIL(gui_count_results() >= count, LONG, "%d results are there instead of %d",
              gui_count_results(), count);
    assert_int_equal(gui_count_results(), count);
}

const char *gui_newest_result(void) {
    static char newest[1024];
    struct timespec best = {0};
    *newest = 0;
    DIR *dir = opendir(gui_results());
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        char path[1024];
        struct stat info;
        snprintf(path, sizeof(path), "%s/%s", gui_results(), entry->d_name);
        if (is_result(entry->d_name) && stat(path, &info) == 0 &&
            (info.st_mtim.tv_sec > best.tv_sec ||
             (info.st_mtim.tv_sec == best.tv_sec && info.st_mtim.tv_nsec > best.tv_nsec))) {
            best = info.st_mtim;
            memcpy(newest, path, sizeof(newest));
        }
    }
    closedir(dir);
    return newest;
}

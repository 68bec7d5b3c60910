// Making pictures: previews, cancelling, the queue, closing, memory.
#include "test_gui.h"

#include "drive.h"
#include "files.h"
#include "support.h"

#include <common/infotext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char PROMPT[] = "a red sphere left of a blue cube on a checkerboard";
// The first run compiles kernels.

static void prepare(const char *steps) {
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", PROMPT);
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Steps", steps);
}

// gen writes the same bytes for the same seed.
static void expect_same_as_gen(uint64_t seed) {
    char path[512], command[2048], output[4096];
    size_t ours_bytes, bytes;
    snprintf(path, sizeof(path), "%s/gen.png", getenv("HOME"));
    snprintf(command, sizeof(command),
             "'%s' --prompt '%s' --steps 12 --seed %llu --output '%s' 2>&1", HT_GEN_PATH, PROMPT,
             (unsigned long long)seed, path);
    if (ht_test_run(command, output, sizeof(output)) != 0) {
        gui_fail("%s", output);
    }
    uint8_t *ours = ht_test_read_file(gui_newest_result(), &ours_bytes);
    uint8_t *gen = ht_test_read_file(path, &bytes);
    assert_int_equal(ours_bytes, bytes);
    assert_memory_equal(ours, gen, bytes);
    free(ours);
    free(gen);
}

// By the keyboard; the file says what was asked for, and is the one that gen writes.
void test_generate(void **state) {
    (void)state;
    ht_infotext info;
    char why[1024];
    gui_open("");
    gui_shot("empty");
    prepare("12");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    gui_wait_results(before + 1);
    gui_wait_gone(ATSPI_ROLE_PUSH_BUTTON, "Cancel", SOON);
    if (!ht_infotext_read(gui_newest_result(), &info, why, sizeof(why))) {
        gui_fail("%s", why);
    }
    assert_string_equal(info.job.prompt, PROMPT);
    assert_int_equal(info.job.steps, 12);
    char *caption = gui_name(ATSPI_ROLE_LABEL, "128 × 128 · seed *"), expected[64];
    snprintf(expected, sizeof(expected), "128 × 128 · seed %llu · fp16",
             (unsigned long long)info.job.seed);
    if (strncmp(caption, expected, strlen(expected)) != 0) {
        gui_fail("below the picture is '%s' instead of '%s'", caption, expected);
    }
    g_free(caption);
    gui_shot("create");
    gui_close();
    expect_same_as_gen((uint64_t)info.job.seed);
    ht_infotext_free(&info);
}

static void expect_no_results(int before) {
    if (gui_count_results() != before) {
        gui_fail("a picture that was stopped is there: '%s'", gui_newest_result());
    }
}

// The picture changes with the steps; it stops within one of them, and nothing is left.
void test_cancel(void **state) {
    (void)state;
    const int area[4] = {600, 120, 320, 480};
    gui_open("");
    prepare("900");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    gui_expect(ATSPI_ROLE_LABEL, "Step * of 900", LONG);
    gui_expect(ATSPI_ROLE_LABEL, "*it*", SOON);
    for (int looks = 0; looks < 6; ++looks) {
        const uint64_t last = gui_look(area);
        GUI_UNTIL(gui_look(area) != last, SOON, "the preview stands still after %d steps", looks);
    }
    gui_expect(ATSPI_ROLE_LABEL, "Step * of 900", SOON);
    gui_shot("running");
    const double began = gui_seconds();
    gui_keys("Escape");
    gui_wait_gone(ATSPI_ROLE_PUSH_BUTTON, "Cancel", SOON);
    printf("cancelled within %.2f s\n", gui_seconds() - began);
    expect_no_results(before);
    gui_close();
}

static bool has_rows(const char *first, const char *second) {
    char *names[8] = {NULL};
    const int count = gui_rows("Queue", names, 8);
    const bool same = count == 3 && strcmp(names[1], first) == 0 && strcmp(names[2], second) == 0;
    for (int i = 0; i < count; ++i) {
        g_free(names[i]);
    }
    return same;
}

static void expect_rows(const char *first, const char *second) {
    GUI_UNTIL(has_rows(first, second), SOON, "'%s' and '%s' do not wait in this order", first,
              second);
}

// Two wait, change places, and are made after the running one was cancelled.
void test_queue(void **state) {
    (void)state;
    gui_open("");
    prepare("900");
    gui_keys("ctrl+Return");
    gui_expect(ATSPI_ROLE_LABEL, "Step *", LONG);
    prepare("2");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", "a green cone on sand");
    gui_keys("ctrl+Return");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", "a yellow torus at night");
    gui_keys("ctrl+Return");
    gui_keys("alt+2");
    expect_rows("a green cone on sand", "a yellow torus at night");
    gui_shot("queue");
    // "Later" of the first that waits
    gui_press("Later");
    expect_rows("a yellow torus at night", "a green cone on sand");
    const int before = gui_count_results();
    gui_keys("Escape");
    gui_wait_gone(ATSPI_ROLE_LABEL, "a green cone on sand", LONG);
    gui_wait_results(before + 2);
    gui_close();
}

// What cannot be done is said in the window, and the next job is none the worse.
void test_sentence(void **state) {
    (void)state;
    gui_open("");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", " ");
    gui_keys("ctrl+Return");
    gui_expect(ATSPI_ROLE_LABEL, "Write what the picture shows first.", SOON);
    gui_press("Close this message");
    gui_wait_gone(ATSPI_ROLE_LABEL, "Write what the picture shows first.", SOON);
    prepare("2");
    gui_hand_over("tests/data/gui/no-such-model.png");
    gui_expect(ATSPI_ROLE_LABEL, "The model “no-such-model” is not here*", SOON);
    gui_shot("sentence");
    gui_close();
}

// The window goes at once, the program at the end of the step.
void test_close_while_running(void **state) {
    (void)state;
    gui_open("");
    prepare("900");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    gui_expect(ATSPI_ROLE_LABEL, "Step * of 900", LONG);
    const double began = gui_seconds();
    gui_keys("ctrl+q");
    gui_expect_end();
    printf("ended %.2f s after closing during a run\n", gui_seconds() - began);
    expect_no_results(before);
}

// A job that is stopped gives back what it took.
void test_cancel_memory(void **state) {
    (void)state;
    long early = 0;
    gui_open("");
    prepare("900");
    for (int i = 0; i < 12; ++i) {
        gui_keys("ctrl+Return");
        gui_expect(ATSPI_ROLE_LABEL, "Step * of 900", LONG);
        gui_keys("Escape");
        gui_wait_gone(ATSPI_ROLE_PUSH_BUTTON, "Cancel", SOON);
        early = i == 3 ? gui_resident_kib() : early;
    }
    const long late = gui_resident_kib();
    printf("resident: %ld KiB after 4 stopped jobs, %ld KiB after 12\n", early, late);
    if (late - early >= 4 * 1024 && !getenv("HT_GUI_PROGRAM")) { // sanitizers keep what is freed
        gui_fail("the program grew by %ld KiB over eight stopped jobs", late - early);
    }
    gui_close();
}

// Fifty pictures later it holds no more than after ten.
void test_memory(void **state) {
    (void)state;
    gui_open("");
    prepare("2");
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Pictures", "60");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    GUI_UNTIL(gui_count_results() >= before + 10, LONG, "there are not ten pictures yet");
    const long early = gui_resident_kib();
    gui_wait_results(before + 60);
    const long late = gui_resident_kib();
    printf("resident: %ld KiB after 10 pictures, %ld KiB after 60\n", early, late);
    if (late - early >= 8 * 1024 && !getenv("HT_GUI_PROGRAM")) {
        gui_fail("the program grew by %ld KiB over fifty pictures", late - early);
    }
    gui_close();
}

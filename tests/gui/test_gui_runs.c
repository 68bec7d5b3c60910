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
static const double LONG = 240;

static void prepare(const char *steps) {
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", PROMPT);
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Steps", steps);
    gui_keys("Tab");
}

// Generate, and how many different pictures were seen on the way.
static int count_looks(double seconds) {
    int area[4] = {600, 120, 320, 480}, looks = 0;
    uint64_t last = gui_look(area);
    const int before = gui_count_results();
    const double until = gui_seconds() + seconds;
    gui_keys("ctrl+Return");
    while (gui_count_results() == before && gui_seconds() < until) {
        const uint64_t now = gui_look(area);
        looks += now != last;
        last = now;
        gui_sleep(0.005);
    }
    assert_int_equal(gui_count_results(), before + 1);
    return looks;
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
        fail_msg("%s", output);
    }
    uint8_t *ours = ht_test_read_file(gui_newest_result(), &ours_bytes);
    uint8_t *gen = ht_test_read_file(path, &bytes);
    assert_int_equal(ours_bytes, bytes);
    assert_memory_equal(ours, gen, bytes);
    free(ours);
    free(gen);
}

// By the keyboard; every step is shown, and the file says what was asked for.
void test_generate(void **state) {
    (void)state;
    ht_infotext info;
    char why[1024];
    gui_open("");
    gui_shot("empty");
    prepare("12");
    count_looks(LONG); // kernels are compiled
    gui_wait_gone(ATSPI_ROLE_PUSH_BUTTON, "Cancel", LONG);
    const int looks = count_looks(LONG);
    printf("%d pictures were seen during 12 steps\n", looks);
    assert_true(looks >= 6);
    gui_wait_gone(ATSPI_ROLE_PUSH_BUTTON, "Cancel", 20);
    if (!ht_infotext_read(gui_newest_result(), &info, why, sizeof(why))) {
        fail_msg("%s", why);
    }
    assert_string_equal(info.prompt, PROMPT);
    assert_int_equal(info.steps, 12);
    char *caption = gui_name(ATSPI_ROLE_LABEL, "128 × 128 · seed *"), expected[64];
    snprintf(expected, sizeof(expected), "128 × 128 · seed %llu · fp16",
             (unsigned long long)info.seed);
    assert_int_equal(strncmp(caption, expected, strlen(expected)), 0);
    g_free(caption);
    gui_shot("create");
    gui_close();
    expect_same_as_gen(info.seed);
    ht_infotext_free(&info);
}

// Within one step, and nothing is left.
void test_cancel(void **state) {
    (void)state;
    gui_open("");
    prepare("900");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    AtspiAccessible *step = gui_wait(ATSPI_ROLE_LABEL, "Step * of 900", LONG);
    g_object_unref(step);
    char *figures = gui_name(ATSPI_ROLE_LABEL, "*it*");
    g_free(figures);
    gui_shot("running");
    const double began = gui_seconds();
    gui_keys("Escape");
    gui_wait_gone(ATSPI_ROLE_PUSH_BUTTON, "Cancel", 5);
    printf("cancelled within %.2f s\n", gui_seconds() - began);
    assert_int_equal(gui_count_results(), before);
    gui_close();
}

static void expect_rows(const char *first, const char *second) {
    const double until = gui_seconds() + 5;
    bool same = false;
    while (!same && gui_seconds() < until) {
        char *names[8] = {NULL};
        const int count = gui_rows("Queue", names, 8);
        same = count == (second ? 3 : 2) && strcmp(names[1], first) == 0 &&
               (!second || strcmp(names[2], second) == 0);
        for (int i = 0; i < count; ++i) {
            g_free(names[i]);
        }
    }
    if (!same) {
        gui_shot("failure");
        fail_msg("the queue is not '%s', '%s'", first, second ? second : "");
    }
}

// Two wait, change places, and are made after the running one was cancelled.
void test_queue(void **state) {
    (void)state;
    gui_open("");
    prepare("900");
    gui_keys("ctrl+Return");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "Step *", LONG));
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
    assert_int_equal(gui_count_results(), before + 2);
    gui_close();
}

// What cannot be done is said in the window, and the next job is none the worse.
void test_sentence(void **state) {
    (void)state;
    gui_open("");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", " ");
    gui_keys("ctrl+Return");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "Write what the picture shows first.", 5));
    gui_press("Close this message");
    gui_wait_gone(ATSPI_ROLE_LABEL, "Write what the picture shows first.", 5);
    prepare("2");
    gui_hand_over("tests/data/gui/no-such-model.png");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "The model “no-such-model” is not here*", 5));
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
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "Step * of 900", LONG));
    const double began = gui_seconds();
    gui_keys("ctrl+q");
    gui_expect_end(20);
    printf("ended %.2f s after closing during a run\n", gui_seconds() - began);
    assert_int_equal(gui_count_results(), before);
}

// Fifty pictures later it holds no more than after ten.
void test_memory(void **state) {
    (void)state;
    gui_open("");
    prepare("2");
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Pictures", "60");
    gui_keys("Tab");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    long early = 0;
    const double until = gui_seconds() + 2 * LONG;
    while (gui_count_results() < before + 60 && gui_seconds() < until) {
        if (!early && gui_count_results() >= before + 10) {
            early = gui_resident_kib();
        }
        gui_sleep(0.1);
    }
    assert_int_equal(gui_count_results(), before + 60);
    const long late = gui_resident_kib();
    printf("resident: %ld KiB after 10 pictures, %ld KiB after 60\n", early, late);
    assert_true(late - early < 8 * 1024);
    gui_close();
}

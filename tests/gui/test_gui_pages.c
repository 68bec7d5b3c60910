// The other pages and windows.
#include "test_gui.h"

#include "drive.h"
#include "support.h"

#include <common/infotext.h>
#include <common/png.h>
#include <common/video.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const double LONG = 240;

static void expect_name(AtspiRole role, const char *name) {
    // What GTK itself has inside its widgets carries the names of classes.
    const bool inner = role == ATSPI_ROLE_LIST || role == ATSPI_ROLE_PANEL ||
                       role == ATSPI_ROLE_FILLER || role == ATSPI_ROLE_UNKNOWN ||
                       role == ATSPI_ROLE_LIST_ITEM || role == ATSPI_ROLE_LIST_BOX ||
                       role == ATSPI_ROLE_SCROLL_PANE;
    if (!inner && (!*name || strncmp(name, "Gtk", 3) == 0 || strncmp(name, "Adw", 3) == 0)) {
        fail_msg("a %s has no name for screen readers, but '%s'", atspi_role_get_name(role), name);
    }
}

// Whatever takes the focus or can be pressed has a name.
void test_names(void **state) {
    (void)state;
    static const char *const pages[] = {"alt+1", "alt+2", "alt+3"};
    gui_open("");
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); ++i) {
        gui_keys(pages[i]);
        gui_sleep(0.3);
        gui_each_control(expect_name);
    }
    gui_close();
}

static void expect_text(const char *name, const char *expected) {
    const double until = gui_seconds() + 5;
    char *text = gui_text(name);
    while (strcmp(text, expected) != 0 && gui_seconds() < until) {
        g_free(text);
        gui_sleep(0.05);
        text = gui_text(name);
    }
    assert_string_equal(text, expected);
    g_free(text);
}

static void expect_steps(double expected) {
    const double until = gui_seconds() + 5;
    while (gui_value(ATSPI_ROLE_SPIN_BUTTON, "Steps") != expected && gui_seconds() < until) {
        gui_sleep(0.05);
    }
    assert_int_equal((int)gui_value(ATSPI_ROLE_SPIN_BUTTON, "Steps"), (int)expected);
}

// The next picture has this seed and number of steps.
static void expect_result(uint64_t seed, uint32_t steps) {
    const int before = gui_count_results();
    const double until = gui_seconds() + LONG;
    ht_infotext info;
    char why[1024];
    gui_keys("ctrl+Return");
    while (gui_count_results() == before && gui_seconds() < until) {
        gui_sleep(0.1);
    }
    if (!ht_infotext_read(gui_newest_result(), &info, why, sizeof(why))) {
        fail_msg("%s", why);
    }
    assert_int_equal(info.steps, steps);
    assert_true(info.seed == seed);
    ht_infotext_free(&info);
}

// Pictures of ours, of A1111's and of ComfyUI's fill in the form; the last two are made elsewhere.
void test_settings_of_pictures(void **state) {
    (void)state;
    char own[1024];
    gui_open("tests/data/gui/a1111.png");
    expect_text("Prompt", "a lighthouse at dusk");
    expect_text("Negative prompt", "people");
    expect_steps(7);
    expect_result(1234, 7);
    gui_hand_over("tests/data/gui/comfy.png");
    expect_text("Prompt", "a glass house");
    expect_steps(9);
    snprintf(own, sizeof(own), "%s", gui_newest_result()); // of the first
    gui_hand_over(own);
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "Settings of the picture are in the form", 5));
    gui_close();
}

// A picture among the results: first.png.
static void put_picture(void) {
    char command[2048];
    snprintf(command, sizeof(command), "mkdir -p '%s' && cp assets/pictures/first.png '%s'",
             gui_results(), gui_results());
    assert_int_equal(system(command), 0);
}

// Double click shows, Delete moves to the trash, and files of others appear and go.
void test_gallery(void **state) {
    (void)state;
    char other[1024], command[4096];
    int area[4];
    put_picture();
    gui_open("");
    gui_keys("alt+3");
    static const char name[] = "first.png";
    g_object_unref(gui_wait(ATSPI_ROLE_IMAGE, name, 5));
    gui_shot("gallery");
    snprintf(other, sizeof(other), "%s/zz.png", gui_results());
    snprintf(command, sizeof(command), "cp tests/data/gui/a1111.png '%s'", other);
    assert_int_equal(system(command), 0);
    g_object_unref(gui_wait(ATSPI_ROLE_IMAGE, "zz.png", 10));
    gui_area(ATSPI_ROLE_IMAGE, "zz.png", area);
    gui_click_at(area[0] + area[2] / 2, area[1] + area[3] / 2);
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "a lighthouse at dusk", 5));
    gui_keys("Delete");
    gui_wait_gone(ATSPI_ROLE_IMAGE, "zz.png", 10);
    assert_int_not_equal(access(other, F_OK), 0);
    gui_area(ATSPI_ROLE_IMAGE, name, area);
    gui_click_at(area[0] + area[2] / 2, area[1] + area[3] / 2);
    gui_keys("Return");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "128 × 128*", 5));
    gui_close();
}

// From the gallery onto the form, with the mouse.
static void drop_picture(void) {
    static const char name[] = "first.png";
    int from[4], to[4];
    put_picture();
    gui_keys("alt+3");
    g_object_unref(gui_wait(ATSPI_ROLE_IMAGE, name, 10));
    gui_area(ATSPI_ROLE_IMAGE, name, from);
    gui_scroll_down(190, 300); // the place to drop is at the end of the form
    gui_area(ATSPI_ROLE_PUSH_BUTTON, "Choose a picture to start from", to);
    gui_drag(from[0] + from[2] / 2, from[1] + from[3] / 2, to[0] + to[2] / 2, to[1] + to[3] / 2);
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, name, 5));
}

void test_drop(void **state) {
    (void)state;
    gui_open("");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", "a red cube");
    drop_picture();
    gui_shot("start");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    const double until = gui_seconds() + LONG;
    while (gui_count_results() == before && gui_seconds() < until) {
        gui_sleep(0.1);
    }
    assert_int_equal(gui_count_results(), before + 1);
    gui_wait_gone(ATSPI_ROLE_PUSH_BUTTON, "Cancel", 20);
    gui_press("Do not start from this picture");
    gui_close();
}

// A stroke of the brush becomes a mask as large as the picture, white where it went.
void test_mask(void **state) {
    (void)state;
    char path[1024], command[1200];
    int area[4];
    gui_open("");
    drop_picture();
    gui_press("Paint mask…");
    gui_area(ATSPI_ROLE_INVALID, "Picture to paint on", area);
    const int y = area[1] + area[3] / 2;
    gui_drag(area[0] + area[2] / 2 - 60, y, area[0] + area[2] / 2 + 60, y);
    gui_shot("mask");
    gui_press("Use Mask");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "128 × 128 · masked", 5));
    snprintf(command, sizeof(command), "ls \"$XDG_CACHE_HOME\"/halftone/masks/*.png");
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_non_null(fgets(path, sizeof(path), list));
    pclose(list);
    path[strcspn(path, "\n")] = 0;
    uint32_t width, height;
    const char *why;
    uint8_t *rgb = ht_picture_read(path, &width, &height, &why);
    assert_non_null(rgb);
    assert_int_equal(width, 128);
    assert_int_equal(height, 128);
    assert_int_equal(rgb[3 * (64 * 128 + 64)], 255);
    assert_int_equal(rgb[0], 0);
    free(rgb);
    gui_press("Do not start from this picture");
    gui_close();
}

// A model of clips has fields for them; the clip is a file, and plays until it is paused.
void test_clip(void **state) {
    (void)state;
    int area[4] = {600, 120, 320, 480};
    gui_open("tests/data/gui/clip.png");
    gui_scroll_down(190, 300);
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Frames", "5");
    gui_keys("Tab");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    AtspiAccessible *pause = gui_wait(ATSPI_ROLE_INVALID, "Pause the clip", LONG);
    g_object_unref(pause);
    gui_shot("clip");
    assert_int_equal(gui_count_results(), before + 1);
    assert_true(ht_video_is(gui_newest_result()));
    int looks = 0;
    for (uint64_t last = gui_look(area), i = 0; i < 100; ++i) {
        const uint64_t now = gui_look(area);
        looks += now != last;
        last = now;
        gui_sleep(0.02);
    }
    printf("%d frames were seen in two seconds\n", looks);
    assert_true(looks >= 4);
    gui_press("Pause the clip");
    gui_sleep(0.3);
    const uint64_t still = gui_look(area);
    gui_sleep(0.5);
    assert_true(gui_look(area) == still);
    gui_close();
}

// One picture in two recipes, with what each costs; the arrow keys move the divider.
void test_compare(void **state) {
    (void)state;
    int area[4];
    gui_open("");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", "a red sphere left of a blue cube on a checkerboard");
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Steps", "4");
    gui_keys("alt+4");
    const int before = gui_count_results();
    gui_press("Compare");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "*dB PSNR", LONG));
    assert_true(gui_sees(ATSPI_ROLE_LABEL, "fp16"));
    assert_true(gui_sees(ATSPI_ROLE_LABEL, "w4a8"));
    assert_true(gui_sees(ATSPI_ROLE_LABEL, "9.8*MiB of weights*"));
    assert_true(gui_sees(ATSPI_ROLE_LABEL, "[23].?*MiB of weights*"));
    gui_shot("compare");
    gui_area(ATSPI_ROLE_SLIDER, "Two pictures*", area);
    const uint64_t middle = gui_look(area);
    gui_drag(area[0] + area[2] / 2, area[1] + area[3] / 2, area[0] + area[2] / 2 + 120,
             area[1] + area[3] / 2);
    const uint64_t right = gui_look(area);
    assert_true(middle != right);
    gui_keys("Left");
    gui_sleep(0.3);
    assert_true(gui_look(area) != right);
    assert_int_equal(gui_count_results(), before); // not the gallery's
    gui_close();
}

// A model is packed, chosen, and works.
void test_pack(void **state) {
    (void)state;
    char path[1024];
    gui_open("");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", "a red cube");
    gui_keys("F10"); // the menu
    gui_keys("m");
    g_object_unref(gui_wait(ATSPI_ROLE_INVALID, "Name of the packed model", 5));
    gui_shot("pack");
    gui_press("Pack");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "“scenes-dit-w4a8” is packed and chosen", LONG));
    snprintf(path, sizeof(path), "%s/halftone/models/scenes-dit-w4a8/model_index.json",
             getenv("XDG_DATA_HOME"));
    assert_int_equal(access(path, R_OK), 0);
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    const double until = gui_seconds() + LONG;
    while (gui_count_results() == before && gui_seconds() < until) {
        gui_sleep(0.1);
    }
    assert_int_equal(gui_count_results(), before + 1);
    gui_close();
}

// Each window opens, has names, and closes.
void test_windows(void **state) {
    (void)state;
    gui_open("");
    gui_keys("ctrl+comma");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "The best there is", 10));
    gui_each_control(expect_name);
    gui_shot("preferences");
    gui_keys("Escape");
    gui_keys("ctrl+question");
    g_object_unref(gui_wait(ATSPI_ROLE_LABEL, "Stop the picture", 5));
    gui_shot("shortcuts");
    gui_keys("Escape");
    gui_sleep(0.3);
    gui_close();
}

// The next start begins where the last ended.
void test_remembered(void **state) {
    (void)state;
    gui_open("");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", "a violet pyramid");
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Steps", "3");
    gui_keys("Tab");
    gui_close();
    gui_open("");
    expect_text("Prompt", "a violet pyramid");
    expect_steps(3);
    gui_close();
}

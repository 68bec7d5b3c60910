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
    // How a page is known, empty or not.
    static const struct {
        const char *keys, *empty, *filled;
    } pages[] = {{"alt+1", "What Would You Like to See?", "* × * · seed *"},
                 {"alt+2", "Nothing Waits", "Queue"},
                 {"alt+3", "No Pictures Yet", "*.png"}};
    gui_open("");
    for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); ++i) {
        gui_keys(pages[i].keys);
        GUI_UNTIL(gui_sees(ATSPI_ROLE_INVALID, pages[i].empty) ||
                      gui_sees(ATSPI_ROLE_INVALID, pages[i].filled),
                  SOON, "%s shows no page", pages[i].keys);
        gui_each_control(expect_name);
    }
    gui_close();
}

static void expect_text(const char *name, const char *expected) {
    gui_expect_filled(ATSPI_ROLE_TEXT, name, expected);
}

static void expect_number(const char *name, const char *expected) {
    gui_expect_filled(ATSPI_ROLE_SPIN_BUTTON, name, expected);
}

// The next picture has this seed and number of steps.
static void expect_result(uint64_t seed, uint32_t steps) {
    const int before = gui_count_results();
    ht_infotext info;
    char why[1024];
    gui_keys("ctrl+Return");
    gui_wait_results(before + 1);
    if (!ht_infotext_read(gui_newest_result(), &info, why, sizeof(why))) {
        gui_fail("%s", why);
    }
    if (info.job.steps != steps || (uint64_t)info.job.seed != seed) {
        gui_fail("the picture has %u steps and seed %llu instead of %u and %llu", info.job.steps,
                 (unsigned long long)info.job.seed, steps, (unsigned long long)seed);
    }
    ht_infotext_free(&info);
}

// Pictures of ours, of A1111's and of ComfyUI's fill in the form; the last two are made elsewhere.
void test_settings_of_pictures(void **state) {
    (void)state;
    char own[1024];
    gui_open("tests/data/gui/a1111.png");
    expect_text("Prompt", "a lighthouse at dusk");
    expect_text("Negative prompt", "people");
    expect_number("Steps", "7");
    expect_result(1234, 7);
    gui_hand_over("tests/data/gui/comfy.png");
    expect_text("Prompt", "a glass house");
    expect_number("Steps", "9");
    snprintf(own, sizeof(own), "%s", gui_newest_result()); // of the first
    gui_hand_over(own);
    expect_text("Prompt", "a lighthouse at dusk");
    expect_number("Steps", "7");
    gui_close();
}

// Double click shows, Delete moves to the trash, and files of others appear and go.
void test_gallery(void **state) {
    (void)state;
    char other[1024], command[4096];
    int area[4];
    gui_put_picture();
    gui_open("");
    gui_keys("alt+3");
    static const char name[] = "first.png";
    gui_expect(ATSPI_ROLE_IMAGE, name, SOON);
    gui_shot("gallery");
    snprintf(other, sizeof(other), "%s/zz.png", gui_results());
    snprintf(command, sizeof(command), "cp tests/data/gui/a1111.png '%s'", other);
    gui_shell(command);
    gui_expect(ATSPI_ROLE_IMAGE, "zz.png", SOON);
    gui_area(ATSPI_ROLE_IMAGE, "zz.png", area);
    gui_click_at(area[0] + area[2] / 2, area[1] + area[3] / 2);
    gui_expect(ATSPI_ROLE_LABEL, "a lighthouse at dusk", SOON);
    gui_keys("Delete");
    gui_wait_gone(ATSPI_ROLE_IMAGE, "zz.png", SOON);
    GUI_UNTIL(access(other, F_OK) != 0, SOON, "'%s' is still there after Delete", other);
    gui_area(ATSPI_ROLE_IMAGE, name, area);
    gui_click_at(area[0] + area[2] / 2, area[1] + area[3] / 2);
    gui_keys("Return");
    gui_expect(ATSPI_ROLE_LABEL, "128 × 128*", SOON);
    gui_close();
}

// From the gallery onto the form, with the mouse.
static void drop_picture(void) {
    static const char name[] = "first.png";
    int from[4], to[4];
    gui_put_picture();
    gui_keys("alt+3");
    gui_expect(ATSPI_ROLE_IMAGE, name, SOON);
    gui_scroll_to(ATSPI_ROLE_PUSH_BUTTON, "Choose a picture to start from", to);
    gui_area(ATSPI_ROLE_IMAGE, name, from);
    gui_drop(from, to);
    gui_expect(ATSPI_ROLE_LABEL, name, SOON);
}

static void forget_start(void) {
    gui_press("Do not start from this picture");
    gui_expect(ATSPI_ROLE_PUSH_BUTTON, "Choose a picture to start from", SOON);
}

void test_drop(void **state) {
    (void)state;
    gui_open("");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", "a red cube");
    drop_picture();
    gui_shot("start");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    gui_wait_results(before + 1);
    gui_wait_gone(ATSPI_ROLE_PUSH_BUTTON, "Cancel", SOON);
    forget_start();
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
    gui_expect(ATSPI_ROLE_INVALID, "Picture to paint on", SOON);
    gui_area(ATSPI_ROLE_INVALID, "Picture to paint on", area);
    const int y = area[1] + area[3] / 2;
    gui_drag(area[0] + area[2] / 2 - 60, y, area[0] + area[2] / 2 + 60, y);
    gui_shot("mask");
    gui_press("Use Mask");
    gui_expect(ATSPI_ROLE_LABEL, "128 × 128 · masked", SOON);
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
    forget_start();
    gui_close();
}

static bool is_still(const int area[4]) {
    const uint64_t first = gui_look(area);
    gui_sleep(0.5); // several frames
    return gui_look(area) == first;
}

// The stage shows one frame after the other, until it is told to stop.
static void expect_playing(void) {
    const int area[4] = {600, 120, 320, 480};
    uint64_t last = gui_look(area);
    for (int looks = 0; looks < 4; ++looks) {
        GUI_UNTIL(gui_look(area) != last, SOON, "the clip stands still after %d frames", looks);
        last = gui_look(area);
    }
    gui_press("Pause the clip");
    GUI_UNTIL(is_still(area), SOON, "the clip goes on after a pause");
}

// Another time, out of the gallery.
static void show_clip_of_disk(void) {
    int area[4];
    char *name = g_path_get_basename(gui_newest_result());
    gui_open("");
    gui_keys("alt+3");
    gui_area(ATSPI_ROLE_IMAGE, name, area);
    gui_click_at(area[0] + area[2] / 2, area[1] + area[3] / 2);
    gui_keys("Return");
    gui_expect(ATSPI_ROLE_LABEL, "32 × 16 · 5 frames · 16 a second", SOON);
    expect_playing();
    g_free(name);
    gui_close();
}

// A model of clips has fields for them; the clip is a file, and plays until it is paused.
void test_clip(void **state) {
    (void)state;
    gui_open("tests/data/gui/clip.png");
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Frames", "5");
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    gui_expect(ATSPI_ROLE_INVALID, "Pause the clip", LONG);
    gui_shot("clip");
    gui_wait_results(before + 1);
    assert_true(ht_video_is(gui_newest_result()));
    expect_playing();
    gui_close();
    show_clip_of_disk();
}

// Of labels "9.7 MiB of weights · ..", one a side: w4a8 takes between a quarter and a third of fp16.
static void expect_smaller(void) {
    double mib[2] = {0};
    for (int i = 0; i < 2; ++i) {
        char *text = gui_name(ATSPI_ROLE_LABEL,
                              i == 0 ? "[5-9].?*MiB of weights*" : "[1-4].?*MiB of weights*");
        mib[i] = strtod(text, NULL);
        g_free(text);
    }
    if (!(mib[1] > 0.25 * mib[0] && mib[1] < 0.34 * mib[0])) {
        gui_fail("the weights take %g and %g MiB", mib[0], mib[1]);
    }
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
    gui_expect(ATSPI_ROLE_LABEL, "*dB PSNR", LONG);
    gui_expect(ATSPI_ROLE_LABEL, "fp16", SOON);
    gui_expect(ATSPI_ROLE_LABEL, "w4a8", SOON);
    expect_smaller();
    gui_shot("compare");
    gui_area(ATSPI_ROLE_SLIDER, "Two pictures*", area);
    const uint64_t middle = gui_look(area);
    gui_drag(area[0] + area[2] / 2, area[1] + area[3] / 2, area[0] + area[2] / 2 + 120,
             area[1] + area[3] / 2);
    GUI_UNTIL(gui_look(area) != middle, SOON, "the divider does not follow the mouse");
    GUI_UNTIL(is_still(area), SOON, "the divider does not come to rest");
    const uint64_t right = gui_look(area);
    gui_keys("Left");
    GUI_UNTIL(gui_look(area) != right, SOON, "the divider does not follow the arrow keys");
    if (gui_count_results() != before) {
        gui_fail("pictures of a comparison are in the gallery's folder");
    }
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
    gui_expect(ATSPI_ROLE_INVALID, "Name of the packed model", SOON);
    gui_shot("pack");
    gui_press("Pack");
    gui_wait_gone(ATSPI_ROLE_INVALID, "Name of the packed model", LONG);
    gui_expect(ATSPI_ROLE_LABEL, "scenes-dit-w4a8", SOON); // in the row of the model
    snprintf(path, sizeof(path), "%s/halftone/models/scenes-dit-w4a8/model_index.json",
             getenv("XDG_DATA_HOME"));
    if (access(path, R_OK) != 0) {
        gui_fail("there is no '%s'", path);
    }
    const int before = gui_count_results();
    gui_keys("ctrl+Return");
    gui_wait_results(before + 1);
    gui_close();
}

// Each window opens, has names, and closes.
void test_windows(void **state) {
    (void)state;
    gui_open("");
    gui_keys("ctrl+comma");
    gui_expect(ATSPI_ROLE_LABEL, "The best there is", SOON);
    gui_each_control(expect_name);
    gui_shot("preferences");
    gui_keys("Escape");
    gui_wait_gone(ATSPI_ROLE_LABEL, "The best there is", SOON);
    gui_keys("ctrl+question");
    gui_expect(ATSPI_ROLE_LABEL, "Stop the picture", SOON);
    gui_shot("shortcuts");
    gui_keys("Escape");
    gui_wait_gone(ATSPI_ROLE_LABEL, "Stop the picture", SOON);
    gui_close();
}

// The next start begins where the last ended.
void test_remembered(void **state) {
    (void)state;
    gui_open("");
    gui_fill(ATSPI_ROLE_TEXT, "Prompt", "a violet pyramid");
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Steps", "3");
    gui_close();
    gui_open("");
    expect_text("Prompt", "a violet pyramid");
    expect_number("Steps", "3");
    gui_close();
}

// What not every model can do: attention, the second pass, LoRAs, ControlNets; in the form, in the
// picture, and from the picture back into the form.
#include "test_gui.h"

#include "drive.h"
#include "support.h"

#include <common/infotext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char LORA[] = "sd_kohya.safetensors";

// From the list of a row: so many below the chosen one; then the row says this.
static void choose_below(const char *row, int steps, const char *expected) {
    int area[4];
    gui_scroll_to(ATSPI_ROLE_COMBO_BOX, row, area);
    gui_click_at(area[0] + area[2] - 24, area[1] + area[3] / 2);
    gui_expect(ATSPI_ROLE_LABEL, "paro: *", SOON); // a reason stands in the list
    for (int i = 0; i < steps; ++i) {
        gui_keys("Down");
    }
    gui_keys("Return");
    gui_expect(ATSPI_ROLE_LABEL, expected, SOON);
}

// By the dialog, where a path is typed.
static void add_lora(void) {
    char folder[1024], path[1200];
    assert_non_null(getcwd(folder, sizeof(folder)));
    snprintf(path, sizeof(path), "%s/tests/data/loras/%s", folder, LORA);
    gui_press("Add LoRAs");
    gui_expect(ATSPI_ROLE_PUSH_BUTTON, "*Open", SOON);
    gui_keys("ctrl+l");
    gui_type(path);
    gui_shot("lora");
    gui_keys("Return");
    gui_expect(ATSPI_ROLE_SPIN_BUTTON, "Scale of sd_kohya.safetensors", SOON);
}

static void drop_first(AtspiRole role, const char *place) {
    int from[4], to[4];
    gui_keys("alt+3");
    gui_expect(ATSPI_ROLE_IMAGE, "first.png", SOON);
    gui_scroll_to(role, place, to);
    gui_area(ATSPI_ROLE_IMAGE, "first.png", from);
    gui_drop(from, to);
}

static void expect_job(const ht_job *job) {
    const char *lora = job->loras.count == 1 ? job->loras.items[0] : "none";
    if (!job->attention || strcmp(job->attention, "sage8") != 0 || job->hires_scale != 2 ||
        job->hires_strength != 0.25 || strcmp(lora, "sd_kohya.safetensors:0.5") != 0 ||
        !job->control_image || strcmp(job->control_image, "first.png") != 0 ||
        job->control_strength != 0.5) {
        gui_fail("the picture says attention %s, second pass %g by %g, LoRA %s, control picture %s "
                 "by %g",
                 job->attention ? job->attention : "none", job->hires_scale, job->hires_strength,
                 lora, job->control_image ? job->control_image : "none", job->control_strength);
    }
}

static void expect_picture(void) {
    const int before = gui_count_results();
    ht_infotext info;
    char why[1024];
    gui_keys("ctrl+Return");
    gui_wait_results(before + 1);
    if (!ht_infotext_read(gui_newest_result(), &info, why, sizeof(why))) {
        gui_fail("%s", why);
    }
    expect_job(&info.job);
    ht_infotext_free(&info);
}

static void expect_number(const char *name, const char *expected) {
    gui_expect_filled(ATSPI_ROLE_SPIN_BUTTON, name, expected);
}

// Everything into the form by hand, then into a picture, then out of it again.
void test_more_fields(void **state) {
    (void)state;
    char made[1024];
    gui_put_picture();
    gui_open("tests/data/gui/control.png");
    gui_expect(ATSPI_ROLE_LABEL, "*has a ControlNet", SOON);
    choose_below("Attention", 1, "Integers of eight bits for queries and keys");
    gui_press("Use a second pass");
    gui_expect(ATSPI_ROLE_SPIN_BUTTON, "Enlarged by", SOON);
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Its change", "0.25");
    add_lora();
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Scale of sd_kohya.safetensors", "0.5");
    drop_first(ATSPI_ROLE_LIST_ITEM, "Control picture");
    gui_fill(ATSPI_ROLE_SPIN_BUTTON, "Control strength", "0.5");
    gui_shot("more");
    expect_picture();
    snprintf(made, sizeof(made), "%s", gui_newest_result());
    // Another picture's settings, which know nothing of all this, and those of the first again.
    gui_hand_over("tests/data/gui/a1111.png");
    gui_wait_gone(ATSPI_ROLE_SPIN_BUTTON, "Scale of sd_kohya.safetensors", SOON);
    gui_wait_gone(ATSPI_ROLE_SPIN_BUTTON, "Control strength", SOON);
    GUI_UNTIL(!gui_is_checked("Use a second pass"), SOON, "the second pass is not switched off");
    gui_expect(ATSPI_ROLE_LABEL, "Every token with every other, in floats", SOON);
    gui_hand_over(made);
    expect_number("Scale of sd_kohya.safetensors", "0.5");
    GUI_UNTIL(gui_is_checked("Use a second pass"), SOON, "the second pass is not switched on");
    expect_number("Enlarged by", "2");
    expect_number("Control strength", "0.5");
    expect_picture();
    gui_press("Remove sd_kohya.safetensors");
    gui_wait_gone(ATSPI_ROLE_SPIN_BUTTON, "Scale of sd_kohya.safetensors", SOON);
    gui_close();
}

// Grey, with the reason; what is no LoRA is refused with a sentence.
void test_refused_fields(void **state) {
    (void)state;
    gui_put_picture();
    gui_open("");
    gui_expect(ATSPI_ROLE_LABEL, "ControlNets are for Stable Diffusion and SDXL*", SOON);
    if (gui_is_sensitive(ATSPI_ROLE_LIST_ITEM, "Control picture")) {
        gui_fail("a control picture can be chosen for a model that has no place for it");
    }
    drop_first(ATSPI_ROLE_LABEL, "LoRA");
    gui_expect(ATSPI_ROLE_LABEL, "*is no LoRA*", SOON);
    gui_hand_over("tests/data/gui/clip.png");
    gui_expect(ATSPI_ROLE_LABEL, "This model takes no LoRAs.", SOON);
    gui_expect(ATSPI_ROLE_LABEL, "This model makes clips, without a second pass.", SOON);
    if (gui_is_sensitive(ATSPI_ROLE_PUSH_BUTTON, "Add LoRAs")) {
        gui_fail("LoRAs can be added to a model that makes clips");
    }
    gui_shot("refused");
    gui_close();
}

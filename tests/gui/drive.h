// Driving the window from outside: its accessible tree, keys and the mouse, and what can be seen.
// Failures of these fail the test. Nothing is assumed to be done after a time: what a step needs is
// waited for, and the limits only say when to give up, on a machine however loaded.
#ifndef HT_TEST_GUI_DRIVE_H
#define HT_TEST_GUI_DRIVE_H

#include <atspi/atspi.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Seconds for what the window does at once, and for what the engine works for; the first run also compiles
// kernels.
#define SOON 60.0
#define LONG 600.0

// Wait for a condition; the sentence (a format and its arguments) says what did not happen.
#define GUI_UNTIL(condition, seconds, ...)                                                         \
    do {                                                                                           \
        const double gui_until = gui_seconds() + (seconds);                                        \
        while (!(condition)) {                                                                     \
            if (gui_seconds() > gui_until) {                                                       \
                gui_fail(__VA_ARGS__);                                                             \
            }                                                                                      \
            gui_expect_running();                                                                  \
            gui_sleep(0.03);                                                                       \
        }                                                                                          \
    } while (0)

// ---- program.c

// Fail with a sentence, and show what the window shows, what the program has said, and where the
// picture of it is.
void gui_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void gui_expect_running(void);

// Start the program with this argument ("": none) and wait until its window knows the chosen model.
void gui_open(const char *arguments);
// Hand a file to the running program.
void gui_hand_over(const char *path);
// Wait for its end; fails when that takes longer, or the exit code is not 0, or it has warned.
void gui_expect_end(void);
void gui_close(void); // by Ctrl+Q, and gui_expect_end
pid_t gui_pid(void);
double gui_seconds(void);
void gui_sleep(double seconds);
long gui_resident_kib(void);
// The results' folder, and how many pictures and clips are in it.
const char *gui_results(void);
int gui_count_results(void);
void gui_put_picture(void); // first.png, of a model that is here
void gui_shell(const char *command);
void gui_wait_results(int count); // until there are so many
// Path of the newest; static storage.
const char *gui_newest_result(void);

// ---- accessible.c

// The first that can be seen, with this role (or ATSPI_ROLE_INVALID: any) and a name that fits a
// pattern of the shell. NULL: none. g_object_unref.
AtspiAccessible *gui_find(AtspiRole role, const char *name);
bool gui_sees(AtspiRole role, const char *name);
// Wait until it is there, or no more.
AtspiAccessible *gui_wait(AtspiRole role, const char *name, double seconds);
void gui_expect(AtspiRole role, const char *name, double seconds); // the same, without a result
void gui_wait_gone(AtspiRole role, const char *name, double seconds);
// Name of what was found; g_free.
char *gui_name(AtspiRole role, const char *name);
void gui_press(const char *name); // a button's own action
bool gui_is_sensitive(AtspiRole role, const char *name);
bool gui_is_checked(const char *name); // a switch
// x, y, width, height on the screen, once it rests there.
void gui_area(AtspiRole role, const char *name, int area[4]);
// Turn the wheel over the form until this part of it is in sight; then its area.
void gui_scroll_to(AtspiRole role, const char *name, int area[4]);
// Text of an entry or text view; g_free.
char *gui_text(const char *name);
double gui_value(AtspiRole role, const char *name); // of a spin button or slider
// Wait until a spin button or an entry holds what was typed.
void gui_expect_filled(AtspiRole role, const char *name, const char *text);
// Every name of what can be seen and acted on; calls `each`.
void gui_each_control(void (*each)(AtspiRole role, const char *name));
// Names of all that is seen, to stderr.
void gui_print_seen(void);
// Names of list rows in a list, from the top, into `names`; how many. g_free each.
int gui_rows(const char *list, char **names, int most);

// ---- input.c

void gui_keys(const char *keys); // xdotool's names: "ctrl+Return"
void gui_type(const char *text);
void gui_click_at(int x, int y);
void gui_turn_wheel(int x, int y, bool up);
void gui_drag(int from_x, int from_y, int to_x, int to_y);
// Drag what is in the middle of an area onto another that shows when it would take it.
void gui_drop(const int from[4], const int to[4]);
// Put the cursor into the form's part that has this name and replace its text, or its number.
void gui_fill(AtspiRole role, const char *name, const char *text);
void gui_window_area(int area[4]); // of the window on top, with its shadow
// Hash of what is seen in an area of the screen.
uint64_t gui_look(const int area[4]);
// The window as DIR/NAME.png, when $HT_GUI_SHOTS is DIR.
void gui_shot(const char *name);

#endif

// Driving the window from outside: its accessible tree, keys and the mouse, and what can be seen.
// Failures of these fail the test.
#ifndef HT_TEST_GUI_DRIVE_H
#define HT_TEST_GUI_DRIVE_H

#include <atspi/atspi.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// ---- program.c

// Start the program with these arguments ("": none) and wait for its window.
void gui_open(const char *arguments);
// Hand a file to the running program.
void gui_hand_over(const char *path);
// Wait for its end; fails when that takes longer, or the exit code is not 0, or it has warned.
void gui_expect_end(double seconds);
void gui_close(void); // by Ctrl+Q, and gui_expect_end
pid_t gui_pid(void);
double gui_seconds(void);
void gui_sleep(double seconds);
long gui_resident_kib(void);
// The results' folder, and how many pictures and clips are in it.
const char *gui_results(void);
int gui_count_results(void);
// Path of the newest; static storage.
const char *gui_newest_result(void);

// ---- accessible.c

// The first that can be seen, with this role (or ATSPI_ROLE_INVALID: any) and a name that fits a
// pattern of the shell. NULL: none. g_object_unref.
AtspiAccessible *gui_find(AtspiRole role, const char *name);
bool gui_sees(AtspiRole role, const char *name);
// Wait until it is there, or no more.
AtspiAccessible *gui_wait(AtspiRole role, const char *name, double seconds);
void gui_wait_gone(AtspiRole role, const char *name, double seconds);
// Name of what was found; g_free.
char *gui_name(AtspiRole role, const char *name);
void gui_press(const char *name);                             // a button's own action
void gui_area(AtspiRole role, const char *name, int area[4]); // x, y, width, height on the screen
// Text of an entry or text view; g_free.
char *gui_text(const char *name);
double gui_value(AtspiRole role, const char *name); // of a spin button or slider
// Every name of what can be seen and acted on; calls `each`.
void gui_each_control(void (*each)(AtspiRole role, const char *name));
// Names of list rows in a list, from the top, into `names`; how many. g_free each.
int gui_rows(const char *list, char **names, int most);

// ---- input.c

void gui_keys(const char *keys); // xdotool's names: "ctrl+Return"
void gui_type(const char *text);
void gui_click_at(int x, int y);
void gui_scroll_down(int x, int y); // with the wheel, to the end
void gui_drag(int from_x, int from_y, int to_x, int to_y);
// Put the cursor into what has this name and replace its text.
void gui_fill(AtspiRole role, const char *name, const char *text);
void gui_window_area(int area[4]); // of the window on top, with its shadow
// Hash of what is seen in an area of the screen.
uint64_t gui_look(const int area[4]);
// The window as DIR/NAME.png, when $HT_GUI_SHOTS is DIR.
void gui_shot(const char *name);

#endif

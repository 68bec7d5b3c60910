// Keys and the mouse by xdotool, and the screen by X.
#include "drive.h"

#include "support.h"

#include <X11/Xlib.h>
#include <X11/Xutil.h>
#include <common/files.h>
#include <common/png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Display *display(void) {
    static Display *open;
    open = open ? open : XOpenDisplay(NULL);
    assert_non_null(open);
    return open;
}

// The window on top; there is no window manager that would give it the keys.
static Window top_window(XWindowAttributes *out) {
    Window root = DefaultRootWindow(display()), ignored, *windows, found = None;
    unsigned count;
    assert_true(XQueryTree(display(), root, &ignored, &ignored, &windows, &count));
    for (unsigned i = count; i-- > 0 && found == None;) {
        XWindowAttributes info;
        if (XGetWindowAttributes(display(), windows[i], &info) && info.map_state == IsViewable &&
            info.width > 200 && info.height > 100 && !info.override_redirect) {
            found = windows[i];
            *out = info;
        }
    }
    XFree(windows);
    return found;
}

static void focus(void) {
    XWindowAttributes info;
    Window window = top_window(&info);
    if (window != None) {
        XSetInputFocus(display(), window, RevertToParent, CurrentTime);
        XSync(display(), False);
    }
}

static void xdotool(const char *arguments) {
    char command[4096];
    snprintf(command, sizeof(command), "xdotool %s", arguments);
    if (system(command) != 0) {
        gui_fail("'%s' did not work", command);
    }
}

void gui_keys(const char *keys) {
    char arguments[256];
    snprintf(arguments, sizeof(arguments), "key %s", keys);
    focus();
    xdotool(arguments);
}

void gui_type(const char *text) {
    char arguments[2048];
    snprintf(arguments, sizeof(arguments), "type --delay 4 '%s'", text);
    focus();
    xdotool(arguments);
}

void gui_click_at(int x, int y) {
    char arguments[128];
    snprintf(arguments, sizeof(arguments), "mousemove %d %d click 1", x, y);
    focus();
    xdotool(arguments);
}

void gui_turn_wheel(int x, int y, bool up) {
    char arguments[128];
    snprintf(arguments, sizeof(arguments), "mousemove %d %d click %d", x, y, up ? 4 : 5);
    focus();
    xdotool(arguments);
}

static void drag_to(int from_x, int from_y, int to_x, int to_y) {
    char arguments[128];
    focus();
    snprintf(arguments, sizeof(arguments), "mousemove %d %d mousedown 1", from_x, from_y);
    xdotool(arguments);
    for (int i = 1; i <= 12; ++i) {
        snprintf(arguments, sizeof(arguments), "mousemove %d %d", from_x + (to_x - from_x) * i / 12,
                 from_y + (to_y - from_y) * i / 12);
        xdotool(arguments);
    }
}

void gui_drag(int from_x, int from_y, int to_x, int to_y) {
    drag_to(from_x, from_y, to_x, to_y);
    xdotool("mouseup 1");
}

// Where it is dropped says by its frame that it would take it; a button let go before is for nothing.
// What is dragged hangs to the right of the pointer, so that the left of the frame is free.
void gui_drop(const int from[4], const int to[4]) {
    const int edge[4] = {to[0] - 8, to[1] - 8, 32, to[3] + 16}, x = to[0] + to[2] * 3 / 4,
              y = to[1] + to[3] / 2;
    const uint64_t before = gui_look(edge);
    drag_to(from[0] + from[2] / 2, from[1] + from[3] / 2, x, y);
    GUI_UNTIL(gui_look(edge) != before, SOON,
              "what is dragged to %d, %d is not taken there: its frame stays as it is", x, y);
    xdotool("mouseup 1");
}

void gui_fill(AtspiRole role, const char *name, const char *text) {
    int area[4];
    gui_scroll_to(role, name, area);
    gui_click_at(area[0] + 20, area[1] + area[3] / 2);
    gui_keys("ctrl+a");
    gui_keys("Delete");
    gui_type(text);
    if (role == ATSPI_ROLE_SPIN_BUTTON) {
        gui_keys("Tab"); // then it counts
    }
    gui_expect_filled(role, name, text);
}

void gui_window_area(int area[4]) {
    XWindowAttributes info;
    assert_true(top_window(&info) != None);
    const int found[4] = {info.x, info.y, info.width, info.height};
    memcpy(area, found, sizeof(found));
}

static XImage *grab(const int area[4]) {
    const int right = DisplayWidth(display(), DefaultScreen(display())),
              bottom = DisplayHeight(display(), DefaultScreen(display()));
    assert_true(area[0] >= 0 && area[1] >= 0 && area[2] > 0 && area[3] > 0);
    assert_true(area[0] + area[2] <= right && area[1] + area[3] <= bottom);
    XImage *image = XGetImage(display(), DefaultRootWindow(display()), area[0], area[1],
                              (unsigned)area[2], (unsigned)area[3], AllPlanes, ZPixmap);
    assert_non_null(image);
    return image;
}

uint64_t gui_look(const int area[4]) {
    XImage *image = grab(area);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int y = 0; y < image->height; ++y) {
        for (int x = 0; x < image->width; ++x) {
            hash = (hash ^ XGetPixel(image, x, y)) * 0x100000001b3u;
        }
    }
    XDestroyImage(image);
    return hash;
}

static void write_png(const char *path, XImage *shot) {
    ht_image image = {(uint32_t)shot->width, (uint32_t)shot->height, NULL};
    image.rgb = malloc((size_t)image.width * image.height * 3);
    assert_non_null(image.rgb);
    for (int y = 0; y < shot->height; ++y) {
        for (int x = 0; x < shot->width; ++x) {
            const unsigned long pixel = XGetPixel(shot, x, y);
            uint8_t *out = image.rgb + 3 * ((size_t)y * image.width + (size_t)x);
            out[0] = (uint8_t)(pixel >> 16);
            out[1] = (uint8_t)(pixel >> 8);
            out[2] = (uint8_t)pixel;
        }
    }
    ht_bytes bytes;
    char why[512];
    assert_true(ht_png_encode(&image, NULL, 0, &bytes));
    if (!ht_file_write(path, bytes.data, bytes.count, true, why, sizeof(why))) {
        fail_msg("%s", why);
    }
    free(bytes.data);
    free(image.rgb);
}

// Once it has been drawn: twice the same, unless it moves by itself.
static void settle(const int area[4]) {
    uint64_t last = gui_look(area);
    for (int i = 0; i < 20; ++i) {
        gui_sleep(0.2);
        const uint64_t now = gui_look(area);
        if (now == last) {
            return;
        }
        last = now;
    }
}

void gui_shot(const char *name) {
    const char *folder = getenv("HT_GUI_SHOTS");
    XWindowAttributes info;
    if (!folder || top_window(&info) == None) {
        return;
    }
    char path[1024];
    const int area[4] = {info.x, info.y, info.width, info.height};
    settle(area);
    XImage *shot = grab(area);
    snprintf(path, sizeof(path), "%s/%s.png", folder, name);
    write_png(path, shot);
    XDestroyImage(shot);
}

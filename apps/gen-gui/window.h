// The window: form, pages, and the actions that join them.
#ifndef HT_GUI_WINDOW_H
#define HT_GUI_WINDOW_H

#include "engine.h"
#include "settings.h"

#include <adwaita.h>

#define GUI_TYPE_WINDOW (gui_window_get_type())
G_DECLARE_FINAL_TYPE(GuiWindow, gui_window, GUI, WINDOW, AdwApplicationWindow)

// Keys of all windows; once, at the start.
void gui_window_set_keys(GtkApplication *app);
GuiWindow *gui_window_new(AdwApplication *app, GuiSettings *settings);
// A picture from outside: its settings go into the form; without any, it is what to start from.
void gui_window_open(GuiWindow *window, const char *path);

#endif

// The window of preferences.
#ifndef HT_GUI_PREFERENCES_H
#define HT_GUI_PREFERENCES_H

#include "settings.h"

#include <adwaita.h>

#define GUI_TYPE_PREFERENCES (gui_preferences_get_type())
G_DECLARE_FINAL_TYPE(GuiPreferences, gui_preferences, GUI, PREFERENCES, AdwPreferencesWindow)

// `changed` is called after each change.
GtkWidget *gui_preferences_new(GtkWindow *parent, GuiSettings *settings,
                               void (*changed)(gpointer user), gpointer user);
// Light, dark or as the desktop is, as set.
void gui_preferences_apply_colours(GuiSettings *settings);

#endif

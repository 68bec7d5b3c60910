// What the window remembers: a key file in the user's configuration folder.
#ifndef HT_GUI_SETTINGS_H
#define HT_GUI_SETTINGS_H

#include <gio/gio.h>

typedef struct GuiSettings GuiSettings;

// Reads $XDG_CONFIG_HOME/halftone/gui.ini; one that is damaged counts as empty.
GuiSettings *gui_settings_new(void);
// Writes what has changed.
void gui_settings_free(GuiSettings *settings);
void gui_settings_save(GuiSettings *settings);

// Values of a group; `fallback` where there are none. Texts: g_free.
char *gui_settings_text(GuiSettings *settings, const char *group, const char *key,
                        const char *fallback);
double gui_settings_number(GuiSettings *settings, const char *group, const char *key,
                           double fallback);
gboolean gui_settings_flag(GuiSettings *settings, const char *group, const char *key,
                           gboolean fallback);
// NULL removes.
void gui_settings_set_text(GuiSettings *settings, const char *group, const char *key,
                           const char *value);
void gui_settings_set_number(GuiSettings *settings, const char *group, const char *key,
                             double value);
void gui_settings_set_flag(GuiSettings *settings, const char *group, const char *key,
                           gboolean value);

// Where results go: as set, else halftone below the user's pictures. g_free.
char *gui_settings_output_folder(GuiSettings *settings);
// Where <lora:NAME:SCALE> of prompts is looked for: as set, else halftone/loras below the user's data.
// g_free.
char *gui_settings_lora_folder(GuiSettings *settings);

// Files that were used, to be found again by their names alone, which is what a picture tells; also in the
// folder of LoRAs. NULL: none of that name is there. g_free.
void gui_settings_remember(GuiSettings *settings, const char *path);
char *gui_settings_find(GuiSettings *settings, const char *name);

#endif

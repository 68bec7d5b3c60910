// Asking for a file or folder, and taking dropped ones.
#ifndef HT_GUI_CHOOSER_H
#define HT_GUI_CHOOSER_H

#include <gtk/gtk.h>

typedef enum GuiChooserKind {
    GUI_CHOOSE_PICTURE,
    GUI_CHOOSE_WEIGHTS, // any number of them
    GUI_CHOOSE_ANY,
    GUI_CHOOSE_FOLDER,
} GuiChooserKind;

// What was chosen or dropped; `owner` is the widget that asked.
typedef void (*GuiChosen)(gpointer owner, const char *path);

// A dialog in front of the owner's window, which takes it along when it goes; `chosen` is not called when
// the user thinks better of it.
void gui_choose(GtkWidget *owner, const char *title, GuiChooserKind kind, GuiChosen chosen);
// Local files that are dropped on `place`.
void gui_take_drops(GtkWidget *place, GtkWidget *owner, GuiChosen chosen);

#endif

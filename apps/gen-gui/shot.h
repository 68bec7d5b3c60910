// A picture of the gallery; its thumbnail is loaded while it can be seen.
#ifndef HT_GUI_SHOT_H
#define HT_GUI_SHOT_H

#include <gtk/gtk.h>

#define GUI_TYPE_SHOT (gui_shot_get_type())
G_DECLARE_FINAL_TYPE(GuiShot, gui_shot, GUI, SHOT, GObject)

struct _GuiShot {
    GObject parent_instance;
    char *path;
    gint64 time; // of its last change, in microseconds
    GdkTexture *thumbnail;
    GtkPicture *shown; // borrowed; NULL: out of sight
    GCancellable *loading;
};

GuiShot *gui_shot_new(const char *path);
void gui_shot_bind(GuiShot *shot, GtkPicture *picture);
void gui_shot_unbind(GuiShot *shot, GtkPicture *picture);

#endif

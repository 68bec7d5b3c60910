// A window in which the part of a picture that is to change is painted.
#ifndef HT_GUI_MASK_H
#define HT_GUI_MASK_H

#include <adwaita.h>

#define GUI_TYPE_MASK (gui_mask_get_type())
G_DECLARE_FINAL_TYPE(GuiMask, gui_mask, GUI, MASK, AdwWindow)

// `mask` (or NULL) is what was painted before. When the user is done, `painted` gets the file of the
// mask, as large as the picture and white where it is to change; NULL when nothing was painted.
GtkWidget *gui_mask_new(GtkWindow *parent, const char *picture, const char *mask,
                        void (*painted)(gpointer user, const char *mask), gpointer user);

#endif

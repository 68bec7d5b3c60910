// The wheel scrolls the form; it does not change what it happens to pass over.
#ifndef HT_GUI_WHEEL_H
#define HT_GUI_WHEEL_H

#include <gtk/gtk.h>

void gui_ignore_wheel(GtkWidget *widget);

#endif

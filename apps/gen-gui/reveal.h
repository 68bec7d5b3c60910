// Revealers that hide from screen readers and the keyboard what they do not show.
#ifndef HT_GUI_REVEAL_H
#define HT_GUI_REVEAL_H

#include <gtk/gtk.h>

void gui_reveal(GtkRevealer *revealer, gboolean reveal);

#endif

// Revealers.
#include "reveal.h"

static void hide(GtkRevealer *revealer) {
    if (!gtk_revealer_get_reveal_child(revealer) && !gtk_revealer_get_child_revealed(revealer)) {
        gtk_widget_set_visible(GTK_WIDGET(revealer), FALSE);
    }
}

void gui_reveal(GtkRevealer *revealer, gboolean reveal) {
    static const char key[] = "gui-reveal";
    if (!g_object_get_data(G_OBJECT(revealer), key)) {
        g_object_set_data(G_OBJECT(revealer), key, revealer);
        g_signal_connect(revealer, "notify::child-revealed", G_CALLBACK(hide), NULL);
    }
    if (reveal) {
        gtk_widget_set_visible(GTK_WIDGET(revealer), TRUE);
    }
    gtk_revealer_set_reveal_child(revealer, reveal);
    hide(revealer);
}

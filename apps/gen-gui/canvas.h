// Shows a picture as large as fits, but no more than four times its size; or two over each other,
// with a divider that can be dragged and moved by the arrow keys.
#ifndef HT_GUI_CANVAS_H
#define HT_GUI_CANVAS_H

#include <gtk/gtk.h>

#define GUI_TYPE_CANVAS (gui_canvas_get_type())
G_DECLARE_FINAL_TYPE(GuiCanvas, gui_canvas, GUI, CANVAS, GtkWidget)

// NULL: nothing is shown.
void gui_canvas_set_texture(GuiCanvas *canvas, GdkTexture *texture);
GdkTexture *gui_canvas_texture(GuiCanvas *canvas); // borrowed
// A clip: textures one after another, again and again, until another texture is set.
void gui_canvas_set_clip(GuiCanvas *canvas, GPtrArray *frames, double fps);
void gui_canvas_set_paused(GuiCanvas *canvas, gboolean paused);
// The right part of the picture; NULL: no divider.
void gui_canvas_set_other(GuiCanvas *canvas, GdkTexture *texture);
double gui_canvas_split(GuiCanvas *canvas); // 0..1 from the left
void gui_canvas_set_split(GuiCanvas *canvas, double split);
// Where the picture is in the widget.
void gui_canvas_area(GuiCanvas *canvas, graphene_rect_t *area);

#endif

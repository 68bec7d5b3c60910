// A mask as a plane of bytes, and a brush. No widgets.
#ifndef HT_GUI_MASK_PAINT_H
#define HT_GUI_MASK_PAINT_H

#include <cairo.h>
#include <glib.h>

typedef struct GuiMaskPlane {
    cairo_surface_t *surface; // A8: 255 is repainted
    int width, height;
} GuiMaskPlane;

gboolean gui_mask_plane_init(GuiMaskPlane *plane, int width, int height);
void gui_mask_plane_clear(GuiMaskPlane *plane);
void gui_mask_plane_copy(const GuiMaskPlane *from, GuiMaskPlane *to); // of equal size
void gui_mask_plane_fill(GuiMaskPlane *plane, gboolean on);
void gui_mask_plane_invert(GuiMaskPlane *plane);
// A round brush along a line, in pixels of the picture.
void gui_mask_plane_stroke(GuiMaskPlane *plane, const double from[2], const double to[2],
                           double diameter, gboolean erase);
gboolean gui_mask_plane_empty(const GuiMaskPlane *plane);
// Read a picture's first channel; FALSE when it cannot be read or has another size.
gboolean gui_mask_plane_read(GuiMaskPlane *plane, const char *path);
// As a PNG; FALSE with a sentence.
gboolean gui_mask_plane_write(const GuiMaskPlane *plane, const char *path, char *why,
                              size_t why_bytes);

#endif

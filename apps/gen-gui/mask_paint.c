// A mask as a plane of bytes, and a brush.
#include "mask_paint.h"

#include "common/files.h"
#include "common/png.h"

#include <stdlib.h>
#include <string.h>

gboolean gui_mask_plane_init(GuiMaskPlane *p, int width, int height) {
    *p = (GuiMaskPlane){cairo_image_surface_create(CAIRO_FORMAT_A8, width, height), width, height};
    return cairo_surface_status(p->surface) == CAIRO_STATUS_SUCCESS;
}

void gui_mask_plane_clear(GuiMaskPlane *p) {
    if (p->surface) {
        cairo_surface_destroy(p->surface);
    }
    *p = (GuiMaskPlane){0};
}

static guint8 *row_of(const GuiMaskPlane *p, int y) {
    return cairo_image_surface_get_data(p->surface) +
           (size_t)y * (size_t)cairo_image_surface_get_stride(p->surface);
}

void gui_mask_plane_copy(const GuiMaskPlane *from, GuiMaskPlane *to) {
    cairo_surface_flush(from->surface);
    cairo_surface_flush(to->surface);
    for (int y = 0; y < from->height; ++y) {
        memcpy(row_of(to, y), row_of(from, y), (size_t)from->width);
    }
    cairo_surface_mark_dirty(to->surface);
}

void gui_mask_plane_fill(GuiMaskPlane *p, gboolean on) {
    cairo_surface_flush(p->surface);
    for (int y = 0; y < p->height; ++y) {
        memset(row_of(p, y), on ? 255 : 0, (size_t)p->width);
    }
    cairo_surface_mark_dirty(p->surface);
}

void gui_mask_plane_invert(GuiMaskPlane *p) {
    cairo_surface_flush(p->surface);
    for (int y = 0; y < p->height; ++y) {
        guint8 *row = row_of(p, y);
        for (int x = 0; x < p->width; ++x) {
            row[x] = (guint8)(255 - row[x]);
        }
    }
    cairo_surface_mark_dirty(p->surface);
}

void gui_mask_plane_stroke(GuiMaskPlane *p, const double from[2], const double to[2],
                           double diameter, gboolean erase) {
    cairo_t *cr = cairo_create(p->surface);
    cairo_set_operator(cr, erase ? CAIRO_OPERATOR_CLEAR : CAIRO_OPERATOR_OVER);
    cairo_set_source_rgba(cr, 1, 1, 1, 1);
    cairo_set_antialias(cr, CAIRO_ANTIALIAS_NONE); // a pixel changes or it does not
    cairo_set_line_width(cr, diameter);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_move_to(cr, from[0], from[1]);
    cairo_line_to(cr, to[0], to[1]);
    cairo_stroke(cr);
    cairo_destroy(cr);
}

gboolean gui_mask_plane_empty(const GuiMaskPlane *p) {
    cairo_surface_flush(p->surface);
    for (int y = 0; y < p->height; ++y) {
        const guint8 *row = row_of(p, y);
        for (int x = 0; x < p->width; ++x) {
            if (row[x] != 0) {
                return FALSE;
            }
        }
    }
    return TRUE;
}

gboolean gui_mask_plane_read(GuiMaskPlane *p, const char *path) {
    uint32_t width, height;
    const char *why;
    uint8_t *rgb = ht_mask_read(path, &width, &height, &why);
    const gboolean fits = rgb && (int)width == p->width && (int)height == p->height;
    for (int y = 0; fits && y < p->height; ++y) {
        guint8 *row = row_of(p, y);
        for (int x = 0; x < p->width; ++x) {
            row[x] = rgb[3 * ((size_t)y * width + (size_t)x)];
        }
    }
    cairo_surface_mark_dirty(p->surface);
    free(rgb);
    return fits;
}

gboolean gui_mask_plane_write(const GuiMaskPlane *p, const char *path, char *why,
                              size_t why_bytes) {
    ht_image image = {(uint32_t)p->width, (uint32_t)p->height, NULL};
    ht_bytes bytes = {0};
    g_snprintf(why, why_bytes, "out of memory");
    image.rgb = malloc((size_t)image.width * image.height * 3);
    if (!image.rgb) {
        return FALSE;
    }
    cairo_surface_flush(p->surface);
    for (int y = 0; y < p->height; ++y) {
        const guint8 *row = row_of(p, y);
        uint8_t *out = image.rgb + (size_t)y * image.width * 3;
        for (int x = 0; x < p->width; ++x) {
            memset(out + 3 * x, row[x], 3);
        }
    }
    const gboolean good = ht_png_encode(&image, NULL, 0, &bytes) &&
                          ht_file_write(path, bytes.data, bytes.count, true, why, why_bytes);
    free(bytes.data);
    free(image.rgb);
    return good;
}

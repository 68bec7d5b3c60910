// Painting a mask over a picture.
#include "mask.h"

#include "mask_paint.h"

#include <glib/gi18n.h>

enum { MAX_UNDO = 16 };

struct _GuiMask {
    AdwWindow parent_instance;
    GtkDrawingArea *area;
    GtkToggleButton *paint, *erase;
    GtkRange *size;
    GdkPixbuf *picture;
    char *picture_path;
    GuiMaskPlane plane;
    GuiMaskPlane undo[MAX_UNDO]; // oldest first
    int n_undo;
    double from[2]; // start of the drag, in the widget
    double last[2]; // in the picture
    double pointer[2];
    gboolean inside;
    void (*painted)(gpointer user, const char *mask);
    gpointer user;
};

G_DEFINE_TYPE(GuiMask, gui_mask, ADW_TYPE_WINDOW)

// ---- places

static double scale_of(GuiMask *m) {
    const double width = gtk_widget_get_width(GTK_WIDGET(m->area)),
                 height = gtk_widget_get_height(GTK_WIDGET(m->area));
    return MIN(width / m->plane.width, height / m->plane.height);
}

static void to_picture(GuiMask *m, double x, double y, double out[2]) {
    const double scale = scale_of(m);
    out[0] = (x - (gtk_widget_get_width(GTK_WIDGET(m->area)) - m->plane.width * scale) / 2) / scale;
    out[1] =
        (y - (gtk_widget_get_height(GTK_WIDGET(m->area)) - m->plane.height * scale) / 2) / scale;
}

// In pixels of the picture: the slider is in percent of its longer edge.
static double brush(GuiMask *m) {
    return MAX(1, gtk_range_get_value(m->size) / 100 * MAX(m->plane.width, m->plane.height));
}

static void draw(GtkDrawingArea *area, cairo_t *cr, int width, int height, gpointer user) {
    GuiMask *m = user;
    const double scale = scale_of(m);
    (void)area;
    cairo_save(cr);
    cairo_translate(cr, (width - m->plane.width * scale) / 2,
                    (height - m->plane.height * scale) / 2);
    cairo_scale(cr, scale, scale);
    gdk_cairo_set_source_pixbuf(cr, m->picture, 0, 0);
    cairo_paint(cr);
    cairo_set_source_rgba(cr, 0.89, 0.11, 0.14, 0.55);
    cairo_mask_surface(cr, m->plane.surface, 0, 0);
    cairo_restore(cr);
    if (m->inside) {
        cairo_set_line_width(cr, 1.5);
        cairo_arc(cr, m->pointer[0], m->pointer[1], brush(m) * scale / 2, 0, 2 * G_PI);
        cairo_set_source_rgba(cr, 0, 0, 0, 0.6);
        cairo_stroke_preserve(cr);
        cairo_set_source_rgba(cr, 1, 1, 1, 0.9);
        cairo_set_line_width(cr, 0.75);
        cairo_stroke(cr);
    }
}

static void redraw(GuiMask *m) {
    gtk_widget_queue_draw(GTK_WIDGET(m->area));
}

// ---- undo

static void remember(GuiMask *m) {
    if (m->n_undo == MAX_UNDO) {
        gui_mask_plane_clear(&m->undo[0]);
        for (int i = 1; i < MAX_UNDO; ++i) {
            m->undo[i - 1] = m->undo[i];
        }
        --m->n_undo;
    }
    GuiMaskPlane *copy = &m->undo[m->n_undo];
    if (gui_mask_plane_init(copy, m->plane.width, m->plane.height)) {
        gui_mask_plane_copy(&m->plane, copy);
        ++m->n_undo;
    } else {
        gui_mask_plane_clear(copy);
    }
    gtk_widget_action_set_enabled(GTK_WIDGET(m), "mask.undo", m->n_undo > 0);
}

static void undo(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiMask *m = GUI_MASK(widget);
    (void)name;
    (void)parameter;
    if (m->n_undo > 0) {
        gui_mask_plane_clear(&m->plane);
        m->plane = m->undo[--m->n_undo];
        m->undo[m->n_undo] = (GuiMaskPlane){0};
    }
    gtk_widget_action_set_enabled(widget, "mask.undo", m->n_undo > 0);
    redraw(m);
}

static void clear(GuiMask *m) {
    remember(m);
    gui_mask_plane_fill(&m->plane, FALSE);
    redraw(m);
}

static void invert(GuiMask *m) {
    remember(m);
    gui_mask_plane_invert(&m->plane);
    redraw(m);
}

// ---- painting

static void stroke_to(GuiMask *m, double x, double y) {
    double to[2];
    to_picture(m, x, y, to);
    gui_mask_plane_stroke(&m->plane, m->last, to, brush(m), gtk_toggle_button_get_active(m->erase));
    m->last[0] = to[0];
    m->last[1] = to[1];
    m->pointer[0] = x;
    m->pointer[1] = y;
    redraw(m);
}

static void drag_begin(GtkGestureDrag *gesture, double x, double y, GuiMask *m) {
    (void)gesture;
    remember(m);
    m->from[0] = x;
    m->from[1] = y;
    to_picture(m, x, y, m->last);
    stroke_to(m, x, y);
}

static void drag_update(GtkGestureDrag *gesture, double x, double y, GuiMask *m) {
    (void)gesture;
    stroke_to(m, m->from[0] + x, m->from[1] + y);
}

static void moved(GtkEventControllerMotion *motion, double x, double y, GuiMask *m) {
    (void)motion;
    m->pointer[0] = x;
    m->pointer[1] = y;
    m->inside = TRUE;
    redraw(m);
}

static void left(GtkEventControllerMotion *motion, GuiMask *m) {
    (void)motion;
    m->inside = FALSE;
    redraw(m);
}

// ---- the end

// The same picture has the same mask file, so that the folder does not grow.
static char *mask_path(GuiMask *m) {
    char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA1, m->picture_path, -1);
    char *name = g_strdup_printf("%.16s.png", sum);
    char *folder = g_build_filename(g_get_user_cache_dir(), "halftone", "masks", NULL);
    char *path = g_build_filename(folder, name, NULL);
    g_mkdir_with_parents(folder, 0700);
    g_free(folder);
    g_free(name);
    g_free(sum);
    return path;
}

static void done(GuiMask *m) {
    char why[1024] = "";
    if (gui_mask_plane_empty(&m->plane)) {
        m->painted(m->user, NULL);
        gtk_window_destroy(GTK_WINDOW(m));
        return;
    }
    char *path = mask_path(m);
    if (gui_mask_plane_write(&m->plane, path, why, sizeof(why))) {
        m->painted(m->user, path);
    } else {
        GtkWindow *parent = gtk_window_get_transient_for(GTK_WINDOW(m));
        gtk_widget_activate_action(GTK_WIDGET(parent), "win.tell", "s", why);
    }
    g_free(path);
    gtk_window_destroy(GTK_WINDOW(m));
}

static void finalize(GObject *object) {
    GuiMask *m = GUI_MASK(object);
    g_clear_object(&m->picture);
    g_free(m->picture_path);
    gui_mask_plane_clear(&m->plane);
    for (int i = 0; i < m->n_undo; ++i) {
        gui_mask_plane_clear(&m->undo[i]);
    }
    G_OBJECT_CLASS(gui_mask_parent_class)->finalize(object);
}

static void gui_mask_class_init(GuiMaskClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/mask.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, GuiMask, name)
    CHILD(area);
    CHILD(paint);
    CHILD(erase);
    CHILD(size);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget, done);
    gtk_widget_class_bind_template_callback(widget, clear);
    gtk_widget_class_bind_template_callback(widget, invert);
    gtk_widget_class_install_action(widget, "mask.undo", NULL, undo);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_z, GDK_CONTROL_MASK, "mask.undo", NULL);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Escape, 0, "window.close", NULL);
}

static void gui_mask_init(GuiMask *m) {
    gtk_widget_init_template(GTK_WIDGET(m));
    gtk_widget_action_set_enabled(GTK_WIDGET(m), "mask.undo", FALSE);
    gtk_drawing_area_set_draw_func(m->area, draw, m, NULL);
    GtkGesture *drag = gtk_gesture_drag_new();
    g_signal_connect(drag, "drag-begin", G_CALLBACK(drag_begin), m);
    g_signal_connect(drag, "drag-update", G_CALLBACK(drag_update), m);
    gtk_widget_add_controller(GTK_WIDGET(m->area), GTK_EVENT_CONTROLLER(drag));
    GtkEventController *motion = gtk_event_controller_motion_new();
    g_signal_connect(motion, "motion", G_CALLBACK(moved), m);
    g_signal_connect(motion, "leave", G_CALLBACK(left), m);
    gtk_widget_add_controller(GTK_WIDGET(m->area), motion);
}

GtkWidget *gui_mask_new(GtkWindow *parent, const char *picture, const char *mask,
                        void (*painted)(gpointer user, const char *mask), gpointer user) {
    GuiMask *m = g_object_new(GUI_TYPE_MASK, "transient-for", parent, NULL);
    m->picture = gdk_pixbuf_new_from_file(picture, NULL);
    if (!m->picture) { // gone since it was shown
        m->picture = gdk_pixbuf_new(GDK_COLORSPACE_RGB, FALSE, 8, 64, 64);
    }
    m->picture_path = g_strdup(picture);
    m->painted = painted;
    m->user = user;
    gui_mask_plane_init(&m->plane, gdk_pixbuf_get_width(m->picture),
                        gdk_pixbuf_get_height(m->picture));
    if (mask) {
        gui_mask_plane_read(&m->plane, mask);
    }
    return GTK_WIDGET(m);
}

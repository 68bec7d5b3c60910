// A picture, or two with a divider.
#include "canvas.h"

#include <glib/gi18n.h>

static const double LARGEST_SCALE = 4, MARGIN = 24, KNOB = 14, RADIUS = 6;

struct _GuiCanvas {
    GtkWidget parent_instance;
    GdkTexture *texture, *other;
    double split, drag_start;
    GPtrArray *frames; // of a clip; else NULL
    double fps;
    gint64 began; // when the first frame was shown, in microseconds
    guint tick;   // 0: still
};

G_DEFINE_TYPE(GuiCanvas, gui_canvas, GTK_TYPE_WIDGET)

void gui_canvas_area(GuiCanvas *c, graphene_rect_t *area) {
    const double width = gtk_widget_get_width(GTK_WIDGET(c)),
                 height = gtk_widget_get_height(GTK_WIDGET(c));
    *area = GRAPHENE_RECT_INIT(0, 0, 0, 0);
    if (!c->texture || width <= 2 * MARGIN || height <= 2 * MARGIN) {
        return;
    }
    const double w = gdk_texture_get_width(c->texture), h = gdk_texture_get_height(c->texture);
    double scale = MIN((width - 2 * MARGIN) / w, (height - 2 * MARGIN) / h);
    scale = MIN(scale, LARGEST_SCALE);
    const double x = (width - w * scale) / 2, y = (height - h * scale) / 2;
    *area =
        GRAPHENE_RECT_INIT((float)(int)x, (float)(int)y, (float)(w * scale), (float)(h * scale));
}

// ---- drawing

static void draw_divider(GtkSnapshot *snapshot, const graphene_rect_t *area, double x) {
    const GdkRGBA white = {1, 1, 1, 1}, shade = {0, 0, 0, 0.35f};
    const float middle = area->origin.y + area->size.height / 2;
    gtk_snapshot_append_color(
        snapshot, &shade, &GRAPHENE_RECT_INIT((float)x - 2, area->origin.y, 4, area->size.height));
    gtk_snapshot_append_color(
        snapshot, &white, &GRAPHENE_RECT_INIT((float)x - 1, area->origin.y, 2, area->size.height));
    GskRoundedRect knob;
    const graphene_rect_t bounds = GRAPHENE_RECT_INIT((float)(x - KNOB), middle - (float)KNOB,
                                                      (float)(2 * KNOB), (float)(2 * KNOB));
    gsk_rounded_rect_init_from_rect(&knob, &bounds, (float)KNOB);
    gtk_snapshot_append_outset_shadow(snapshot, &knob, &shade, 0, 1, 1, 4);
    gtk_snapshot_push_rounded_clip(snapshot, &knob);
    gtk_snapshot_append_color(snapshot, &white, &bounds);
    gtk_snapshot_pop(snapshot);
    const GdkRGBA ink = {0.2f, 0.2f, 0.2f, 1};
    for (int side = -1; side <= 1; side += 2) {
        gtk_snapshot_append_color(
            snapshot, &ink, &GRAPHENE_RECT_INIT((float)(x + 4 * side) - 1, middle - 5, 2, 10));
    }
}

static void snapshot(GtkWidget *widget, GtkSnapshot *out) {
    GuiCanvas *c = GUI_CANVAS(widget);
    graphene_rect_t area;
    gui_canvas_area(c, &area);
    if (area.size.width <= 0) {
        return;
    }
    const GdkRGBA shade = {0, 0, 0, 0.3f};
    GskRoundedRect frame;
    gsk_rounded_rect_init_from_rect(&frame, &area, (float)RADIUS);
    gtk_snapshot_append_outset_shadow(out, &frame, &shade, 0, 2, 0, 8);
    gtk_snapshot_push_rounded_clip(out, &frame);
    gtk_snapshot_append_texture(out, c->texture, &area);
    const double x = area.origin.x + c->split * area.size.width;
    if (c->other) {
        const graphene_rect_t right = GRAPHENE_RECT_INIT(
            (float)x, area.origin.y, area.origin.x + area.size.width - (float)x, area.size.height);
        gtk_snapshot_push_clip(out, &right);
        gtk_snapshot_append_texture(out, c->other, &area);
        gtk_snapshot_pop(out);
    }
    gtk_snapshot_pop(out);
    if (c->other) {
        draw_divider(out, &area, x);
    }
}

// ---- the divider

static void tell_value(GuiCanvas *c) {
    if (!c->other) {
        return;
    }
    gtk_accessible_update_property(GTK_ACCESSIBLE(c), GTK_ACCESSIBLE_PROPERTY_VALUE_MIN, 0.0,
                                   GTK_ACCESSIBLE_PROPERTY_VALUE_MAX, 100.0,
                                   GTK_ACCESSIBLE_PROPERTY_VALUE_NOW, c->split * 100, -1);
}

void gui_canvas_set_split(GuiCanvas *c, double split) {
    c->split = CLAMP(split, 0, 1);
    tell_value(c);
    gtk_widget_queue_draw(GTK_WIDGET(c));
}

double gui_canvas_split(GuiCanvas *c) {
    return c->split;
}

static void set_from_x(GuiCanvas *c, double x) {
    graphene_rect_t area;
    gui_canvas_area(c, &area);
    if (area.size.width > 0) {
        gui_canvas_set_split(c, (x - area.origin.x) / area.size.width);
    }
}

static void drag_begin(GtkGestureDrag *gesture, double x, double y, GuiCanvas *c) {
    (void)y;
    if (!c->other) {
        gtk_gesture_set_state(GTK_GESTURE(gesture), GTK_EVENT_SEQUENCE_DENIED);
        return;
    }
    gtk_widget_grab_focus(GTK_WIDGET(c));
    c->drag_start = x;
    set_from_x(c, x);
}

static void drag_update(GtkGestureDrag *gesture, double x, double y, GuiCanvas *c) {
    (void)gesture;
    (void)y;
    if (c->other) {
        set_from_x(c, c->drag_start + x);
    }
}

static gboolean key_pressed(GtkEventControllerKey *keys, guint key, guint code,
                            GdkModifierType state, GuiCanvas *c) {
    (void)keys;
    (void)code;
    (void)state;
    const double step = key == GDK_KEY_Left ? -0.05 : key == GDK_KEY_Right ? 0.05 : 0;
    if (!c->other || step == 0) {
        return GDK_EVENT_PROPAGATE;
    }
    gui_canvas_set_split(c, c->split + step);
    return GDK_EVENT_STOP;
}

// ---- object

GdkTexture *gui_canvas_texture(GuiCanvas *c) {
    return c->texture;
}

static void set_texture(GuiCanvas *c, GdkTexture *texture) {
    if (g_set_object(&c->texture, texture)) {
        gtk_widget_queue_draw(GTK_WIDGET(c));
    }
}

static void stop_clip(GuiCanvas *c) {
    if (c->tick) {
        gtk_widget_remove_tick_callback(GTK_WIDGET(c), c->tick);
        c->tick = 0;
    }
}

void gui_canvas_set_texture(GuiCanvas *c, GdkTexture *texture) {
    stop_clip(c);
    g_clear_pointer(&c->frames, g_ptr_array_unref);
    set_texture(c, texture);
}

// ---- clips

static gboolean next_frame(GtkWidget *widget, GdkFrameClock *clock, gpointer user) {
    GuiCanvas *c = GUI_CANVAS(widget);
    (void)user;
    const gint64 now = gdk_frame_clock_get_frame_time(clock);
    c->began = c->began ? c->began : now;
    const guint64 frame = (guint64)((double)(now - c->began) * 1e-6 * c->fps);
    set_texture(c, g_ptr_array_index(c->frames, (guint)(frame % c->frames->len)));
    return G_SOURCE_CONTINUE;
}

void gui_canvas_set_paused(GuiCanvas *c, gboolean paused) {
    stop_clip(c);
    if (c->frames && !paused) {
        c->began = 0;
        c->tick = gtk_widget_add_tick_callback(GTK_WIDGET(c), next_frame, NULL, NULL);
    }
}

void gui_canvas_set_clip(GuiCanvas *c, GPtrArray *frames, double fps) {
    gui_canvas_set_texture(c, g_ptr_array_index(frames, 0));
    c->frames = g_ptr_array_ref(frames);
    c->fps = fps;
    gui_canvas_set_paused(c, FALSE);
}

void gui_canvas_set_other(GuiCanvas *c, GdkTexture *texture) {
    if (g_set_object(&c->other, texture)) {
        gtk_widget_set_focusable(GTK_WIDGET(c), texture != NULL);
        gtk_widget_set_cursor_from_name(GTK_WIDGET(c), texture ? "col-resize" : NULL);
        gtk_widget_queue_draw(GTK_WIDGET(c));
        tell_value(c);
    }
}

static void dispose(GObject *object) {
    GuiCanvas *c = GUI_CANVAS(object);
    stop_clip(c);
    g_clear_pointer(&c->frames, g_ptr_array_unref);
    g_clear_object(&c->texture);
    g_clear_object(&c->other);
    G_OBJECT_CLASS(gui_canvas_parent_class)->dispose(object);
}

static void measure(GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum,
                    int *natural, int *minimum_baseline, int *natural_baseline) {
    (void)widget;
    (void)orientation;
    (void)for_size;
    *minimum = 120;
    *natural = 512;
    *minimum_baseline = *natural_baseline = -1;
}

static void gui_canvas_class_init(GuiCanvasClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    widget->snapshot = snapshot;
    widget->measure = measure;
    gtk_widget_class_set_accessible_role(widget, GTK_ACCESSIBLE_ROLE_SLIDER);
    gtk_widget_class_set_css_name(widget, "canvas");
}

static void gui_canvas_init(GuiCanvas *c) {
    c->split = 0.5;
    gtk_widget_set_hexpand(GTK_WIDGET(c), TRUE);
    gtk_widget_set_vexpand(GTK_WIDGET(c), TRUE);
    GtkGesture *drag = gtk_gesture_drag_new();
    g_signal_connect(drag, "drag-begin", G_CALLBACK(drag_begin), c);
    g_signal_connect(drag, "drag-update", G_CALLBACK(drag_update), c);
    gtk_widget_add_controller(GTK_WIDGET(c), GTK_EVENT_CONTROLLER(drag));
    GtkEventController *keys = gtk_event_controller_key_new();
    g_signal_connect(keys, "key-pressed", G_CALLBACK(key_pressed), c);
    gtk_widget_add_controller(GTK_WIDGET(c), keys);
}

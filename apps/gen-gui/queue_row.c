// A row of the queue: dragged by its handle, moved by Alt and the arrow keys.
#include "queue_row.h"

#include <glib/gi18n.h>

struct _GuiQueueRow {
    AdwActionRow parent_instance;
    GuiEngine *engine;
    GuiJob *job;
    GtkWidget *handle, *spinner, *bar, *up, *down, *remove;
};

G_DEFINE_TYPE(GuiQueueRow, gui_queue_row, ADW_TYPE_ACTION_ROW)

static void show(GuiQueueRow *row) {
    const gboolean runs = row->job->state == GUI_JOB_RUNNING;
    char *summary = gui_job_summary(row->job), *text = NULL;
    if (runs) {
        char *phase = gui_job_phase_text(row->job), *figures = gui_job_figures(row->job);
        text = g_strdup_printf(*figures ? "%s · %s" : "%s", phase, figures);
        g_free(phase);
        g_free(figures);
    }
    adw_action_row_set_subtitle(ADW_ACTION_ROW(row), runs ? text : summary);
    gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(row->bar), gui_job_fraction(row->job));
    gtk_widget_set_visible(row->handle, !runs);
    gtk_widget_set_visible(row->spinner, runs);
    gtk_widget_set_visible(row->bar, runs);
    gtk_widget_set_visible(row->up, !runs);
    gtk_widget_set_visible(row->down, !runs);
    g_free(text);
    g_free(summary);
}

// Among those that wait; -1: it does not.
static int place_of(GuiQueueRow *row) {
    GListModel *queue = gui_engine_queue(row->engine);
    const int first = gui_engine_running(row->engine) ? 1 : 0;
    for (guint i = 0; i < g_list_model_get_n_items(queue); ++i) {
        GuiJob *job = g_list_model_get_item(queue, i);
        g_object_unref(job);
        if (job == row->job) {
            return (int)i - first;
        }
    }
    return -1;
}

static void move_by(GuiQueueRow *row, int places) {
    const int place = place_of(row);
    if (place >= 0 && place + places >= 0) {
        gui_engine_move(row->engine, row->job, (guint)(place + places));
    }
}

static void go_up(GuiQueueRow *row) {
    move_by(row, -1);
}

static void go_down(GuiQueueRow *row) {
    move_by(row, 1);
}

static void go_away(GuiQueueRow *row) {
    gui_engine_remove(row->engine, row->job);
}

static void by_key(GtkWidget *widget, const char *name, GVariant *parameter) {
    (void)name;
    move_by(GUI_QUEUE_ROW(widget), g_variant_get_int32(parameter));
}

// ---- dragging

static GdkContentProvider *drag_prepare(GtkDragSource *source, double x, double y,
                                        GuiQueueRow *row) {
    GdkPaintable *icon = gtk_widget_paintable_new(GTK_WIDGET(row));
    gtk_drag_source_set_icon(source, icon, (int)x, (int)y);
    g_object_unref(icon);
    return gdk_content_provider_new_typed(GUI_TYPE_JOB, row->job);
}

static gboolean dropped(GtkDropTarget *target, const GValue *value, double x, double y,
                        GuiQueueRow *row) {
    (void)target;
    (void)x;
    (void)y;
    const int place = place_of(row);
    gui_engine_move(row->engine, g_value_get_object(value), (guint)MAX(place, 0));
    return TRUE;
}

// ---- object

static GtkWidget *add_button(GuiQueueRow *row, const char *icon, const char *name, GCallback what) {
    GtkWidget *button = gtk_button_new_from_icon_name(icon);
    gtk_widget_set_tooltip_text(button, name);
    gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
    gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
    gtk_widget_add_css_class(button, "flat");
    g_signal_connect_swapped(button, "clicked", what, row);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row), button);
    return button;
}

static void dispose(GObject *object) {
    GuiQueueRow *row = GUI_QUEUE_ROW(object);
    g_clear_object(&row->job);
    g_clear_object(&row->engine);
    G_OBJECT_CLASS(gui_queue_row_parent_class)->dispose(object);
}

static void gui_queue_row_class_init(GuiQueueRowClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    gtk_widget_class_install_action(widget, "queue.move", "i", by_key);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Up, GDK_ALT_MASK, "queue.move", "i", -1);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Down, GDK_ALT_MASK, "queue.move", "i", 1);
}

static void gui_queue_row_init(GuiQueueRow *row) {
    row->handle = gtk_image_new_from_icon_name("list-drag-handle-symbolic");
    row->spinner = gtk_spinner_new();
    gtk_spinner_set_spinning(GTK_SPINNER(row->spinner), TRUE);
    adw_action_row_add_prefix(ADW_ACTION_ROW(row), row->handle);
    adw_action_row_add_prefix(ADW_ACTION_ROW(row), row->spinner);
    row->bar = gtk_progress_bar_new();
    gtk_widget_set_valign(row->bar, GTK_ALIGN_CENTER);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row), row->bar);
    row->up = add_button(row, "go-up-symbolic", _("Earlier"), G_CALLBACK(go_up));
    row->down = add_button(row, "go-down-symbolic", _("Later"), G_CALLBACK(go_down));
    row->remove = add_button(row, "window-close-symbolic", _("Remove"), G_CALLBACK(go_away));
    adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(row), FALSE);
    adw_action_row_set_title_lines(ADW_ACTION_ROW(row), 2);
    GtkDragSource *source = gtk_drag_source_new();
    gtk_drag_source_set_actions(source, GDK_ACTION_MOVE);
    g_signal_connect(source, "prepare", G_CALLBACK(drag_prepare), row);
    gtk_widget_add_controller(GTK_WIDGET(row), GTK_EVENT_CONTROLLER(source));
    GtkDropTarget *target = gtk_drop_target_new(GUI_TYPE_JOB, GDK_ACTION_MOVE);
    g_signal_connect(target, "drop", G_CALLBACK(dropped), row);
    gtk_widget_add_controller(GTK_WIDGET(row), GTK_EVENT_CONTROLLER(target));
}

GtkWidget *gui_queue_row_new(GuiEngine *engine, GuiJob *job) {
    GuiQueueRow *row = g_object_new(GUI_TYPE_QUEUE_ROW, "title", job->spec.prompt, NULL);
    row->engine = g_object_ref(engine);
    row->job = g_object_ref(job);
    g_signal_connect_object(job, "changed", G_CALLBACK(show), row, G_CONNECT_SWAPPED);
    show(row);
    return GTK_WIDGET(row);
}

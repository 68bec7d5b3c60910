// The queue as a list.
#include "queue.h"

#include "queue_row.h"

struct _GuiQueue {
    AdwBin parent_instance;
    GtkStack *stack;
    GtkListBox *list;
    GtkWidget *clear;
    GuiEngine *engine;
};

G_DEFINE_TYPE(GuiQueue, gui_queue, ADW_TYPE_BIN)

static GtkWidget *make_row(gpointer job, gpointer engine) {
    return gui_queue_row_new(engine, job);
}

static void changed(GuiQueue *q) {
    const guint count = g_list_model_get_n_items(gui_engine_queue(q->engine));
    gtk_stack_set_visible_child_name(q->stack, count > 0 ? "jobs" : "empty");
    gtk_widget_set_sensitive(q->clear, gui_engine_waiting(q->engine) > 0);
}

static void clear_all(GuiQueue *q) {
    gui_engine_clear(q->engine);
}

void gui_queue_follow(GuiQueue *q, GuiEngine *engine) {
    q->engine = engine;
    gtk_list_box_bind_model(q->list, gui_engine_queue(engine), make_row, engine, NULL);
    g_signal_connect_object(gui_engine_queue(engine), "items-changed", G_CALLBACK(changed), q,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(engine, "started", G_CALLBACK(changed), q, G_CONNECT_SWAPPED);
    g_signal_connect_object(engine, "ended", G_CALLBACK(changed), q, G_CONNECT_SWAPPED);
    changed(q);
}

static void gui_queue_class_init(GuiQueueClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/queue.ui");
    gtk_widget_class_bind_template_child(widget, GuiQueue, stack);
    gtk_widget_class_bind_template_child(widget, GuiQueue, list);
    gtk_widget_class_bind_template_child(widget, GuiQueue, clear);
    gtk_widget_class_bind_template_callback(widget, clear_all);
}

static void gui_queue_init(GuiQueue *q) {
    gtk_widget_init_template(GTK_WIDGET(q));
}

// Asking for a file or folder, and taking dropped ones.
#include "chooser.h"

#include <glib/gi18n.h>

typedef struct Request {
    GtkWidget *owner;
    GuiChosen chosen;
} Request;

static const char KEY[] = "gui-chooser";

static gboolean take(Request *request, GFile *file) {
    char *path = g_file_get_path(file);
    const gboolean local = path != NULL;
    if (local) {
        request->chosen(request->owner, path);
    }
    g_free(path);
    return local;
}

static void answered(GtkNativeDialog *dialog, int response, Request *request) {
    GtkWidget *owner = g_object_ref(request->owner);
    GListModel *files = response == GTK_RESPONSE_ACCEPT
                            ? gtk_file_chooser_get_files(GTK_FILE_CHOOSER(dialog))
                            : NULL;
    for (guint i = 0; files && i < g_list_model_get_n_items(files); ++i) {
        GFile *file = g_list_model_get_item(files, i);
        take(request, file);
        g_object_unref(file);
    }
    g_clear_object(&files);
    g_object_set_data(G_OBJECT(owner), KEY, NULL); // the dialog goes, and the request with it
    g_object_unref(owner);
}

static void add_filter(GtkFileChooser *chooser, GuiChooserKind kind) {
    GtkFileFilter *filter = gtk_file_filter_new();
    if (kind == GUI_CHOOSE_PICTURE) {
        gtk_file_filter_set_name(filter, _("Pictures"));
        gtk_file_filter_add_mime_type(filter, "image/png");
        gtk_file_filter_add_mime_type(filter, "image/jpeg");
    } else {
        gtk_file_filter_set_name(filter, _("Weights"));
        gtk_file_filter_add_suffix(filter, "safetensors");
    }
    gtk_file_chooser_add_filter(chooser, filter);
    g_object_unref(filter);
}

static void free_request(gpointer data, GClosure *closure) {
    (void)closure;
    g_free(data);
}

void gui_choose(GtkWidget *owner, const char *title, GuiChooserKind kind, GuiChosen chosen) {
    GtkWindow *window = GTK_WINDOW(gtk_widget_get_root(owner));
    const GtkFileChooserAction action = kind == GUI_CHOOSE_FOLDER
                                            ? GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER
                                            : GTK_FILE_CHOOSER_ACTION_OPEN;
    GtkFileChooserNative *dialog = gtk_file_chooser_native_new(title, window, action, NULL, NULL);
    Request *request = g_new0(Request, 1);
    *request = (Request){owner, chosen};
    if (kind == GUI_CHOOSE_PICTURE || kind == GUI_CHOOSE_WEIGHTS) {
        add_filter(GTK_FILE_CHOOSER(dialog), kind);
    }
    gtk_file_chooser_set_select_multiple(GTK_FILE_CHOOSER(dialog), kind == GUI_CHOOSE_WEIGHTS);
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(dialog), TRUE);
    g_signal_connect_data(dialog, "response", G_CALLBACK(answered), request, free_request, 0);
    g_object_set_data_full(G_OBJECT(owner), KEY, dialog, g_object_unref);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(dialog));
}

// ---- drops

// One file of our own gallery, or a list of a file manager's.
static gboolean dropped(GtkDropTarget *target, const GValue *value, double x, double y,
                        Request *request) {
    (void)target;
    (void)x;
    (void)y;
    if (G_VALUE_HOLDS(value, G_TYPE_FILE)) {
        return take(request, g_value_get_object(value));
    }
    gboolean any = FALSE;
    for (GSList *at = g_value_get_boxed(value); at; at = at->next) {
        any = take(request, at->data) || any;
    }
    return any;
}

void gui_take_drops(GtkWidget *place, GtkWidget *owner, GuiChosen chosen) {
    GType types[] = {G_TYPE_FILE, GDK_TYPE_FILE_LIST};
    GtkDropTarget *target = gtk_drop_target_new(G_TYPE_INVALID, GDK_ACTION_COPY);
    Request *request = g_new0(Request, 1);
    *request = (Request){owner, chosen};
    gtk_drop_target_set_gtypes(target, types, G_N_ELEMENTS(types));
    g_signal_connect_data(target, "drop", G_CALLBACK(dropped), request, free_request, 0);
    gtk_widget_add_controller(place, GTK_EVENT_CONTROLLER(target));
}

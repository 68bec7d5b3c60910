// Packing a model, by gen-quantize in a process of its own: it can be stopped at any time.
#include "quantizer.h"

#include "chooser.h"
#include "models.h"
#include "reveal.h"

#include <glib/gi18n.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct _GuiQuantizer {
    AdwWindow parent_instance;
    AdwComboRow *model_row, *recipe_row;
    AdwEntryRow *name_row;
    AdwActionRow *prompts_row;
    GtkWidget *choices, *go, *no_prompts;
    GtkRevealer *revealer;
    GtkProgressBar *bar;
    GtkLabel *status;
    char *prompts, *name;
    GString *said; // the last sentences of the program
    GSubprocess *process;
    GCancellable *reading;
    void (*packed)(gpointer user, const char *name);
    gpointer user;
};

G_DEFINE_TYPE(GuiQuantizer, gui_quantizer, ADW_TYPE_WINDOW)

static GuiChoice *chosen(AdwComboRow *row) {
    return adw_combo_row_get_selected_item(row);
}

// ---- what is asked for

static void propose_name(GuiQuantizer *q) {
    GuiChoice *model = chosen(q->model_row), *recipe = chosen(q->recipe_row);
    if (model && recipe) {
        char *name = g_strdup_printf("%s-%s", model->label, recipe->label);
        gtk_editable_set_text(GTK_EDITABLE(q->name_row), name);
        g_free(name);
    }
}

static void set_prompts(GuiQuantizer *q, char *path) {
    g_free(q->prompts);
    q->prompts = path;
    adw_action_row_set_subtitle(q->prompts_row,
                                path ? path : _("None: rounded to nearest, in seconds"));
    gtk_widget_set_sensitive(q->no_prompts, path != NULL);
}

static void forget_prompts(GuiQuantizer *q) {
    set_prompts(q, NULL);
}

static void prompts_chosen(gpointer owner, const char *path) {
    set_prompts(owner, g_strdup(path));
}

static void choose_prompts(GuiQuantizer *q) {
    gui_choose(GTK_WIDGET(q), _("Calibration prompts"), GUI_CHOOSE_ANY, prompts_chosen);
}

// ---- while it runs

static void show_running(GuiQuantizer *q, gboolean runs) {
    gtk_widget_set_sensitive(q->choices, !runs);
    gtk_widget_set_sensitive(q->go, !runs);
}

static void say(GuiQuantizer *q, const char *sentence) {
    gui_reveal(q->revealer, TRUE);
    gtk_label_set_text(q->status, sentence);
}

// Lines of progress are "sample 3/12 - ..."; others are sentences.
static void take_line(GuiQuantizer *q, const char *line) {
    unsigned done, all;
    char phase[16];
    if (sscanf(line, "%15s %u/%u", phase, &done, &all) == 3 && all > 0) {
        gtk_progress_bar_set_fraction(q->bar, MIN(1.0, (double)done / all));
        char *text = g_strdup_printf(_("%u of %u"), done, all);
        say(q, text);
        g_free(text);
        return;
    }
    const char *sentence = g_str_has_prefix(line, "gen-quantize: ") ? strchr(line, ' ') + 1 : line;
    if (q->said->len > 0) {
        g_string_append_c(q->said, '\n');
    }
    g_string_append(q->said, g_str_has_prefix(sentence, "error: ") ? sentence + 7 : sentence);
}

static void ended(GObject *source, GAsyncResult *result, gpointer user) {
    GError *error = NULL;
    const gboolean good = g_subprocess_wait_check_finish(G_SUBPROCESS(source), result, &error);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) { // the window is gone
        g_clear_error(&error);
        return;
    }
    GuiQuantizer *q = user;
    show_running(q, FALSE);
    g_clear_object(&q->process);
    if (good) {
        q->packed(q->user, q->name);
        g_clear_error(&error);
        gtk_window_close(GTK_WINDOW(q));
        return;
    }
    say(q, q->said->len > 0 ? q->said->str : error->message);
    gtk_progress_bar_set_fraction(q->bar, 0);
    g_clear_error(&error);
}

static void read_line(GObject *source, GAsyncResult *result, gpointer user) {
    GDataInputStream *stream = G_DATA_INPUT_STREAM(source);
    GError *error = NULL;
    char *line = g_data_input_stream_read_line_finish_utf8(stream, result, NULL, &error);
    const gboolean gone = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&error);
    if (gone) {
        g_free(line);
        return;
    }
    GuiQuantizer *q = user;
    if (!line) { // all is said
        g_subprocess_wait_check_async(q->process, q->reading, ended, q);
        return;
    }
    take_line(q, line);
    g_free(line);
    g_data_input_stream_read_line_async(stream, G_PRIORITY_DEFAULT, q->reading, read_line, q);
}

// Beside us when installed; in a folder beside ours when built.
static char *find_program(void) {
    char *self = g_file_read_link("/proc/self/exe", NULL);
    char *folder = self ? g_path_get_dirname(self) : g_strdup(".");
    char *beside = g_build_filename(folder, "gen-quantize", NULL);
    if (!g_file_test(beside, G_FILE_TEST_IS_REGULAR)) {
        g_free(beside);
        beside = g_build_filename(folder, "..", "gen-quantize", "gen-quantize", NULL);
    }
    g_free(folder);
    g_free(self);
    return beside;
}

static void run(GuiQuantizer *q, const char *model, const char *recipe, const char *output) {
    GError *error = NULL;
    char *program = find_program();
    const char *arguments[] = {program,    "--model", model, "--recipe", recipe,
                               "--output", output,    NULL,  NULL,       NULL};
    if (q->prompts) {
        arguments[7] = "--calibrate";
        arguments[8] = q->prompts;
    }
    GSubprocessLauncher *launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_PIPE |
                                                              G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
    g_subprocess_launcher_setenv(launcher, "HALFTONE_PROGRESS", "lines", TRUE);
    q->process = g_subprocess_launcher_spawnv(launcher, arguments, &error);
    g_object_unref(launcher);
    g_free(program);
    if (!q->process) {
        say(q, error->message);
        g_clear_error(&error);
        return;
    }
    g_string_truncate(q->said, 0);
    g_clear_object(&q->reading);
    q->reading = g_cancellable_new();
    show_running(q, TRUE);
    say(q, _("Reading the model"));
    GDataInputStream *lines = g_data_input_stream_new(g_subprocess_get_stderr_pipe(q->process));
    g_data_input_stream_read_line_async(lines, G_PRIORITY_DEFAULT, q->reading, read_line, q);
    g_object_unref(lines);
}

static void start(GuiQuantizer *q) {
    GuiChoice *model = chosen(q->model_row), *recipe = chosen(q->recipe_row);
    const char *name = gtk_editable_get_text(GTK_EDITABLE(q->name_row));
    if (!model || !recipe || !*name || strchr(name, '/') || *name == '.') {
        say(q, _("Give the packed model a name without slashes."));
        return;
    }
    char *folder = g_build_filename(g_get_user_data_dir(), "halftone", "models", NULL);
    char *output = g_build_filename(folder, name, NULL);
    g_mkdir_with_parents(folder, 0755);
    g_free(q->name);
    q->name = g_strdup(name);
    run(q, model->path ? model->path : model->value, recipe->value, output);
    g_free(output);
    g_free(folder);
}

// ---- object

// Recipes that pack: all but the first, "as the model is", and floats.
static gboolean packs(gpointer item, gpointer user) {
    (void)user;
    const GuiChoice *choice = item;
    return choice->value != NULL && strcmp(choice->value, "fp16") != 0;
}

static void fill(AdwComboRow *row, GListModel *list) {
    GtkExpression *label = gtk_property_expression_new(GUI_TYPE_CHOICE, NULL, "label");
    adw_combo_row_set_expression(row, label);
    adw_combo_row_set_model(row, list);
    gtk_expression_unref(label);
}

static void dispose(GObject *object) {
    GuiQuantizer *q = GUI_QUANTIZER(object);
    if (q->process) { // cleans up after itself
        g_subprocess_send_signal(q->process, SIGTERM);
    }
    if (q->reading) {
        g_cancellable_cancel(q->reading);
    }
    g_clear_object(&q->process);
    g_clear_object(&q->reading);
    g_clear_pointer(&q->prompts, g_free);
    g_clear_pointer(&q->name, g_free);
    if (q->said) {
        g_string_free(q->said, TRUE);
        q->said = NULL;
    }
    G_OBJECT_CLASS(gui_quantizer_parent_class)->dispose(object);
}

static void gui_quantizer_class_init(GuiQuantizerClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/quantizer.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, GuiQuantizer, name)
    CHILD(model_row);
    CHILD(recipe_row);
    CHILD(name_row);
    CHILD(prompts_row);
    CHILD(choices);
    CHILD(go);
    CHILD(no_prompts);
    CHILD(revealer);
    CHILD(bar);
    CHILD(status);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget, start);
    gtk_widget_class_bind_template_callback(widget, propose_name);
    gtk_widget_class_bind_template_callback(widget, choose_prompts);
    gtk_widget_class_bind_template_callback(widget, forget_prompts);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Escape, 0, "window.close", NULL);
}

static void gui_quantizer_init(GuiQuantizer *q) {
    gtk_widget_init_template(GTK_WIDGET(q));
    q->said = g_string_new(NULL);
}

GtkWidget *gui_quantizer_new(GtkWindow *parent, GListModel *models, GListModel *recipes,
                             const char *model, void (*packed)(gpointer user, const char *name),
                             gpointer user) {
    GuiQuantizer *q = g_object_new(GUI_TYPE_QUANTIZER, "transient-for", parent, NULL);
    GtkFilterListModel *few = gtk_filter_list_model_new(
        g_object_ref(recipes), GTK_FILTER(gtk_custom_filter_new(packs, NULL, NULL)));
    q->packed = packed;
    q->user = user;
    fill(q->model_row, models);
    fill(q->recipe_row, G_LIST_MODEL(few));
    const int place = gui_choices_find(models, model);
    adw_combo_row_set_selected(q->model_row, (guint)MAX(place, 0));
    const int w4a8 = gui_choices_find(G_LIST_MODEL(few), "w4a8");
    adw_combo_row_set_selected(q->recipe_row, (guint)MAX(w4a8, 0));
    propose_name(q);
    g_object_unref(few);
    return GTK_WIDGET(q);
}

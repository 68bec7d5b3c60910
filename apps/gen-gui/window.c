// The window: what joins form, queue and pages, and how it closes.
#include "window_internal.h"

#include "chooser.h"
#include "preferences.h"
#include "reveal.h"

#include "common/flags.h"

#include <glib/gi18n.h>

G_DEFINE_TYPE(GuiWindow, gui_window, ADW_TYPE_APPLICATION_WINDOW)

// ---- news

void gui_window_toast(GuiWindow *w, const char *text) {
    AdwToast *toast = adw_toast_new(text);
    if (w->toast) { // the newest counts
        adw_toast_dismiss(w->toast);
    }
    adw_toast_set_timeout(toast, 2);
    g_set_weak_pointer(&w->toast, toast);
    adw_toast_overlay_add_toast(w->toasts, toast);
}

// The engine's messages begin in lower case, as they follow a program's name, and have no full stop.
static char *as_sentence(const char *message) {
    GString *text = g_string_new(NULL);
    g_string_append_unichar(text, g_unichar_toupper(g_utf8_get_char(message)));
    g_string_append(text, *message ? g_utf8_next_char(message) : "");
    if (text->len > 0 && !strchr(".!?", text->str[text->len - 1])) {
        g_string_append_c(text, '.');
    }
    return g_string_free(text, FALSE);
}

void gui_window_tell(GuiWindow *w, const char *sentence) {
    char *text = as_sentence(sentence);
    gtk_label_set_text(w->error_label, text);
    g_free(text);
    gui_reveal(w->error_revealer, TRUE);
}

// ---- the engine

void gui_window_apply_settings(GuiWindow *w) {
    char *folder = gui_settings_output_folder(w->settings);
    char *device = gui_settings_text(w->settings, "device", "name", NULL);
    char *memory = gui_settings_text(w->settings, "device", "max-memory", "");
    GuiEngineOptions options = {
        .device = device,
        .previews = gui_settings_flag(w->settings, "output", "previews", TRUE),
        .folder = folder,
    };
    if (*memory) {
        ht_parse_size(memory, &options.max_memory);
    }
    gui_engine_set_options(w->engine, &options);
    gui_gallery_set_folder(w->gallery, folder);
    gui_form_apply_settings(w->form);
    gui_settings_save(w->settings);
    g_free(folder);
    g_free(device);
    g_free(memory);
}

static void show_waiting(GuiWindow *w) {
    const guint waiting = gui_engine_waiting(w->engine);
    adw_view_stack_page_set_badge_number(w->queue_page, waiting);
    gtk_widget_action_set_enabled(GTK_WIDGET(w), "win.cancel",
                                  gui_engine_running(w->engine) != NULL);
}

static void ended(GuiEngine *engine, GuiJob *job, GuiWindow *w) {
    (void)engine;
    show_waiting(w);
    if (job->state == GUI_JOB_FAILED) {
        gui_window_tell(w, job->error);
    }
    if (job->results->len > 0) {
        const GuiResult *last = g_ptr_array_index(job->results, job->results->len - 1);
        gui_form_show_seed(w->form, last->seed);
    }
}

static void idle(GuiEngine *engine, GuiWindow *w) {
    (void)engine;
    if (w->closing) {
        gtk_window_destroy(GTK_WINDOW(w));
    }
}

// ---- pages

static void picture_shown(GuiWindow *w, const char *path) {
    gui_stage_show(w->stage, path);
    adw_view_stack_set_visible_child_name(w->stack, "create");
}

static void comparison_wanted(GuiWindow *w) {
    char why[1024];
    GuiJob *job = gui_form_job(w->form, why, sizeof(why));
    if (!job) {
        gui_window_tell(w, why);
        return;
    }
    gui_compare_run(w->compare, w->engine, job);
    show_waiting(w);
    g_object_unref(job);
}

void gui_window_open(GuiWindow *w, const char *path) {
    char why[2048] = "";
    gboolean settings = g_str_has_suffix(path, ".png") || g_str_has_suffix(path, ".PNG");
    if (settings) {
        settings = gui_form_read_png(w->form, path, why, sizeof(why));
        if (!settings && !strstr(why, "holds no settings")) {
            gui_window_tell(w, why);
            return;
        }
    }
    if (settings) {
        gui_window_toast(w, _("Settings of the picture are in the form"));
    } else {
        gui_form_set_start(w->form, path);
    }
    adw_flap_set_reveal_flap(w->flap, TRUE);
}

static void dropped(gpointer owner, const char *path) {
    gui_window_open(owner, path);
}

// ---- closing: the run ends at its next step, then the window goes

static void save(GuiWindow *w) {
    int width, height;
    gtk_window_get_default_size(GTK_WINDOW(w), &width, &height);
    gui_settings_set_number(w->settings, "window", "width", width);
    gui_settings_set_number(w->settings, "window", "height", height);
    gui_settings_set_flag(w->settings, "window", "maximized",
                          gtk_window_is_maximized(GTK_WINDOW(w)));
    gui_form_save(w->form, w->settings);
    gui_compare_save(w->compare, w->settings);
    gui_settings_save(w->settings);
}

static void close_now(GuiWindow *w) {
    save(w);
    w->closing = TRUE;
    gtk_widget_set_visible(GTK_WIDGET(w), FALSE);
    gui_engine_stop(w->engine);
}

static void answered(AdwMessageDialog *dialog, const char *answer, GuiWindow *w) {
    (void)dialog;
    if (strcmp(answer, "close") == 0) {
        close_now(w);
    }
}

static gboolean close_request(GtkWindow *window) {
    GuiWindow *w = GUI_WINDOW(window);
    const guint waiting = gui_engine_waiting(w->engine);
    if (w->closing || waiting == 0) {
        if (!w->closing) {
            close_now(w);
        }
        return GDK_EVENT_STOP;
    }
    GtkWidget *dialog = adw_message_dialog_new(window, _("Stop and Close?"), NULL);
    adw_message_dialog_format_body(ADW_MESSAGE_DIALOG(dialog),
                                   ngettext("%u job still waits and would not be done.",
                                            "%u jobs still wait and would not be done.", waiting),
                                   waiting);
    adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "stay", _("_Keep Running"),
                                     "close", _("_Stop and Close"), NULL);
    adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "close",
                                               ADW_RESPONSE_DESTRUCTIVE);
    adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "stay");
    g_signal_connect(dialog, "response", G_CALLBACK(answered), w);
    gtk_window_present(GTK_WINDOW(dialog));
    return GDK_EVENT_STOP;
}

// ---- object

static void dispose(GObject *object) {
    GuiWindow *w = GUI_WINDOW(object);
    if (w->engine) {
        g_signal_handlers_disconnect_by_data(w->engine, w);
    }
    g_clear_object(&w->engine);
    g_clear_weak_pointer(&w->toast);
    G_OBJECT_CLASS(gui_window_parent_class)->dispose(object);
}

static void gui_window_class_init(GuiWindowClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    GTK_WINDOW_CLASS(class)->close_request = close_request;
    g_type_ensure(GUI_TYPE_FORM);
    g_type_ensure(GUI_TYPE_STAGE);
    g_type_ensure(GUI_TYPE_QUEUE);
    g_type_ensure(GUI_TYPE_GALLERY);
    g_type_ensure(GUI_TYPE_COMPARE);
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/window.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, GuiWindow, name)
    CHILD(flap);
    CHILD(toasts);
    CHILD(stack);
    CHILD(queue_page);
    CHILD(error_revealer);
    CHILD(error_label);
    CHILD(form);
    CHILD(stage);
    CHILD(queue);
    CHILD(gallery);
    CHILD(compare);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget, picture_shown);
    gtk_widget_class_bind_template_callback(widget, comparison_wanted);
    gui_window_install_actions(widget);
}

static void gui_window_init(GuiWindow *w) {
    gtk_widget_init_template(GTK_WIDGET(w));
    w->engine = gui_engine_new();
    gui_stage_follow(w->stage, w->engine);
    gui_queue_follow(w->queue, w->engine);
    g_signal_connect(w->engine, "ended", G_CALLBACK(ended), w);
    g_signal_connect(w->engine, "idle", G_CALLBACK(idle), w);
    g_signal_connect_swapped(w->engine, "started", G_CALLBACK(show_waiting), w);
    g_signal_connect_swapped(gui_engine_queue(w->engine), "items-changed", G_CALLBACK(show_waiting),
                             w);
    gui_take_drops(GTK_WIDGET(w->toasts), GTK_WIDGET(w), dropped);
    show_waiting(w);
}

GuiWindow *gui_window_new(AdwApplication *app, GuiSettings *settings) {
    GuiWindow *w = g_object_new(GUI_TYPE_WINDOW, "application", app, NULL);
    w->settings = settings;
    gtk_window_set_default_size(GTK_WINDOW(w),
                                (int)gui_settings_number(settings, "window", "width", 1180),
                                (int)gui_settings_number(settings, "window", "height", 780));
    if (gui_settings_flag(settings, "window", "maximized", FALSE)) {
        gtk_window_maximize(GTK_WINDOW(w));
    }
    gui_form_load(w->form, settings);
    gui_compare_set_recipes(w->compare, gui_form_recipes(w->form));
    gui_compare_load(w->compare, settings);
    gui_window_apply_settings(w);
    return w;
}

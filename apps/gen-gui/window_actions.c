// What the window can be asked to do, by buttons, menus and keys.
#include "window_internal.h"

#include "chooser.h"
#include "preferences.h"
#include "quantizer.h"
#include "reveal.h"
#include "thumbnails.h"

#include "common/video.h"

#include <glib/gi18n.h>

typedef void (*action)(GtkWidget *widget, const char *name, GVariant *parameter);

// ---- pictures

static void generate(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiWindow *w = GUI_WINDOW(widget);
    char why[1024];
    (void)name;
    (void)parameter;
    GuiJob *job = gui_form_job(w->form, why, sizeof(why));
    if (!job) {
        gui_window_tell(w, why);
        gui_form_focus_prompt(w->form);
        return;
    }
    gui_reveal(w->error_revealer, FALSE);
    gui_form_remember_files(w->form, &job->spec);
    gboolean waits = gui_engine_running(w->engine) != NULL;
    gui_engine_add(w->engine, job);
    if (waits) {
        gui_window_toast(w, _("It waits in the queue"));
    } else {
        adw_view_stack_set_visible_child_name(w->stack, "create");
    }
    g_object_unref(job);
}

static void cancel(GtkWidget *widget, const char *name, GVariant *parameter) {
    (void)name;
    (void)parameter;
    gui_engine_cancel(GUI_WINDOW(widget)->engine);
}

static void new_seed(GtkWidget *widget, const char *name, GVariant *parameter) {
    (void)name;
    (void)parameter;
    gui_form_new_seed(GUI_WINDOW(widget)->form);
}

static void tell(GtkWidget *widget, const char *name, GVariant *parameter) {
    (void)name;
    gui_window_tell(GUI_WINDOW(widget), g_variant_get_string(parameter, NULL));
}

static void dismiss(GtkWidget *widget, const char *name, GVariant *parameter) {
    (void)name;
    (void)parameter;
    gui_reveal(GUI_WINDOW(widget)->error_revealer, FALSE);
}

static void use_settings(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiWindow *w = GUI_WINDOW(widget);
    char why[2048] = "";
    (void)name;
    if (gui_form_read_png(w->form, g_variant_get_string(parameter, NULL), why, sizeof(why))) {
        gui_window_toast(w, _("Settings of the picture are in the form"));
        adw_flap_set_reveal_flap(w->flap, TRUE);
    } else {
        gui_window_tell(w, why);
    }
}

static void start_from(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiWindow *w = GUI_WINDOW(widget);
    (void)name;
    gui_form_set_start(w->form, g_variant_get_string(parameter, NULL));
    adw_flap_set_reveal_flap(w->flap, TRUE);
    gui_window_toast(w, _("The next picture starts from this one"));
}

static void open_picture(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiWindow *w = GUI_WINDOW(widget);
    GError *error = NULL;
    (void)name;
    char *uri = g_filename_to_uri(g_variant_get_string(parameter, NULL), NULL, NULL);
    if (!g_app_info_launch_default_for_uri(uri, NULL, &error)) {
        char *text = g_strdup_printf(_("No other program opens it: %s"), error->message);
        gui_window_tell(w, text);
        g_free(text);
        g_clear_error(&error);
    }
    g_free(uri);
}

// As a picture, and as a file for file managers.
static void copy_picture(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiWindow *w = GUI_WINDOW(widget);
    GError *error = NULL;
    (void)name;
    const char *path = g_variant_get_string(parameter, NULL);
    const gboolean clip = ht_video_is(path);
    GdkTexture *texture = clip ? NULL : gdk_texture_new_from_filename(path, &error);
    if (!texture && !clip) {
        gui_window_tell(w, error->message);
        g_clear_error(&error);
        return;
    }
    GFile *file = g_file_new_for_path(path);
    GdkContentProvider *providers[2] = {gdk_content_provider_new_typed(G_TYPE_FILE, file)};
    if (texture) {
        providers[1] = gdk_content_provider_new_typed(GDK_TYPE_TEXTURE, texture);
    }
    GdkContentProvider *both = gdk_content_provider_new_union(providers, texture ? 2 : 1);
    gdk_clipboard_set_content(gtk_widget_get_clipboard(widget), both);
    gui_window_toast(w, _("Copied"));
    g_object_unref(both);
    g_object_unref(file);
    g_clear_object(&texture);
}

static void trash_picture(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiWindow *w = GUI_WINDOW(widget);
    GError *error = NULL;
    (void)name;
    const char *path = g_variant_get_string(parameter, NULL);
    GFile *file = g_file_new_for_path(path);
    if (g_file_trash(file, NULL, &error)) {
        gui_stage_forget(w->stage, path);
        gui_window_toast(w, _("Moved to the trash"));
    } else {
        char *text = g_strdup_printf(_("It cannot be moved to the trash: %s"), error->message);
        gui_window_tell(w, text);
        g_free(text);
        g_clear_error(&error);
    }
    g_object_unref(file);
}

// ---- windows

static void file_chosen(gpointer owner, const char *path) {
    gui_window_open(owner, path);
}

static void open_file(GtkWidget *widget, const char *name, GVariant *parameter) {
    (void)name;
    (void)parameter;
    gui_choose(widget, _("Take the Settings of a Picture"), GUI_CHOOSE_PICTURE, file_chosen);
}

static void settings_changed(gpointer user) {
    gui_window_apply_settings(user);
}

static void preferences(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiWindow *w = GUI_WINDOW(widget);
    (void)name;
    (void)parameter;
    GtkWidget *window = gui_preferences_new(GTK_WINDOW(w), w->settings, settings_changed, w);
    gtk_window_present(GTK_WINDOW(window));
}

// Made when it is asked for. GTK's own way keeps it hidden from the start, and GTK 4.8 crashes when a screen
// reader asks for a window that has just closed while a hidden one is there.
static void shortcuts(GtkWidget *widget, const char *name, GVariant *parameter) {
    GtkBuilder *builder = gtk_builder_new_from_resource("/org/halftone/GenGui/shortcuts.ui");
    GtkWindow *window = GTK_WINDOW(gtk_builder_get_object(builder, "help_overlay"));
    (void)name;
    (void)parameter;
    gtk_window_set_transient_for(window, GTK_WINDOW(widget));
    gtk_window_present(window);
    g_object_unref(builder);
}

static void packed(gpointer user, const char *model) {
    GuiWindow *w = user;
    char *text = g_strdup_printf(_("“%s” is packed and chosen"), model);
    gui_form_find_models(w->form, model);
    gui_window_toast(w, text);
    g_free(text);
}

static void quantize(GtkWidget *widget, const char *name, GVariant *parameter) {
    GuiWindow *w = GUI_WINDOW(widget);
    GuiChoice *model = gui_form_model(w->form);
    (void)name;
    (void)parameter;
    GtkWidget *window =
        gui_quantizer_new(GTK_WINDOW(w), gui_form_models(w->form), gui_form_recipes(w->form),
                          model ? model->value : NULL, packed, w);
    gtk_window_present(GTK_WINDOW(window));
}

static void show_page(GtkWidget *widget, const char *name, GVariant *parameter) {
    (void)name;
    adw_view_stack_set_visible_child_name(GUI_WINDOW(widget)->stack,
                                          g_variant_get_string(parameter, NULL));
}

static void toggle_form(GtkWidget *widget, const char *name, GVariant *parameter) {
    AdwFlap *flap = GUI_WINDOW(widget)->flap;
    (void)name;
    (void)parameter;
    adw_flap_set_reveal_flap(flap, !adw_flap_get_reveal_flap(flap));
}

static void focus_prompt(GtkWidget *widget, const char *name, GVariant *parameter) {
    (void)name;
    (void)parameter;
    adw_flap_set_reveal_flap(GUI_WINDOW(widget)->flap, TRUE);
    gui_form_focus_prompt(GUI_WINDOW(widget)->form);
}

// ---- the table

static const struct {
    const char *name, *type;
    action run;
    const char *keys[3]; // that texts and lists must not take
} rows[] = {
    {"win.generate", NULL, generate, {"<Control>Return", "<Control>KP_Enter"}},
    {"win.open", NULL, open_file, {"<Control>o"}},
    {"win.new-seed", NULL, new_seed, {"<Control>r"}},
    {"win.focus-prompt", NULL, focus_prompt, {"<Control>l"}},
    {"win.toggle-form", NULL, toggle_form, {"F9"}},
    {"win.preferences", NULL, preferences, {"<Control>comma"}},
    {"win.show-help-overlay", NULL, shortcuts, {"<Control>question", "<Control>F1"}},
    {"win.page", "s", show_page, {NULL}}, // see below
    {"win.cancel", NULL, cancel, {NULL}},
    {"win.quantize", NULL, quantize, {NULL}},
    {"win.dismiss", NULL, dismiss, {NULL}},
    {"win.tell", "s", tell, {NULL}},
    {"win.use-settings", "s", use_settings, {NULL}},
    {"win.start-from", "s", start_from, {NULL}},
    {"win.open-picture", "s", open_picture, {NULL}},
    {"win.copy-picture", "s", copy_picture, {NULL}},
    {"win.trash-picture", "s", trash_picture, {NULL}},
};

void gui_window_install_actions(GtkWidgetClass *widget) {
    for (size_t i = 0; i < G_N_ELEMENTS(rows); ++i) {
        gtk_widget_class_install_action(widget, rows[i].name, rows[i].type, rows[i].run);
    }
    // After menus and lists, which it closes.
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Escape, 0, "win.cancel", NULL);
}

void gui_window_set_keys(GtkApplication *app) {
    static const char *const pages[][2] = {{"win.page::create", "<Alt>1"},
                                           {"win.page::queue", "<Alt>2"},
                                           {"win.page::gallery", "<Alt>3"},
                                           {"win.page::compare", "<Alt>4"},
                                           {"window.close", "<Control>w"}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); ++i) {
        if (rows[i].keys[0]) {
            gtk_application_set_accels_for_action(app, rows[i].name, rows[i].keys);
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(pages); ++i) {
        const char *const keys[] = {pages[i][1], NULL};
        gtk_application_set_accels_for_action(app, pages[i][0], keys);
    }
}

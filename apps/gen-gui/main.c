// gen-gui: the desktop application.
#include "preferences.h"
#include "window.h"

#include "common/models.h"
#include "common/stop.h"

#include <glib/gi18n.h>
#include <locale.h>

static const char ID[] = "org.halftone.GenGui", ICON[] = "org.halftone.GenGui";

typedef struct State {
    GuiSettings *settings;
    GuiWindow *window; // NULL: not yet, or gone
} State;

static void show_window(AdwApplication *app, State *state) {
    if (!state->window) {
        gui_preferences_apply_colours(state->settings);
        state->window = gui_window_new(app, state->settings);
        g_object_add_weak_pointer(G_OBJECT(state->window), (gpointer *)&state->window);
    }
    gtk_window_present(GTK_WINDOW(state->window));
}

static void activate(GApplication *app, State *state) {
    show_window(ADW_APPLICATION(app), state);
}

// gen-gui FILE.png: also for the window that is there.
static void open_files(GApplication *app, GFile **files, int count, const char *hint,
                       State *state) {
    (void)hint;
    show_window(ADW_APPLICATION(app), state);
    for (int i = 0; i < count; ++i) {
        char *path = g_file_get_path(files[i]);
        if (path) {
            gui_window_open(state->window, path);
        }
        g_free(path);
    }
}

static void about(GSimpleAction *action, GVariant *parameter, gpointer user) {
    (void)action;
    (void)parameter;
    GtkApplication *app = user;
    adw_show_about_window(
        gtk_application_get_active_window(app), "application-name", _("Halftone"),
        "application-icon", ICON, "version", HT_VERSION, "license-type", GTK_LICENSE_APACHE_2_0,
        "developer-name", _("The halftone developers"), "comments",
        _("Pictures from text by quantized diffusion models, on any Vulkan device"), NULL);
}

static void quit(GSimpleAction *action, GVariant *parameter, gpointer user) {
    (void)action;
    (void)parameter;
    GtkWindow *window = gtk_application_get_active_window(user);
    if (window) {
        gtk_window_close(window);
    } else {
        g_application_quit(user);
    }
}

static void startup(GApplication *app, State *state) {
    static const GActionEntry actions[] = {{.name = "about", .activate = about},
                                           {.name = "quit", .activate = quit}};
    static const char *const quit_keys[] = {"<Control>q", NULL};
    (void)state;
    g_action_map_add_action_entries(G_ACTION_MAP(app), actions, G_N_ELEMENTS(actions), app);
    gtk_application_set_accels_for_action(GTK_APPLICATION(app), "app.quit", quit_keys);
    gui_window_set_keys(GTK_APPLICATION(app));
    gtk_window_set_default_icon_name(ICON);
}

static int local_options(GApplication *app, GVariantDict *options, State *state) {
    (void)app;
    (void)state;
    if (g_variant_dict_contains(options, "version")) {
        g_print("halftone %s\n", HT_VERSION);
        return 0;
    }
    return -1; // go on
}

static void bind_messages(void) {
    char prefix[PATH_MAX];
    gtk_disable_setlocale(); // would undo the last line
    setlocale(LC_ALL, "");
    if (ht_program_prefix(prefix)) {
        char *folder = g_build_filename(prefix, HT_LOCALE_DIR, NULL);
        bindtextdomain(GETTEXT_PACKAGE, folder);
        bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        textdomain(GETTEXT_PACKAGE);
        g_free(folder);
    }
    setlocale(LC_NUMERIC, "C"); // the engine's files and messages are the same everywhere
}

int main(int argc, char **argv) {
    State state = {.settings = gui_settings_new()};
    bind_messages();
    ht_app_guard_signals("gen-gui");
    AdwApplication *app = adw_application_new(ID, G_APPLICATION_HANDLES_OPEN);
    g_application_set_option_context_parameter_string(G_APPLICATION(app), _("[PICTURE…]"));
    g_application_set_option_context_summary(
        G_APPLICATION(app), _("Pictures from text; a picture's settings are taken from its file."));
    g_application_add_main_option(G_APPLICATION(app), "version", 0, G_OPTION_FLAG_NONE,
                                  G_OPTION_ARG_NONE, _("Show the version"), NULL);
    g_signal_connect(app, "handle-local-options", G_CALLBACK(local_options), &state);
    g_signal_connect(app, "startup", G_CALLBACK(startup), &state);
    g_signal_connect(app, "activate", G_CALLBACK(activate), &state);
    g_signal_connect(app, "open", G_CALLBACK(open_files), &state);
    const int code = g_application_run(G_APPLICATION(app), argc, argv);
    g_object_unref(app);
    gui_settings_free(state.settings);
    return code;
}

// Preferences: what applies to every picture.
#include "preferences.h"

#include "chooser.h"

#include "common/flags.h"

#include <glib/gi18n.h>
#include <halftone/context.h>

enum { MAX_DEVICES = 32 };

struct _GuiPreferences {
    AdwPreferencesWindow parent_instance;
    AdwActionRow *folder_row, *loras_row;
    GtkSwitch *previews;
    AdwComboRow *device_row, *colours_row;
    AdwEntryRow *memory_row;
    GuiSettings *settings;
    GCancellable *listing;
    gboolean filling;
    void (*changed)(gpointer user);
    gpointer user;
};

G_DEFINE_TYPE(GuiPreferences, gui_preferences, ADW_TYPE_PREFERENCES_WINDOW)

void gui_preferences_apply_colours(GuiSettings *settings) {
    static const AdwColorScheme schemes[] = {ADW_COLOR_SCHEME_DEFAULT, ADW_COLOR_SCHEME_FORCE_LIGHT,
                                             ADW_COLOR_SCHEME_FORCE_DARK};
    const int colours = (int)gui_settings_number(settings, "window", "colours", 0);
    adw_style_manager_set_color_scheme(adw_style_manager_get_default(),
                                       schemes[CLAMP(colours, 0, 2)]);
}

static void show_folders(GuiPreferences *p) {
    char *results = gui_settings_output_folder(p->settings);
    char *loras = gui_settings_lora_folder(p->settings);
    adw_action_row_set_subtitle(p->folder_row, results);
    adw_action_row_set_subtitle(p->loras_row, loras);
    g_free(results);
    g_free(loras);
}

static void folder_chosen(gpointer owner, const char *path) {
    GuiPreferences *p = owner;
    gui_settings_set_text(p->settings, "output", "folder", path);
    show_folders(p);
    p->changed(p->user);
}

static void choose_folder(GuiPreferences *p) {
    gui_choose(GTK_WIDGET(p), _("Folder for results"), GUI_CHOOSE_FOLDER, folder_chosen);
}

static void loras_chosen(gpointer owner, const char *path) {
    GuiPreferences *p = owner;
    gui_settings_set_text(p->settings, "input", "loras", path);
    show_folders(p);
    p->changed(p->user);
}

static void choose_loras(GuiPreferences *p) {
    gui_choose(GTK_WIDGET(p), _("Folder of LoRAs"), GUI_CHOOSE_FOLDER, loras_chosen);
}

static void previews_switched(GuiPreferences *p) {
    if (!p->filling) {
        gui_settings_set_flag(p->settings, "output", "previews",
                              gtk_switch_get_active(p->previews));
        p->changed(p->user);
    }
}

// "" or a size.
static void memory_typed(GuiPreferences *p) {
    const char *text = gtk_editable_get_text(GTK_EDITABLE(p->memory_row));
    uint64_t bytes;
    const gboolean good = !*text || ht_parse_size(text, &bytes);
    if (good) {
        gtk_widget_remove_css_class(GTK_WIDGET(p->memory_row), "error");
    } else {
        gtk_widget_add_css_class(GTK_WIDGET(p->memory_row), "error");
    }
    if (good && !p->filling) {
        gui_settings_set_text(p->settings, "device", "max-memory", text);
        p->changed(p->user);
    }
}

static void colours_chosen(GuiPreferences *p) {
    if (!p->filling) {
        gui_settings_set_number(p->settings, "window", "colours",
                                adw_combo_row_get_selected(p->colours_row));
        gui_preferences_apply_colours(p->settings);
    }
}

// ---- devices: asking for them loads the drivers, so on another thread

static void device_chosen(GuiPreferences *p) {
    GtkStringObject *item = adw_combo_row_get_selected_item(p->device_row);
    if (!p->filling && item) {
        const gboolean best = adw_combo_row_get_selected(p->device_row) == 0;
        gui_settings_set_text(p->settings, "device", "name",
                              best ? NULL : gtk_string_object_get_string(item));
        p->changed(p->user);
    }
}

static void list_devices(GTask *task, gpointer source, gpointer data, GCancellable *cancellable) {
    (void)source;
    (void)data;
    (void)cancellable;
    const ht_context_desc desc = {.host_only = true};
    ht_device_info *infos = g_new0(ht_device_info, MAX_DEVICES);
    uint32_t count = MAX_DEVICES;
    ht_context *context = NULL;
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    if (ht_context_create(&desc, &context) == HT_OK &&
        ht_device_list(context, infos, &count) == HT_OK) {
        for (uint32_t i = 0; i < MIN(count, MAX_DEVICES); ++i) {
            if (infos[i].usable) {
                g_ptr_array_add(names, g_strdup(infos[i].name));
            }
        }
    }
    ht_context_destroy(&context);
    g_free(infos);
    g_task_return_pointer(task, names, (GDestroyNotify)g_ptr_array_unref);
}

static void devices_listed(GObject *source, GAsyncResult *result, gpointer user) {
    (void)source;
    GPtrArray *names = g_task_propagate_pointer(G_TASK(result), NULL);
    if (!names) { // the window is gone
        return;
    }
    GuiPreferences *p = user;
    GtkStringList *list = gtk_string_list_new(NULL);
    char *set = gui_settings_text(p->settings, "device", "name", NULL);
    guint place = 0;
    gtk_string_list_append(list, _("The best there is"));
    for (guint i = 0; i < names->len; ++i) {
        const char *name = g_ptr_array_index(names, i);
        gtk_string_list_append(list, name);
        place = g_strcmp0(name, set) == 0 ? i + 1 : place;
    }
    p->filling = TRUE;
    adw_combo_row_set_model(p->device_row, G_LIST_MODEL(list));
    adw_combo_row_set_selected(p->device_row, place);
    p->filling = FALSE;
    g_free(set);
    g_object_unref(list);
    g_ptr_array_unref(names);
}

// ---- object

static void dispose(GObject *object) {
    GuiPreferences *p = GUI_PREFERENCES(object);
    if (p->listing) {
        g_cancellable_cancel(p->listing);
    }
    g_clear_object(&p->listing);
    G_OBJECT_CLASS(gui_preferences_parent_class)->dispose(object);
}

static void gui_preferences_class_init(GuiPreferencesClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/preferences.ui");
    gtk_widget_class_bind_template_child(widget, GuiPreferences, folder_row);
    gtk_widget_class_bind_template_child(widget, GuiPreferences, loras_row);
    gtk_widget_class_bind_template_child(widget, GuiPreferences, previews);
    gtk_widget_class_bind_template_child(widget, GuiPreferences, device_row);
    gtk_widget_class_bind_template_child(widget, GuiPreferences, colours_row);
    gtk_widget_class_bind_template_child(widget, GuiPreferences, memory_row);
    gtk_widget_class_bind_template_callback(widget, choose_folder);
    gtk_widget_class_bind_template_callback(widget, choose_loras);
    gtk_widget_class_bind_template_callback(widget, previews_switched);
    gtk_widget_class_bind_template_callback(widget, device_chosen);
    gtk_widget_class_bind_template_callback(widget, memory_typed);
    gtk_widget_class_bind_template_callback(widget, colours_chosen);
}

static void gui_preferences_init(GuiPreferences *p) {
    p->filling = TRUE;
    gtk_widget_init_template(GTK_WIDGET(p));
}

GtkWidget *gui_preferences_new(GtkWindow *parent, GuiSettings *settings,
                               void (*changed)(gpointer user), gpointer user) {
    GuiPreferences *p = g_object_new(GUI_TYPE_PREFERENCES, "transient-for", parent, NULL);
    char *memory = gui_settings_text(settings, "device", "max-memory", "");
    p->settings = settings;
    p->changed = changed;
    p->user = user;
    show_folders(p);
    gtk_switch_set_active(p->previews, gui_settings_flag(settings, "output", "previews", TRUE));
    gtk_editable_set_text(GTK_EDITABLE(p->memory_row), memory);
    adw_combo_row_set_selected(p->colours_row,
                               (guint)gui_settings_number(settings, "window", "colours", 0));
    p->filling = FALSE;
    p->listing = g_cancellable_new();
    GTask *task = g_task_new(NULL, p->listing, devices_listed, p);
    g_task_run_in_thread(task, list_devices);
    g_object_unref(task);
    g_free(memory);
    return GTK_WIDGET(p);
}

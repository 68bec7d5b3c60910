// The ControlNet of the next picture.
#include "control.h"

#include "chooser.h"
#include "fields.h"
#include "wheel.h"

#include <glib/gi18n.h>

enum { SPINS = 3 };
static const char *const keys[SPINS] = {"control_strength", "control_start", "control_end"};

struct _GuiControl {
    AdwBin parent_instance;
    AdwPreferencesGroup *group;
    AdwActionRow *model_row, *picture_row;
    GtkWidget *model_clear, *picture_clear, *strength_row, *start_row, *end_row;
    GtkPicture *picture;
    GtkSpinButton *strength_spin, *start_spin, *end_spin;
    char *model, *path;
    gboolean usable, own;
};

G_DEFINE_TYPE(GuiControl, gui_control, ADW_TYPE_BIN)

static void get_spins(GuiControl *c, GtkWidget *spins[SPINS]) {
    GtkSpinButton *const all[SPINS] = {c->strength_spin, c->start_spin, c->end_spin};
    for (int i = 0; i < SPINS; ++i) {
        spins[i] = GTK_WIDGET(all[i]);
    }
}

static void show(GuiControl *c) {
    char *model = c->model ? g_path_get_basename(c->model) : NULL;
    char *name = c->path ? g_path_get_basename(c->path) : NULL;
    GtkWidget *const rows[] = {c->strength_row, c->start_row, c->end_row, GTK_WIDGET(c->picture),
                               c->picture_clear};
    adw_action_row_set_subtitle(c->model_row, model    ? model
                                              : c->own ? _("The model’s own")
                                                       : _("None"));
    adw_action_row_set_subtitle(c->picture_row, name ? name : _("None"));
    gtk_widget_set_visible(c->model_clear, c->model != NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); ++i) {
        gtk_widget_set_visible(rows[i], c->path != NULL);
    }
    g_free(model);
    g_free(name);
}

static void set_model(GuiControl *c, const char *path) {
    char *own = g_strdup(path);
    g_free(c->model);
    c->model = own;
    show(c);
}

static void set_picture(GuiControl *c, const char *path) {
    GError *error = NULL;
    GdkTexture *texture = path ? gdk_texture_new_from_filename(path, &error) : NULL;
    if (path && !texture) {
        char *text =
            g_strdup_printf(_("“%s” cannot be read as a picture: %s"), path, error->message);
        gtk_widget_activate_action(GTK_WIDGET(c), "win.tell", "s", text);
        g_free(text);
        g_clear_error(&error);
        return;
    }
    char *own = g_strdup(path);
    g_free(c->path);
    c->path = own;
    gtk_picture_set_paintable(c->picture, texture ? GDK_PAINTABLE(texture) : NULL);
    g_clear_object(&texture);
    show(c);
}

static void model_chosen(gpointer owner, const char *path) {
    set_model(owner, path);
}

static void picture_chosen(gpointer owner, const char *path) {
    set_picture(owner, path);
}

static void dropped(gpointer owner, const char *path) {
    const gboolean model =
        g_file_test(path, G_FILE_TEST_IS_DIR) || g_str_has_suffix(path, ".safetensors");
    (model ? set_model : set_picture)(owner, path);
}

static void choose_model(GuiControl *c) {
    gui_choose(GTK_WIDGET(c), _("Folder of a ControlNet"), GUI_CHOOSE_FOLDER, model_chosen);
}

static void choose_picture(GuiControl *c) {
    gui_choose(GTK_WIDGET(c), _("Control picture"), GUI_CHOOSE_PICTURE, picture_chosen);
}

static void clear_model(GuiControl *c) {
    set_model(c, NULL);
}

static void clear_picture(GuiControl *c) {
    set_picture(c, NULL);
}

void gui_control_read(GuiControl *c, ht_job *job) {
    GtkWidget *spins[SPINS];
    if (!c->usable || !c->path) {
        return;
    }
    get_spins(c, spins);
    job->control = c->model;
    job->control_image = c->path;
    for (int i = 0; i < SPINS; ++i) {
        gui_field_read(spins[i], keys[i], job);
    }
}

void gui_control_write(GuiControl *c, const ht_job *job) {
    GtkWidget *spins[SPINS];
    get_spins(c, spins);
    for (int i = 0; i < SPINS; ++i) {
        gui_field_write(spins[i], keys[i], job);
    }
    set_model(c, job->control);
    set_picture(c, job->control_image);
}

void gui_control_refuse(GuiControl *c, const char *reason, gboolean own) {
    GtkWidget *const rows[] = {GTK_WIDGET(c->model_row), GTK_WIDGET(c->picture_row),
                               c->strength_row, c->start_row, c->end_row};
    c->usable = reason == NULL;
    c->own = own;
    adw_preferences_group_set_description(c->group, reason);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); ++i) {
        gtk_widget_set_sensitive(rows[i], c->usable);
    }
    show(c);
}

static void finalize(GObject *object) {
    GuiControl *c = GUI_CONTROL(object);
    g_free(c->model);
    g_free(c->path);
    G_OBJECT_CLASS(gui_control_parent_class)->finalize(object);
}

static void gui_control_class_init(GuiControlClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/control.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, GuiControl, name)
    CHILD(group);
    CHILD(model_row);
    CHILD(picture_row);
    CHILD(model_clear);
    CHILD(picture_clear);
    CHILD(strength_row);
    CHILD(start_row);
    CHILD(end_row);
    CHILD(picture);
    CHILD(strength_spin);
    CHILD(start_spin);
    CHILD(end_spin);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget, choose_model);
    gtk_widget_class_bind_template_callback(widget, choose_picture);
    gtk_widget_class_bind_template_callback(widget, clear_model);
    gtk_widget_class_bind_template_callback(widget, clear_picture);
}

static void gui_control_init(GuiControl *c) {
    GtkWidget *spins[SPINS];
    gtk_widget_init_template(GTK_WIDGET(c));
    get_spins(c, spins);
    for (int i = 0; i < SPINS; ++i) {
        gui_field_bind(spins[i], keys[i], FALSE);
        gui_ignore_wheel(spins[i]);
    }
    gui_field_bind(GTK_WIDGET(c->model_row), "control", FALSE);
    gui_field_bind(GTK_WIDGET(c->picture_row), "control_image", FALSE);
    gui_take_drops(GTK_WIDGET(c->group), GTK_WIDGET(c), dropped);
    gui_control_refuse(c, NULL, FALSE);
}

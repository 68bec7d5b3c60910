// The picture to start from.
#include "start.h"

#include "chooser.h"
#include "fields.h"
#include "mask.h"
#include "wheel.h"

#include <glib/gi18n.h>

struct _GuiStart {
    AdwBin parent_instance;
    AdwPreferencesGroup *group;
    GtkStack *stack;
    GtkPicture *picture;
    GtkLabel *name, *facts;
    GtkRange *strength;
    char *path, *mask;
};

G_DEFINE_TYPE(GuiStart, gui_start, ADW_TYPE_BIN)

const char *gui_start_path(GuiStart *s) {
    return s->path;
}

const char *gui_start_mask(GuiStart *s) {
    return s->mask;
}

double gui_start_strength(GuiStart *s) {
    return gtk_range_get_value(s->strength);
}

static void show(GuiStart *s, GdkTexture *texture) {
    char *name = g_path_get_basename(s->path);
    char *facts = g_strdup_printf("%d × %d%s", gdk_texture_get_width(texture),
                                  gdk_texture_get_height(texture), s->mask ? _(" · masked") : "");
    gtk_label_set_text(s->name, name);
    gtk_label_set_text(s->facts, facts);
    gtk_picture_set_paintable(s->picture, GDK_PAINTABLE(texture));
    gtk_picture_set_alternative_text(s->picture, name);
    g_free(name);
    g_free(facts);
}

// The window's sentence for the user.
static void refuse(GuiStart *s, const char *path, const char *reason) {
    char *text = g_strdup_printf(_("“%s” cannot be read as a picture: %s"), path, reason);
    gtk_widget_activate_action(GTK_WIDGET(s), "win.tell", "s", text);
    g_free(text);
}

void gui_start_set(GuiStart *s, const char *path, double strength, const char *mask) {
    GError *error = NULL;
    GdkTexture *texture = path ? gdk_texture_new_from_filename(path, &error) : NULL;
    if (strength >= 0) {
        gtk_range_set_value(s->strength, strength);
    }
    if (path && !texture) {
        refuse(s, path, error->message);
        g_clear_error(&error);
        return;
    }
    char *own_path = g_strdup(path), *own_mask = path ? g_strdup(mask) : NULL;
    g_free(s->path);
    g_free(s->mask);
    s->path = own_path;
    s->mask = own_mask;
    gtk_stack_set_visible_child_name(s->stack, path ? "picture" : "empty");
    if (texture) {
        show(s, texture);
        g_object_unref(texture);
    }
}

static void forget(GuiStart *s) {
    gui_start_set(s, NULL, -1, NULL);
}

static void chosen(gpointer owner, const char *path) {
    gui_start_set(owner, path, -1, NULL);
}

static void choose(GuiStart *s) {
    gui_choose(GTK_WIDGET(s), _("Start from a picture"), GUI_CHOOSE_PICTURE, chosen);
}

static void painted(gpointer user, const char *mask) {
    GuiStart *s = user;
    char *path = g_strdup(s->path), *copy = g_strdup(mask);
    gui_start_set(s, path, -1, copy);
    g_free(path);
    g_free(copy);
}

static void paint(GuiStart *s) {
    GtkWindow *window = GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(s)));
    GtkWidget *editor = gui_mask_new(window, s->path, s->mask, painted, s);
    gtk_window_present(GTK_WINDOW(editor));
}

void gui_start_refuse(GuiStart *s, const char *reason) {
    adw_preferences_group_set_description(s->group, reason);
    gtk_widget_set_sensitive(GTK_WIDGET(s->stack), reason == NULL);
}

static void dispose(GObject *object) {
    GuiStart *s = GUI_START(object);
    g_clear_pointer(&s->path, g_free);
    g_clear_pointer(&s->mask, g_free);
    G_OBJECT_CLASS(gui_start_parent_class)->dispose(object);
}

static void gui_start_class_init(GuiStartClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/start.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, GuiStart, name)
    CHILD(group);
    CHILD(stack);
    CHILD(picture);
    CHILD(name);
    CHILD(facts);
    CHILD(strength);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget, choose);
    gtk_widget_class_bind_template_callback(widget, forget);
    gtk_widget_class_bind_template_callback(widget, paint);
}

static void gui_start_init(GuiStart *s) {
    gtk_widget_init_template(GTK_WIDGET(s));
    gui_ignore_wheel(GTK_WIDGET(s->strength));
    gui_field_bind(GTK_WIDGET(s->strength), "strength", FALSE);
    gui_take_drops(GTK_WIDGET(s), GTK_WIDGET(s), chosen);
}

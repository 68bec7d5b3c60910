// LoRAs of the next picture: a row each.
#include "loras.h"

#include "chooser.h"
#include "fields.h"
#include "wheel.h"

#include "common/job_parts.h"

#include <glib/gi18n.h>

struct _GuiLoras {
    AdwBin parent_instance;
    AdwPreferencesGroup *group;
    GtkListBox *list;
    GtkWidget *add;
    GPtrArray *texts; // of the last gui_loras_read
};

G_DEFINE_TYPE(GuiLoras, gui_loras, ADW_TYPE_BIN)

static const char PATH[] = "gui-path", SCALE[] = "gui-scale";

static void show_list(GuiLoras *l) {
    gtk_widget_set_visible(GTK_WIDGET(l->list), gtk_list_box_get_row_at_index(l->list, 0) != NULL);
}

static void remove_row(GtkButton *button, GuiLoras *l) {
    GtkWidget *row = gtk_widget_get_ancestor(GTK_WIDGET(button), ADW_TYPE_ACTION_ROW);
    gtk_list_box_remove(l->list, row);
    show_list(l);
}

static GtkWidget *new_scale(const char *name, double scale) {
    GtkWidget *spin = gtk_spin_button_new_with_range(-HT_MAX_LORA_SCALE, HT_MAX_LORA_SCALE, 0.05);
    char *label = g_strdup_printf(_("Scale of %s"), name);
    gtk_spin_button_set_digits(GTK_SPIN_BUTTON(spin), 2);
    gtk_spin_button_set_numeric(GTK_SPIN_BUTTON(spin), TRUE);
    gtk_spin_button_set_value(GTK_SPIN_BUTTON(spin), scale);
    gtk_editable_set_width_chars(GTK_EDITABLE(spin), 4);
    gtk_widget_set_valign(spin, GTK_ALIGN_CENTER);
    gtk_widget_set_tooltip_text(spin, gui_field_help("lora"));
    gtk_accessible_update_property(GTK_ACCESSIBLE(spin), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
    gui_ignore_wheel(spin);
    g_free(label);
    return spin;
}

static GtkWidget *new_remover(GuiLoras *l, const char *name) {
    GtkWidget *button = gtk_button_new_from_icon_name("list-remove-symbolic");
    char *label = g_strdup_printf(_("Remove %s"), name);
    gtk_widget_set_tooltip_text(button, label);
    gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
    gtk_widget_add_css_class(button, "flat");
    gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, label,
                                   -1);
    g_signal_connect(button, "clicked", G_CALLBACK(remove_row), l);
    g_free(label);
    return button;
}

static guint count_of(GuiLoras *l) {
    guint count = 0;
    while (gtk_list_box_get_row_at_index(l->list, (int)count)) {
        ++count;
    }
    return count;
}

static void add(GuiLoras *l, const char *path, double scale) {
    if (count_of(l) == HT_FLAG_LIST_ITEMS) {
        char *text = g_strdup_printf(_("At most %d LoRAs for one picture."), HT_FLAG_LIST_ITEMS);
        gtk_widget_activate_action(GTK_WIDGET(l), "win.tell", "s", text);
        g_free(text);
        return;
    }
    GtkWidget *row = adw_action_row_new();
    char *name = g_path_get_basename(path);
    GtkWidget *spin = new_scale(name, scale);
    adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(row), FALSE);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), name);
    adw_action_row_set_title_lines(ADW_ACTION_ROW(row), 1);
    gtk_widget_set_tooltip_text(row, path);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row), spin);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row), new_remover(l, name));
    g_object_set_data_full(G_OBJECT(row), PATH, g_strdup(path), g_free);
    g_object_set_data(G_OBJECT(row), SCALE, spin);
    gtk_list_box_append(l->list, row);
    show_list(l);
    g_free(name);
}

static void chosen(gpointer owner, const char *path) {
    if (g_str_has_suffix(path, ".safetensors") || g_file_test(path, G_FILE_TEST_IS_DIR)) {
        add(owner, path, 1);
        return;
    }
    char *text = g_strdup_printf(
        _("“%s” is no LoRA: a file *.safetensors, or a folder with one, is."), path);
    gtk_widget_activate_action(GTK_WIDGET(owner), "win.tell", "s", text);
    g_free(text);
}

static void choose(GuiLoras *l) {
    gui_choose(GTK_WIDGET(l), _("Add LoRAs"), GUI_CHOOSE_WEIGHTS, chosen);
}

void gui_loras_read(GuiLoras *l, ht_job *job) {
    GtkListBoxRow *row;
    job->loras.count = 0;
    g_ptr_array_set_size(l->texts, 0);
    while (gtk_widget_is_sensitive(GTK_WIDGET(l->list)) && job->loras.count < HT_FLAG_LIST_ITEMS &&
           (row = gtk_list_box_get_row_at_index(l->list, (int)job->loras.count))) {
        char scale[G_ASCII_DTOSTR_BUF_SIZE]; // with a point, whatever the language
        GtkSpinButton *spin = g_object_get_data(G_OBJECT(row), SCALE);
        g_ascii_formatd(scale, sizeof(scale), "%g", gtk_spin_button_get_value(spin));
        char *text =
            g_strdup_printf("%s:%s", (char *)g_object_get_data(G_OBJECT(row), PATH), scale);
        g_ptr_array_add(l->texts, text);
        job->loras.items[job->loras.count++] = text;
    }
}

void gui_loras_write(GuiLoras *l, const ht_job *job) {
    GtkListBoxRow *row;
    while ((row = gtk_list_box_get_row_at_index(l->list, 0))) {
        gtk_list_box_remove(l->list, GTK_WIDGET(row));
    }
    for (uint32_t i = 0; i < job->loras.count; ++i) {
        float scale;
        char *path = g_strdup(job->loras.items[i]);
        path[ht_job_lora_path(path, &scale)] = 0;
        add(l, path, (double)scale);
        g_free(path);
    }
    show_list(l);
}

void gui_loras_refuse(GuiLoras *l, const char *reason) {
    adw_preferences_group_set_description(l->group, reason);
    gtk_widget_set_sensitive(GTK_WIDGET(l->list), reason == NULL);
    gtk_widget_set_sensitive(l->add, reason == NULL);
}

static void finalize(GObject *object) {
    g_ptr_array_unref(GUI_LORAS(object)->texts);
    G_OBJECT_CLASS(gui_loras_parent_class)->finalize(object);
}

static void gui_loras_class_init(GuiLorasClass *class) {
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    gtk_widget_class_set_template_from_resource(widget, "/org/halftone/GenGui/loras.ui");
    gtk_widget_class_bind_template_child(widget, GuiLoras, group);
    gtk_widget_class_bind_template_child(widget, GuiLoras, list);
    gtk_widget_class_bind_template_child(widget, GuiLoras, add);
    gtk_widget_class_bind_template_callback(widget, choose);
}

static void gui_loras_init(GuiLoras *l) {
    gtk_widget_init_template(GTK_WIDGET(l));
    l->texts = g_ptr_array_new_with_free_func(g_free);
    gui_field_bind(GTK_WIDGET(l->group), "lora", FALSE);
    gui_take_drops(GTK_WIDGET(l->group), GTK_WIDGET(l), chosen);
    gui_loras_refuse(l, NULL);
}

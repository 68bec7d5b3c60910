// Sizes that a model likes: its own area in several shapes.
#include "form_internal.h"

#include <glib/gi18n.h>
#include <math.h>

static void add_size(GuiForm *f, GtkStringList *list, const char *name, uint32_t width,
                     uint32_t height) {
    char *text = g_strdup_printf("%s %u × %u", name, width, height);
    gtk_string_list_append(list, text);
    g_free(text);
    f->widths[f->n_sizes] = width;
    f->heights[f->n_sizes++] = height;
}

// `ratio` times as wide as high, with the area of the model's size, on its grid.
static void shape(const ht_pipeline_info *info, double ratio, uint32_t *width, uint32_t *height) {
    const double area = (double)info->width * info->height, grid = MAX(info->grid, 1);
    *width = (uint32_t)(MAX(round(sqrt(area * ratio) / grid), 1) * grid);
    *height = (uint32_t)(MAX(round(sqrt(area / ratio) / grid), 1) * grid);
}

void gui_form_fill_sizes(GuiForm *f, const ht_pipeline_info *info) {
    const struct {
        const char *name;
        double ratio;
    } rows[] = {{_("Landscape"), 1.5},
                {_("Portrait"), 1 / 1.5},
                {_("Wide"), 16.0 / 9},
                {_("Tall"), 9.0 / 16}};
    GtkStringList *list = gtk_string_list_new(NULL);
    const guint old = adw_combo_row_get_selected(f->size_row);
    const gboolean was_filling = f->filling;
    uint32_t width, height;
    f->filling = TRUE;
    f->n_sizes = 0;
    add_size(f, list, info->width == info->height ? _("Square") : _("Standard"), info->width,
             info->height);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); ++i) {
        shape(info, rows[i].ratio, &width, &height);
        add_size(f, list, rows[i].name, width, height);
    }
    gtk_string_list_append(list, _("Another size"));
    adw_combo_row_set_model(f->size_row, G_LIST_MODEL(list));
    adw_combo_row_set_selected(f->size_row, old <= f->n_sizes ? old : 0);
    const double grid = MAX(info->grid, 1);
    GtkSpinButton *spins[] = {f->width_spin, f->height_spin};
    for (size_t i = 0; i < G_N_ELEMENTS(spins); ++i) {
        gtk_spin_button_set_range(spins[i], grid, HT_MAX_EDGE);
        gtk_spin_button_set_increments(spins[i], grid, grid * 8);
    }
    f->filling = was_filling;
    gui_form_size_chosen(f);
    g_object_unref(list);
}

void gui_form_size_chosen(GuiForm *f) {
    const guint chosen = adw_combo_row_get_selected(f->size_row);
    gtk_widget_set_visible(f->custom_row, chosen == f->n_sizes);
    if (chosen < f->n_sizes) {
        gtk_spin_button_set_value(f->width_spin, f->widths[chosen]);
        gtk_spin_button_set_value(f->height_spin, f->heights[chosen]);
    }
}

void gui_form_set_size(GuiForm *f, uint32_t width, uint32_t height) {
    guint place = f->n_sizes;
    for (guint i = 0; i < f->n_sizes; ++i) {
        place = f->widths[i] == width && f->heights[i] == height ? i : place;
    }
    gtk_spin_button_set_value(f->width_spin, width);
    gtk_spin_button_set_value(f->height_spin, height);
    adw_combo_row_set_selected(f->size_row, place);
    gui_form_size_chosen(f);
}

void gui_form_get_size(GuiForm *f, uint32_t *width, uint32_t *height) {
    *width = (uint32_t)gtk_spin_button_get_value_as_int(f->width_spin);
    *height = (uint32_t)gtk_spin_button_get_value_as_int(f->height_spin);
}

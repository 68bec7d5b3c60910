// Controls for the fields of a job.
#include "fields.h"

#include <glib/gi18n.h>

static const ht_flag *find(const char *key) {
    const ht_flag *field = ht_job_field_find(key);
    g_assert(field);
    return field;
}

static double number_of(const ht_job *job, const ht_flag *field) {
    const void *where = (const char *)job + field->offset;
    return field->kind == HT_FLAG_U32 ? *(const uint32_t *)where : *(const double *)where;
}

static GtkAdjustment *adjustment_of(GtkWidget *control) {
    return GTK_IS_SPIN_BUTTON(control) ? gtk_spin_button_get_adjustment(GTK_SPIN_BUTTON(control))
           : GTK_IS_RANGE(control)     ? gtk_range_get_adjustment(GTK_RANGE(control))
                                       : NULL;
}

const char *gui_field_help(const char *key) {
    return _(find(key)->help);
}

void gui_field_bind(GtkWidget *control, const char *key, gboolean unsaid) {
    const ht_flag *field = find(key);
    GtkAdjustment *adjustment = adjustment_of(control);
    gtk_widget_set_tooltip_text(control, _(field->help));
    if (adjustment && field->max > field->min) {
        const double usual = number_of(&ht_job_defaults, field);
        gtk_adjustment_set_lower(adjustment, unsaid ? MIN(usual, field->min) : field->min);
        gtk_adjustment_set_upper(adjustment, field->max);
        gtk_adjustment_set_value(adjustment, usual); // or the nearest there is
    }
}

void gui_field_read(GtkWidget *control, const char *key, ht_job *job) {
    const ht_flag *field = find(key);
    const double value = gtk_adjustment_get_value(adjustment_of(control));
    void *where = (char *)job + field->offset;
    if (field->kind == HT_FLAG_U32) {
        *(uint32_t *)where = (uint32_t)(value + 0.5);
    } else {
        *(double *)where = value;
    }
}

void gui_field_write(GtkWidget *control, const char *key, const ht_job *job) {
    GtkAdjustment *adjustment = adjustment_of(control);
    const double value = number_of(job, find(key));
    if (value >= gtk_adjustment_get_lower(adjustment) &&
        value <= gtk_adjustment_get_upper(adjustment)) {
        gtk_adjustment_set_value(adjustment, value);
    }
}

// Controls for the fields of a job. What a field is called, its range and its help are written once, in
// common/job_fields.def; keys are those of JSON.
#ifndef HT_GUI_FIELDS_H
#define HT_GUI_FIELDS_H

#include "common/job.h"

#include <gtk/gtk.h>

// The field's help as a tooltip, and of spin buttons and scales its range. `unsaid`: the default, below
// the range, can be chosen too.
void gui_field_bind(GtkWidget *control, const char *key, gboolean unsaid);

// The number of a spin button or scale into the field, and back; one that is not in its range (not
// said) leaves the control as it is.
void gui_field_read(GtkWidget *control, const char *key, ht_job *job);
void gui_field_write(GtkWidget *control, const char *key, const ht_job *job);

// The field's help in the user's language.
const char *gui_field_help(const char *key);

#endif

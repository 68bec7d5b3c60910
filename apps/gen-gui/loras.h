// LoRAs of the next picture: files with scales, chosen or dropped.
#ifndef HT_GUI_LORAS_H
#define HT_GUI_LORAS_H

#include "common/job.h"

#include <adwaita.h>

#define GUI_TYPE_LORAS (gui_loras_get_type())
G_DECLARE_FINAL_TYPE(GuiLoras, gui_loras, GUI, LORAS, AdwBin)

// Into job->loras; the texts are the widget's until the next call.
void gui_loras_read(GuiLoras *loras, ht_job *job);
// Those of the job instead of those there are.
void gui_loras_write(GuiLoras *loras, const ht_job *job);
// Grey, with a reason; NULL: they can be used.
void gui_loras_refuse(GuiLoras *loras, const char *reason);

#endif

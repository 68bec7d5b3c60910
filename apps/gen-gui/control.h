// The ControlNet of the next picture: its model, the picture it reads, and how much it counts.
#ifndef HT_GUI_CONTROL_H
#define HT_GUI_CONTROL_H

#include "common/job.h"

#include <adwaita.h>

#define GUI_TYPE_CONTROL (gui_control_get_type())
G_DECLARE_FINAL_TYPE(GuiControl, gui_control, GUI, CONTROL, AdwBin)

// Into the job's fields; paths are the widget's. Without a control picture there is nothing to say.
void gui_control_read(GuiControl *control, ht_job *job);
void gui_control_write(GuiControl *control, const ht_job *job);
// Grey, with a reason; NULL: it can be used. `own`: the model has one, which serves unless another is chosen.
void gui_control_refuse(GuiControl *control, const char *reason, gboolean own);

#endif

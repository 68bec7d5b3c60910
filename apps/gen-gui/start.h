// The picture to start from: dropped or chosen, with how much of it changes and where.
#ifndef HT_GUI_START_H
#define HT_GUI_START_H

#include <adwaita.h>

#define GUI_TYPE_START (gui_start_get_type())
G_DECLARE_FINAL_TYPE(GuiStart, gui_start, GUI, START, AdwBin)

// NULL: no picture; a negative strength: as it is; NULL: no mask.
void gui_start_set(GuiStart *start, const char *path, double strength, const char *mask);
const char *gui_start_path(GuiStart *start);
double gui_start_strength(GuiStart *start);
const char *gui_start_mask(GuiStart *start);
// Grey, with a reason; NULL: the model can start from a picture.
void gui_start_refuse(GuiStart *start, const char *reason);

#endif

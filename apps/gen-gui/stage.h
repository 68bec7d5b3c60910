// The page "Create": the picture that is being made, or was made last.
#ifndef HT_GUI_STAGE_H
#define HT_GUI_STAGE_H

#include "engine.h"

#include <adwaita.h>

#define GUI_TYPE_STAGE (gui_stage_get_type())
G_DECLARE_FINAL_TYPE(GuiStage, gui_stage, GUI, STAGE, AdwBin)

// Shows what this engine does from now on.
void gui_stage_follow(GuiStage *stage, GuiEngine *engine);
// Shows a finished picture of the disk.
void gui_stage_show(GuiStage *stage, const char *path);
const char *gui_stage_path(GuiStage *stage); // of the picture that is shown; NULL: none
// The file is gone.
void gui_stage_forget(GuiStage *stage, const char *path);

#endif

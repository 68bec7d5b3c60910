// The page "Queue": what is being made and what waits, in an order that can be changed.
#ifndef HT_GUI_QUEUE_H
#define HT_GUI_QUEUE_H

#include "engine.h"

#include <adwaita.h>

#define GUI_TYPE_QUEUE (gui_queue_get_type())
G_DECLARE_FINAL_TYPE(GuiQueue, gui_queue, GUI, QUEUE, AdwBin)

void gui_queue_follow(GuiQueue *queue, GuiEngine *engine);

#endif

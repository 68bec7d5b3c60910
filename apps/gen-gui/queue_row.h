// A row of the queue.
#ifndef HT_GUI_QUEUE_ROW_H
#define HT_GUI_QUEUE_ROW_H

#include "engine.h"

#include <adwaita.h>

#define GUI_TYPE_QUEUE_ROW (gui_queue_row_get_type())
G_DECLARE_FINAL_TYPE(GuiQueueRow, gui_queue_row, GUI, QUEUE_ROW, AdwActionRow)

GtkWidget *gui_queue_row_new(GuiEngine *engine, GuiJob *job);

#endif

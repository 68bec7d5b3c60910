// A window that packs a model: runs gen-quantize beside us and shows how far it is.
#ifndef HT_GUI_QUANTIZER_H
#define HT_GUI_QUANTIZER_H

#include <adwaita.h>

#define GUI_TYPE_QUANTIZER (gui_quantizer_get_type())
G_DECLARE_FINAL_TYPE(GuiQuantizer, gui_quantizer, GUI, QUANTIZER, AdwWindow)

// Lists of GuiChoice; `model`: the one that is chosen at first, or NULL. `packed` gets the new
// model's name.
GtkWidget *gui_quantizer_new(GtkWindow *parent, GListModel *models, GListModel *recipes,
                             const char *model, void (*packed)(gpointer user, const char *name),
                             gpointer user);

#endif

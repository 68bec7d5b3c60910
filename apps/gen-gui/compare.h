// The page "Compare": one picture in two number formats, under a divider.
#ifndef HT_GUI_COMPARE_H
#define HT_GUI_COMPARE_H

#include "engine.h"
#include "settings.h"

#include <adwaita.h>

#define GUI_TYPE_COMPARE (gui_compare_get_type())
G_DECLARE_FINAL_TYPE(GuiCompare, gui_compare, GUI, COMPARE, AdwBin)

// Signal "wanted": the user asks for a comparison; answer with gui_compare_run.
void gui_compare_set_recipes(GuiCompare *compare, GListModel *recipes);
void gui_compare_load(GuiCompare *compare, GuiSettings *settings);
void gui_compare_save(GuiCompare *compare, GuiSettings *settings);
// Puts this job into the queue twice, with the two chosen recipes and one seed.
void gui_compare_run(GuiCompare *compare, GuiEngine *engine, const GuiJob *job);

// Peak signal-to-noise ratio of two textures of equal size in dB; INFINITY: the same; NAN: sizes
// differ.
double gui_texture_psnr(GdkTexture *a, GdkTexture *b);

#endif

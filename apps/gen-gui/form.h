// The settings of the next picture, at the side of the window.
#ifndef HT_GUI_FORM_H
#define HT_GUI_FORM_H

#include "job.h"
#include "models.h"
#include "settings.h"

#include <adwaita.h>

#define GUI_TYPE_FORM (gui_form_get_type())
G_DECLARE_FINAL_TYPE(GuiForm, gui_form, GUI, FORM, AdwBin)

// Find models and recipes, and fill in what was last used.
void gui_form_load(GuiForm *form, GuiSettings *settings);
void gui_form_save(GuiForm *form, GuiSettings *settings);
void gui_form_apply_settings(GuiForm *form); // those of the preferences
// Look for models again, e.g. after one was packed; `choose` (or NULL) is then chosen.
void gui_form_find_models(GuiForm *form, const char *choose);

// What is filled in as a job; NULL with a sentence in `why`.
GuiJob *gui_form_job(GuiForm *form, char *why, size_t why_bytes);
// Fill in. Models and recipes that are not there stay as they are: then FALSE, with a sentence.
gboolean gui_form_set_job(GuiForm *form, const ht_job *job, char *why, size_t why_bytes);
// The same from the texts of a PNG.
gboolean gui_form_read_png(GuiForm *form, const char *path, char *why, size_t why_bytes);

// Files of a job that is made, to be found again by the name that pictures tell.
void gui_form_remember_files(GuiForm *form, const ht_job *job);

// Start from this picture; NULL: from noise.
void gui_form_set_start(GuiForm *form, const char *path);
void gui_form_new_seed(GuiForm *form);
// The seed that was used, unless it is kept.
void gui_form_show_seed(GuiForm *form, uint64_t seed);
void gui_form_focus_prompt(GuiForm *form);

// Lists for other pages; borrowed.
GListModel *gui_form_recipes(GuiForm *form);
GListModel *gui_form_models(GuiForm *form);
GuiChoice *gui_form_model(GuiForm *form); // chosen; NULL: none

#endif

// What the files of the form share.
#ifndef HT_GUI_FORM_INTERNAL_H
#define HT_GUI_FORM_INTERNAL_H

#include "control.h"
#include "form.h"
#include "loras.h"
#include "start.h"

enum { GUI_SIZES = 8 };

struct _GuiForm {
    AdwBin parent_instance;
    GtkTextView *prompt, *negative;
    GtkLabel *prompt_hint, *negative_hint;
    AdwComboRow *model_row, *recipe_row, *size_row, *sampler_row, *schedule_row;
    AdwExpanderRow *sampler_expander;
    GtkWidget *custom_row, *clip_group;
    GtkSpinButton *width_spin, *height_spin, *steps_spin, *cfg_spin, *count_spin, *frames_spin,
        *fps_spin;
    AdwEntryRow *seed_row;
    GtkToggleButton *seed_lock;
    GuiStart *start;
    AdwComboRow *attention_row, *hires_upscaler_row;
    AdwExpanderRow *hires_expander;
    GtkWidget *density_row;
    GtkSpinButton *density_spin, *hires_scale_spin, *hires_steps_spin, *hires_strength_spin;
    GuiLoras *loras;
    GuiControl *control;
    GListStore *models, *recipes, *samplers, *schedules, *attentions, *upscalers;
    GuiSettings *settings;
    char *lora_folder;
    char attention[48]; // of the last job
    uint32_t widths[GUI_SIZES], heights[GUI_SIZES], n_sizes; // of the list; behind it: custom
    gboolean filling;                                        // by the program, not the user
    gboolean want_defaults; // of the chosen model, once they are known
    char *want_model;       // choose it when the list has it
    GCancellable *probing;
};

// form_size.c: presets around the size that a model likes; the place in the list stays.
void gui_form_fill_sizes(GuiForm *form, const ht_pipeline_info *info);
void gui_form_set_size(GuiForm *form, uint32_t width, uint32_t height);
void gui_form_get_size(GuiForm *form, uint32_t *width, uint32_t *height);
// Shows the numbers when the size is the user's own.
void gui_form_size_chosen(GuiForm *form);

// form_more.c: what not every model can do.
void gui_form_init_more(GuiForm *form);
void gui_form_read_more(GuiForm *form, ht_job *job); // texts are the form's
void gui_form_write_more(GuiForm *form, const ht_job *job);
void gui_form_show_abilities(GuiForm *form, const ht_pipeline_info *info);
void gui_form_attention_chosen(GuiForm *form);

// Text of a view; g_free.
char *gui_form_text(GtkTextView *view);

#endif

// What can be chosen: models, recipes, samplers and schedules that were found.
#ifndef HT_GUI_MODELS_H
#define HT_GUI_MODELS_H

#include <gio/gio.h>
#include <pipeline.h>

#define GUI_TYPE_CHOICE (gui_choice_get_type())
G_DECLARE_FINAL_TYPE(GuiChoice, gui_choice, GUI, CHOICE, GObject)

// One entry of a drop-down. Property "label": what the list shows.
struct _GuiChoice {
    GObject parent_instance;
    char *label;  // name for people
    char *value;  // for a job; NULL: the model's own
    char *detail; // a line below; may be NULL
    char *path;   // of a model's folder or file; else NULL
    // Of models, once looked into.
    gboolean probed;
    ht_pipeline_info info;
    char *error; // why it cannot be used; NULL when it can
};

GuiChoice *gui_choice_new(const char *label, const char *value, const char *detail);

// Lists of GuiChoice, for the caller to unref.
GListStore *gui_models_list(void);
GListStore *gui_recipes_list(void);
GListStore *gui_samplers_list(void);  // first: the model's own
GListStore *gui_schedules_list(void); // first: the model's own

// Position of the choice with that value, or whose label or file name it is; -1: none.
int gui_choices_find(GListModel *choices, const char *value);

// Look into every model of the list on another thread; `done` is called on the main loop for each.
void gui_models_probe(GListModel *models, void (*done)(gpointer user, GuiChoice *model),
                      gpointer user, GCancellable *cancellable);

// Names that other programs write, as ours ("DPM++ 2M Karras" -> "dpmpp_2m", "karras"); NULL: unknown
// or not said. g_free.
void gui_sampler_names(const char *sampler, const char *schedule, char **our_sampler,
                       char **our_schedule);

#endif

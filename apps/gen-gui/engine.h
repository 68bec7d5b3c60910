// The queue, and the thread that works through it with a context of its own. All calls are the main
// thread's; nothing here waits.
#ifndef HT_GUI_ENGINE_H
#define HT_GUI_ENGINE_H

#include "job.h"

// How the worker opens its device.
typedef struct GuiEngineOptions {
    char *device;        // number or part of a name; NULL: the best
    uint64_t max_memory; // bytes; 0: all
    gboolean previews;   // after each step
    char *folder;        // of results
} GuiEngineOptions;

#define GUI_TYPE_ENGINE (gui_engine_get_type())
G_DECLARE_FINAL_TYPE(GuiEngine, gui_engine, GUI, ENGINE, GObject)

// Signals: "started" (GuiJob), "ended" (GuiJob): done, failed or cancelled; "idle": nothing is left
// to do.
GuiEngine *gui_engine_new(void);

// From the next job on. Texts are copied.
void gui_engine_set_options(GuiEngine *engine, const GuiEngineOptions *options);

// The running job first, then those that wait: a list of GuiJob.
GListModel *gui_engine_queue(GuiEngine *engine);
GuiJob *gui_engine_running(GuiEngine *engine); // borrowed; NULL: none
guint gui_engine_waiting(GuiEngine *engine);   // jobs that have not begun

void gui_engine_add(GuiEngine *engine, GuiJob *job);
// A waiting job goes; the running one is cancelled.
void gui_engine_remove(GuiEngine *engine, GuiJob *job);
void gui_engine_clear(GuiEngine *engine); // those that wait
// To a place among those that wait, 0: next.
void gui_engine_move(GuiEngine *engine, GuiJob *job, guint place);
// The running job ends at its next step.
void gui_engine_cancel(GuiEngine *engine);

// Ask the thread to end; "idle" is sent when it has. No jobs begin any more.
void gui_engine_stop(GuiEngine *engine);

#endif

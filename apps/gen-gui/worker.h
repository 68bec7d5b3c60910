// The thread that makes pictures. It posts what happens to the main loop; only engine.c uses it.
#ifndef HT_GUI_WORKER_H
#define HT_GUI_WORKER_H

#include "engine.h"

typedef struct GuiWorker GuiWorker;

// Called on the main loop. `texture` may be NULL.
typedef struct GuiWorkerEvents {
    void (*progress)(void *user, GuiJob *job, const GuiProgress *progress, GdkTexture *texture);
    // Takes `result`.
    void (*result)(void *user, GuiJob *job, GuiResult *result, const ht_report *report,
                   const char *device);
    void (*ended)(void *user, GuiJob *job, GuiJobState state, const char *error);
    void (*stopped)(void *user); // nothing follows; the thread is gone
    void *user;
} GuiWorkerEvents;

GuiWorker *gui_worker_new(const GuiWorkerEvents *events);
// One at a time; the next when `ended` was called. Options are copied.
void gui_worker_run(GuiWorker *worker, GuiJob *job, const GuiEngineOptions *options);
void gui_worker_cancel(GuiWorker *worker); // any thread
// Cancels, ends the thread, sends `stopped`.
void gui_worker_stop(GuiWorker *worker);
// After `stopped`.
void gui_worker_free(GuiWorker *worker);

void gui_engine_options_copy(const GuiEngineOptions *from, GuiEngineOptions *to);
void gui_engine_options_clear(GuiEngineOptions *options);

#endif

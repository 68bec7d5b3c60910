// A job of the queue: what is asked for, and what is known of it so far. Lives on the main thread;
// the worker reads `spec` only, which does not change once the job is in the queue.
#ifndef HT_GUI_JOB_H
#define HT_GUI_JOB_H

#include "common/job_output.h"

#include <gtk/gtk.h>

typedef enum GuiJobState {
    GUI_JOB_WAITING,
    GUI_JOB_RUNNING,
    GUI_JOB_DONE,
    GUI_JOB_FAILED,
    GUI_JOB_CANCELLED,
} GuiJobState;

// One picture or clip of a job.
typedef struct GuiResult {
    char *path;
    uint64_t seed;
    GdkTexture *texture; // of a clip the first; NULL when another result followed
    GPtrArray *frames;   // GdkTexture of a clip; else NULL
    double fps;
} GuiResult;

// How far the current picture is; plain data that the worker hands over.
typedef struct GuiProgress {
    ht_phase phase;
    uint32_t step, steps;
    double seconds;        // of this phase
    uint32_t index, count; // of the job's pictures
    uint64_t device_bytes; // allocated now
} GuiProgress;

#define GUI_TYPE_JOB (gui_job_get_type())
G_DECLARE_FINAL_TYPE(GuiJob, gui_job, GUI, JOB, GObject)

// Signal "changed": any of what follows. Signal "result": another picture is there.
struct _GuiJob {
    GObject parent_instance;
    ht_job spec;
    GuiJobState state;
    GuiProgress progress;
    GdkTexture *preview; // of the last step, or the last result; NULL: none yet
    GPtrArray *results;  // GuiResult
    ht_report report;    // of the last result
    char *device;        // name
    char *error;         // a sentence, when failed
    gboolean unlisted;   // results are not kept as files in the gallery's folder but in the cache
};

// Copies the job; NULL when memory runs out.
GuiJob *gui_job_new(const ht_job *spec);
void gui_job_changed(GuiJob *job);
void gui_job_add_result(GuiJob *job, GuiResult *result);
void gui_result_free(gpointer result);

// 0..1, over all its pictures.
double gui_job_fraction(const GuiJob *job);
// "Step 3 of 4" and "7.9 it/s · 2 s left · 4 MiB of device memory"; g_free.
char *gui_job_phase_text(const GuiJob *job);
char *gui_job_figures(const GuiJob *job);
// "128 × 128 · seed 42 · w4a8 · 0.8 s"; g_free.
char *gui_job_caption(const GuiJob *job);
// "scenes-dit · w4a8 · 4 steps · 2 pictures"; g_free.
char *gui_job_summary(const GuiJob *job);

// "fp16" or the recipe's name, without folder and ending. g_free.
char *gui_recipe_name(const char *recipe);

#endif

// The queue: hands the worker one job after the other.
#include "engine.h"

#include "worker.h"

struct _GuiEngine {
    GObject parent_instance;
    GListStore *queue; // of GuiJob
    GuiJob *running;   // its first, or NULL
    GuiWorker *worker;
    GuiEngineOptions options;
    gboolean stopping;
};

G_DEFINE_TYPE(GuiEngine, gui_engine, G_TYPE_OBJECT)

enum { SIGNAL_STARTED, SIGNAL_ENDED, SIGNAL_IDLE, SIGNALS };
static guint signals[SIGNALS];

static void start_next(GuiEngine *e) {
    if (e->running || e->stopping) {
        return;
    }
    GuiJob *job = g_list_model_get_item(G_LIST_MODEL(e->queue), 0);
    if (!job) {
        g_signal_emit(e, signals[SIGNAL_IDLE], 0);
        return;
    }
    e->running = job; // keeps the reference
    job->state = GUI_JOB_RUNNING;
    gui_worker_run(e->worker, job, &e->options);
    gui_job_changed(job);
    g_signal_emit(e, signals[SIGNAL_STARTED], 0, job);
}

// ---- what the worker tells

static void on_progress(void *user, GuiJob *job, const GuiProgress *progress, GdkTexture *texture) {
    GuiEngine *e = user;
    if (job != e->running) {
        return; // posted before its end
    }
    job->progress = *progress;
    if (texture) {
        g_set_object(&job->preview, texture);
    }
    gui_job_changed(job);
}

static void on_result(void *user, GuiJob *job, GuiResult *result, const ht_report *report,
                      const char *device) {
    (void)user;
    job->report = *report;
    g_free(job->device);
    job->device = g_strdup(device);
    gui_job_add_result(job, result);
    gui_job_changed(job);
}

static void on_ended(void *user, GuiJob *job, GuiJobState state, const char *error) {
    GuiEngine *e = user;
    guint place;
    job->state = state;
    job->error = g_strdup(error);
    if (g_list_store_find(e->queue, job, &place)) {
        g_list_store_remove(e->queue, place);
    }
    g_clear_object(&e->running);
    gui_job_changed(job);
    g_signal_emit(e, signals[SIGNAL_ENDED], 0, job);
    start_next(e);
}

static void on_stopped(void *user) {
    GuiEngine *e = user;
    gui_worker_free(e->worker);
    e->worker = NULL;
    g_signal_emit(e, signals[SIGNAL_IDLE], 0);
    g_object_unref(e); // taken by gui_engine_stop
}

// ---- calls

GListModel *gui_engine_queue(GuiEngine *e) {
    return G_LIST_MODEL(e->queue);
}

GuiJob *gui_engine_running(GuiEngine *e) {
    return e->running;
}

guint gui_engine_waiting(GuiEngine *e) {
    return g_list_model_get_n_items(G_LIST_MODEL(e->queue)) - (e->running ? 1 : 0);
}

void gui_engine_set_options(GuiEngine *e, const GuiEngineOptions *options) {
    GuiEngineOptions copy;
    gui_engine_options_copy(options, &copy);
    gui_engine_options_clear(&e->options);
    e->options = copy;
}

void gui_engine_add(GuiEngine *e, GuiJob *job) {
    if (!e->stopping) {
        g_list_store_append(e->queue, job);
        start_next(e);
    }
}

void gui_engine_remove(GuiEngine *e, GuiJob *job) {
    guint place;
    if (job == e->running) {
        gui_engine_cancel(e);
    } else if (g_list_store_find(e->queue, job, &place)) {
        job->state = GUI_JOB_CANCELLED;
        g_list_store_remove(e->queue, place);
        gui_job_changed(job);
    }
}

void gui_engine_clear(GuiEngine *e) {
    const guint first = e->running ? 1 : 0;
    while (g_list_model_get_n_items(G_LIST_MODEL(e->queue)) > first) {
        GuiJob *job = g_list_model_get_item(G_LIST_MODEL(e->queue), first);
        gui_engine_remove(e, job);
        g_object_unref(job);
    }
}

void gui_engine_move(GuiEngine *e, GuiJob *job, guint place) {
    const guint first = e->running ? 1 : 0, waiting = gui_engine_waiting(e);
    guint from;
    if (job == e->running || waiting == 0 || !g_list_store_find(e->queue, job, &from)) {
        return;
    }
    const guint to = first + MIN(place, waiting - 1);
    if (to != from) {
        g_object_ref(job);
        g_list_store_remove(e->queue, from);
        g_list_store_insert(e->queue, to, job);
        g_object_unref(job);
    }
}

void gui_engine_cancel(GuiEngine *e) {
    if (e->running && e->worker) {
        gui_worker_cancel(e->worker);
    }
}

void gui_engine_stop(GuiEngine *e) {
    if (!e->stopping) {
        e->stopping = TRUE;
        gui_engine_clear(e);
        g_object_ref(e);
        gui_worker_stop(e->worker);
    }
}

// ---- object

static void finalize(GObject *object) {
    GuiEngine *e = GUI_ENGINE(object);
    g_clear_object(&e->running);
    g_clear_object(&e->queue);
    gui_engine_options_clear(&e->options);
    G_OBJECT_CLASS(gui_engine_parent_class)->finalize(object);
}

static void gui_engine_class_init(GuiEngineClass *class) {
    G_OBJECT_CLASS(class)->finalize = finalize;
    signals[SIGNAL_STARTED] = g_signal_new("started", GUI_TYPE_ENGINE, G_SIGNAL_RUN_LAST, 0, NULL,
                                           NULL, NULL, G_TYPE_NONE, 1, GUI_TYPE_JOB);
    signals[SIGNAL_ENDED] = g_signal_new("ended", GUI_TYPE_ENGINE, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                         NULL, G_TYPE_NONE, 1, GUI_TYPE_JOB);
    signals[SIGNAL_IDLE] = g_signal_new("idle", GUI_TYPE_ENGINE, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                        NULL, G_TYPE_NONE, 0);
}

static void gui_engine_init(GuiEngine *e) {
    const GuiWorkerEvents events = {on_progress, on_result, on_ended, on_stopped, e};
    e->queue = g_list_store_new(GUI_TYPE_JOB);
    e->worker = gui_worker_new(&events);
}

GuiEngine *gui_engine_new(void) {
    return g_object_new(GUI_TYPE_ENGINE, NULL);
}

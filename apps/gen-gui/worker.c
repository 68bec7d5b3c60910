// The thread that makes pictures: one session of the engine, opened when first needed.
#include "worker.h"

#include "thumbnails.h"

#include "common/job_run.h"
#include "common/video.h"

#include <glib/gi18n.h>
#include <inttypes.h>

typedef struct Task {
    GuiJob *job; // NULL: end
    GuiEngineOptions options;
} Task;

struct GuiWorker {
    GuiWorkerEvents events;
    GThread *thread;
    GAsyncQueue *tasks;
    int cancel; // atomic

    // Progress that the main loop has not seen yet: the newest replaces older ones.
    GMutex lock;
    gboolean posted;
    GuiProgress latest;
    GdkTexture *texture;
    GuiJob *latest_job;

    // The thread's own.
    ht_app_log log;
    ht_job_session *session;
    GuiEngineOptions options; // of the session
    GuiJob *job;
    uint32_t index;
};

void gui_engine_options_copy(const GuiEngineOptions *from, GuiEngineOptions *to) {
    *to = *from;
    to->device = g_strdup(from->device);
    to->folder = g_strdup(from->folder);
}

void gui_engine_options_clear(GuiEngineOptions *options) {
    g_free(options->device);
    g_free(options->folder);
    *options = (GuiEngineOptions){0};
}

// ---- to the main loop

typedef struct Event {
    GuiWorker *worker;
    GuiJob *job;
    GuiResult *result;
    ht_report report;
    char *device, *error;
    GuiJobState state;
    gboolean stopped;
} Event;

static gboolean deliver(gpointer data) {
    Event *e = data;
    const GuiWorkerEvents *to = &e->worker->events;
    if (e->stopped) {
        to->stopped(to->user);
    } else if (e->result) {
        to->result(to->user, e->job, e->result, &e->report, e->device);
    } else {
        to->ended(to->user, e->job, e->state, e->error);
    }
    g_clear_object(&e->job);
    g_free(e->device);
    g_free(e->error);
    g_free(e);
    return G_SOURCE_REMOVE;
}

// All events have one priority, so that they arrive in order.
static void post(GuiWorker *w, const Event *event) {
    Event *copy = g_memdup2(event, sizeof(*event));
    copy->worker = w;
    g_idle_add_full(G_PRIORITY_DEFAULT, deliver, copy, NULL);
}

static gboolean deliver_progress(gpointer data) {
    GuiWorker *w = data;
    g_mutex_lock(&w->lock);
    const GuiProgress progress = w->latest;
    GdkTexture *texture = g_steal_pointer(&w->texture);
    GuiJob *job = g_steal_pointer(&w->latest_job);
    w->posted = FALSE;
    g_mutex_unlock(&w->lock);
    w->events.progress(w->events.user, job, &progress, texture);
    g_clear_object(&texture);
    g_object_unref(job);
    return G_SOURCE_REMOVE;
}

static GdkTexture *to_texture(const ht_image *image) {
    const gsize stride = (gsize)image->width * 3;
    GBytes *bytes = g_bytes_new(image->rgb, stride * image->height);
    GdkTexture *texture = gdk_memory_texture_new((int)image->width, (int)image->height,
                                                 GDK_MEMORY_R8G8B8, bytes, stride);
    g_bytes_unref(bytes);
    return texture;
}

// Called by the engine after each step.
static bool on_progress(void *user, const ht_progress *now) {
    GuiWorker *w = user;
    ht_context *context = ht_job_session_context(w->session);
    ht_memory_use memory = {0};
    if (context) {
        ht_context_memory(context, &memory);
    }
    GdkTexture *texture = now->preview ? to_texture(now->preview) : NULL;
    g_mutex_lock(&w->lock);
    w->latest = (GuiProgress){.phase = now->phase,
                              .step = now->step,
                              .steps = now->steps,
                              .seconds = now->seconds,
                              .index = w->index,
                              .count = w->job->spec.batch_count,
                              .device_bytes = memory.allocated};
    if (texture) {
        g_set_object(&w->texture, texture);
    }
    g_set_object(&w->latest_job, w->job);
    if (!w->posted) {
        w->posted = TRUE;
        g_idle_add_full(G_PRIORITY_DEFAULT, deliver_progress, w, NULL);
    }
    g_mutex_unlock(&w->lock);
    g_clear_object(&texture);
    return !g_atomic_int_get(&w->cancel);
}

// ---- the work

static bool same_device(const GuiEngineOptions *a, const GuiEngineOptions *b) {
    return g_strcmp0(a->device, b->device) == 0 && a->max_memory == b->max_memory &&
           a->previews == b->previews;
}

// A session for these options; the one there is, when it has them.
static bool need_session(GuiWorker *w, const GuiEngineOptions *options) {
    if (w->session && same_device(&w->options, options)) {
        g_free(w->options.folder);
        w->options.folder = g_strdup(options->folder);
        return true;
    }
    ht_job_session_destroy(&w->session);
    gui_engine_options_clear(&w->options);
    gui_engine_options_copy(options, &w->options); // the session borrows the device's name
    const ht_job_session_desc desc = {
        .log = &w->log,
        .device = w->options.device,
        .max_memory = w->options.max_memory,
        .keep_loaded = true,
        .clips = true,
        .progress = on_progress,
        .user = w,
        .preview_every = w->options.previews ? 1 : 0,
    };
    w->session = ht_job_session_create(&desc);
    return w->session != NULL;
}

// FOLDER/20261129-153012-42.png
static bool choose_path(GuiWorker *w, uint64_t seed, const char *ending, char path[PATH_MAX]) {
    char *cache = g_build_filename(g_get_user_cache_dir(), "halftone", "compare", NULL);
    const char *folder = w->job->unlisted ? cache : w->options.folder;
    GDateTime *now = g_date_time_new_now_local();
    char *date = g_date_time_format(now, "%Y%m%d-%H%M%S");
    bool good = g_mkdir_with_parents(folder, 0755) == 0;
    if (!good) {
        ht_app_say(&w->log, HT_LOG_ERROR,
                   _("cannot make the folder '%s' for results; choose another in the preferences"),
                   folder);
    }
    for (int i = 1; good; ++i) {
        char tail[16] = "";
        if (i > 1) {
            g_snprintf(tail, sizeof(tail), "-%d", i);
        }
        const int length =
            g_snprintf(path, PATH_MAX, "%s/%s-%" PRIu64 "%s%s", folder, date, seed, tail, ending);
        good = length < PATH_MAX;
        if (good && !g_file_test(path, G_FILE_TEST_EXISTS)) {
            break;
        }
    }
    g_date_time_unref(now);
    g_free(date);
    g_free(cache);
    return good;
}

// The first container that can be written here; NULL after a message.
static const char *clip_ending(GuiWorker *w) {
    static const char *const endings[] = {".mp4", ".webm", ".gif", ".webp"};
    char why[1024] = "";
    for (size_t i = 0; i < G_N_ELEMENTS(endings); ++i) {
        char name[16];
        g_snprintf(name, sizeof(name), "clip%s", endings[i]);
        if (ht_video_check(name, NULL, why, sizeof(why))) {
            return endings[i];
        }
    }
    ht_app_say(&w->log, HT_LOG_ERROR, "%s", why);
    return NULL;
}

static void keep_thumbnail(const char *path, const ht_image *image) {
    GBytes *bytes = g_bytes_new(image->rgb, (gsize)image->width * 3 * image->height);
    GdkPixbuf *pixbuf =
        gdk_pixbuf_new_from_bytes(bytes, GDK_COLORSPACE_RGB, FALSE, 8, (int)image->width,
                                  (int)image->height, (int)image->width * 3);
    gui_thumbnail_store(path, pixbuf);
    g_object_unref(pixbuf);
    g_bytes_unref(bytes);
}

static void post_result(GuiWorker *w, const ht_job *one, const ht_job_picture *picture,
                        const ht_image *images, uint32_t frames) {
    GuiResult *result = g_new0(GuiResult, 1);
    result->path = g_strdup(picture->path);
    result->seed = picture->seed;
    result->texture = to_texture(images);
    if (frames > 1) {
        result->fps = one->fps;
        result->frames = g_ptr_array_new_with_free_func(g_object_unref);
        for (uint32_t i = 0; i < frames; ++i) {
            g_ptr_array_add(result->frames, to_texture(&images[i]));
        }
    }
    const ht_device_info *device = ht_context_device(ht_job_session_context(w->session));
    post(w, &(Event){.job = g_object_ref(w->job),
                     .result = result,
                     .report = picture->report,
                     .device = g_strdup(device ? device->name : "")});
}

static ht_status keep(GuiWorker *w, const ht_job *one, const ht_image *images, uint32_t frames,
                      const ht_report *report) {
    ht_job_picture picture = {
        .prompt = one->prompt, .seed = (uint64_t)one->seed, .position = 1, .report = *report};
    const bool clip = frames > 1;
    const char *ending = clip ? clip_ending(w) : ".png";
    if (!ending || !choose_path(w, picture.seed, ending, picture.path) ||
        !(clip ? ht_job_write_clip(one, &picture, images, true, false, &w->log)
               : ht_job_write(one, &picture, images, true, false, &w->log))) {
        return HT_ERR_IO;
    }
    if (clip) {
        keep_thumbnail(picture.path, images);
    }
    post_result(w, one, &picture, images, frames);
    return HT_OK;
}

static ht_status make_one(GuiWorker *w, ht_job *one) {
    ht_status status = ht_job_is_clip(one, NULL) ? ht_job_session_clip(w->session, one) : HT_OK;
    if (status != HT_OK) {
        return status;
    }
    const uint32_t frames = MAX(one->frames, 1);
    ht_image *images = g_new0(ht_image, frames);
    ht_report *report = g_new0(ht_report, 1);
    status = ht_job_session_run(w->session, one, images, report);
    if (status == HT_OK && g_atomic_int_get(&w->cancel)) {
        status = HT_ERR_CANCELLED;
    }
    if (status == HT_OK) {
        status = keep(w, one, images, frames, report);
    }
    for (uint32_t i = 0; i < frames; ++i) {
        ht_image_clear(ht_job_session_context(w->session), &images[i]);
    }
    g_free(images);
    g_free(report);
    return status;
}

static ht_status make_all(GuiWorker *w) {
    ht_job one = w->job->spec; // borrows the texts
    const uint64_t seed = ht_job_first_seed(one.seed);
    one.batch_size = 1;
    ht_status status = HT_OK;
    for (w->index = 0; w->index < w->job->spec.batch_count && status == HT_OK; ++w->index) {
        one.seed = (int64_t)(seed + w->index);
        status = make_one(w, &one);
    }
    return status;
}

static void run(GuiWorker *w, const Task *task) {
    ht_status status = HT_ERR_NO_MEMORY;
    w->job = task->job;
    w->index = 0;
    w->log.error[0] = 0;
    if (need_session(w, &task->options)) {
        const ht_progress begin = {.phase = HT_PHASE_LOAD};
        status = on_progress(w, &begin) ? HT_OK : HT_ERR_CANCELLED;
    }
    if (status == HT_OK) {
        status = ht_job_session_check(w->session, &w->job->spec, NULL, 0)
                     ? ht_job_session_open(w->session, &w->job->spec, NULL, 0)
                     : HT_ERR_INVALID;
    }
    if (status == HT_OK) {
        status = make_all(w);
    }
    if (status == HT_ERR_DEVICE) { // lost: begin anew with the next job
        ht_job_session_destroy(&w->session);
    }
    const GuiJobState state = status == HT_OK              ? GUI_JOB_DONE
                              : status == HT_ERR_CANCELLED ? GUI_JOB_CANCELLED
                                                           : GUI_JOB_FAILED;
    const char *sentence = *w->log.error ? w->log.error : ht_status_name(status);
    post(w, &(Event){.job = g_object_ref(w->job),
                     .state = state,
                     .error = state == GUI_JOB_FAILED ? g_strdup(sentence) : NULL});
    w->job = NULL;
}

static void free_task(Task *task) {
    g_clear_object(&task->job);
    gui_engine_options_clear(&task->options);
    g_free(task);
}

static gpointer work(gpointer data) {
    GuiWorker *w = data;
    for (bool on = true; on;) {
        Task *task = g_async_queue_pop(w->tasks);
        on = task->job != NULL;
        if (on) {
            run(w, task);
        }
        free_task(task);
    }
    ht_job_session_destroy(&w->session);
    gui_engine_options_clear(&w->options);
    post(w, &(Event){.stopped = TRUE});
    return NULL;
}

// ---- the main thread's side

GuiWorker *gui_worker_new(const GuiWorkerEvents *events) {
    GuiWorker *w = g_new0(GuiWorker, 1);
    w->events = *events;
    w->tasks = g_async_queue_new();
    w->log = (ht_app_log){.program = "gen-gui", .level = HT_LOG_ERROR};
    g_mutex_init(&w->lock);
    w->thread = g_thread_new("generate", work, w);
    return w;
}

void gui_worker_run(GuiWorker *w, GuiJob *job, const GuiEngineOptions *options) {
    Task *task = g_new0(Task, 1);
    task->job = g_object_ref(job);
    gui_engine_options_copy(options, &task->options);
    g_atomic_int_set(&w->cancel, 0);
    g_async_queue_push(w->tasks, task);
}

void gui_worker_cancel(GuiWorker *w) {
    g_atomic_int_set(&w->cancel, 1);
}

void gui_worker_stop(GuiWorker *w) {
    gui_worker_cancel(w);
    g_async_queue_push(w->tasks, g_new0(Task, 1));
}

void gui_worker_free(GuiWorker *w) {
    g_thread_join(w->thread);
    g_async_queue_unref(w->tasks);
    g_mutex_clear(&w->lock);
    g_clear_object(&w->texture);
    g_clear_object(&w->latest_job);
    g_free(w);
}

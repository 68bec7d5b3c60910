// One run of gen-batch: the tasks of this part that are not done, one after the other.
#include "batch.h"

#include "common/job_run.h"
#include "common/progress.h"
#include "common/video.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    const batch_options *options;
    ht_app_log *log;
    const volatile int *stop;
    batch_plan plan;
    batch_results results;
    batch_task **tasks; // of this part, in the order in which they are done
    size_t n_tasks, at; // the one at work
    ht_job_session *session;
    batch_keeper *keeper;
    ht_app_progress progress;
    const char **prompts;    // of the group at work
    size_t n_prompts, group; // group + 1; 0: none
    char group_error[2048];  // why its model cannot be opened; "": it can
    double open_seconds;     // of the model, to be recorded with its first task
    size_t before;           // done by earlier runs
    double engine_seconds, began;
} run;

static bool on_progress(void *user, const ht_progress *now) {
    run *r = user;
    ht_app_progress_show(&r->progress, now);
    return *r->stop == 0;
}

static ht_job_session *create_session(run *r) {
    const batch_options *o = r->options;
    const ht_job_session_desc desc = {
        .log = r->log,
        .device = o->device,
        .max_memory = o->max_memory,
        .weights_budget = o->weights_budget,
        .no_cache = o->no_cache,
        .keep_loaded = true,
        .clips = true,
        .progress = on_progress,
        .user = r,
    };
    return ht_job_session_create(&desc);
}

// The prompts of a group's tasks, of which folders of embeddings are chosen.
static void enter_group(run *r, const batch_task *task) {
    if (r->group == task->group + 1) {
        return;
    }
    r->group = task->group + 1;
    r->n_prompts = 0;
    r->group_error[0] = 0;
    for (size_t i = r->at; i < r->n_tasks && r->tasks[i]->group == task->group; ++i) {
        r->prompts[r->n_prompts++] = r->tasks[i]->job.prompt;
    }
}

static ht_status open_model(run *r, const batch_task *task) {
    enter_group(r, task);
    if (*r->group_error) {
        snprintf(r->log->error, sizeof(r->log->error), "%s", r->group_error);
        return HT_ERR_INVALID;
    }
    const ht_pipeline_info *before = ht_job_session_info(r->session);
    const double began = ht_app_seconds();
    const ht_status status = ht_job_session_open(r->session, &task->job, r->prompts, r->n_prompts);
    if (status == HT_OK && ht_job_session_info(r->session) != before) {
        r->open_seconds = ht_app_seconds() - began;
    }
    if (status != HT_OK && status != HT_ERR_CANCELLED && status != HT_ERR_DEVICE) {
        snprintf(r->group_error, sizeof(r->group_error), "%s", r->log->error);
    }
    return status;
}

// What the engine made of a task.
typedef struct product {
    ht_job job;       // the task's; of a clip with frames and rate
    ht_image *images; // of the session's context
    size_t n_images;
    ht_report report;
} product;

static void free_product(run *r, product *p) {
    for (size_t i = 0; i < p->n_images; ++i) {
        if (p->images[i].rgb) {
            ht_image_clear(ht_job_session_context(r->session), &p->images[i]);
        }
    }
    free(p->images);
    p->images = NULL;
    p->n_images = 0;
}

static ht_status make(run *r, const batch_task *task, product *out) {
    r->log->error[0] = 0;
    out->job = task->job;
    ht_status status = open_model(r, task);
    if (status == HT_OK && ht_video_is(task->paths[0])) {
        status = ht_job_session_clip(r->session, &out->job);
    }
    if (status != HT_OK) {
        return status;
    }
    const size_t count = batch_images(task, &out->job);
    out->images = calloc(count, sizeof(*out->images));
    out->n_images = out->images ? count : 0;
    return out->images ? ht_job_session_run(r->session, &out->job, out->images, &out->report)
                       : HT_ERR_NO_MEMORY;
}

// A device that was lost, or has too little memory left, gets a second chance with nothing on it.
static ht_status make_twice(run *r, const batch_task *task, product *out) {
    const bool fresh = ht_job_session_info(r->session) == NULL;
    ht_status status = make(r, task, out);
    if (status == HT_ERR_DEVICE || (status == HT_ERR_NO_MEMORY && !fresh)) {
        ht_app_say(r->log, HT_LOG_WARN, "job %zu is tried again with the device opened anew",
                   task->number);
        free_product(r, out);
        ht_job_session_destroy(&r->session);
        r->session = create_session(r);
        r->group = 0;
        status = r->session ? make(r, task, out) : HT_ERR_NO_MEMORY;
    }
    return status;
}

static void describe_work(run *r, double seconds, batch_work *work) {
    const ht_device_info *device = ht_context_device(ht_job_session_context(r->session));
    *work = (batch_work){.open_seconds = r->open_seconds, .seconds = seconds};
    snprintf(work->device, sizeof(work->device), "%s", device->name);
    snprintf(work->driver, sizeof(work->driver), "%s", device->driver);
    r->open_seconds = 0;
}

// False when the run cannot go on: results cannot be written.
static bool record(run *r, batch_task *task, ht_status status, const product *p, double seconds) {
    char why[BATCH_WHY];
    bool good;
    if (status == HT_OK) {
        batch_work work;
        describe_work(r, seconds, &work);
        r->engine_seconds += p->report.total_seconds;
        good = batch_keeper_give(r->keeper, task, &p->job, p->images, &p->report, &work, why,
                                 sizeof(why));
    } else {
        const char *error = *r->log->error ? r->log->error : "out of memory";
        good = batch_keeper_wait(r->keeper, why, sizeof(why)) &&
               batch_keep_failure(r->options, &r->results, task, error, why, sizeof(why));
        ht_app_say(r->log, HT_LOG_WARN, "job %zu (line %zu) failed and is passed over",
                   task->number, task->line);
    }
    if (!good) {
        ht_app_say(r->log, HT_LOG_ERROR, "%s", why);
    }
    return good;
}

// HT_ERR_IO: the results cannot be written.
static ht_status do_task(run *r, batch_task *task) {
    product *p = calloc(1, sizeof(*p));
    if (!p) {
        ht_app_say(r->log, HT_LOG_ERROR, "out of memory");
        return HT_ERR_IO;
    }
    snprintf(r->progress.prefix, sizeof(r->progress.prefix), "%u/%u ", (unsigned)r->at + 1,
             (unsigned)r->n_tasks);
    const double began = ht_app_seconds();
    const ht_status status = make_twice(r, task, p);
    ht_app_progress_clear(&r->progress);
    bool good = true;
    if (status != HT_ERR_CANCELLED && (status == HT_OK || !*r->stop)) {
        good = record(r, task, status, p, ht_app_seconds() - began);
    }
    free_product(r, p);
    free(p);
    return !good || !r->session ? HT_ERR_IO : *r->stop ? HT_ERR_CANCELLED : HT_OK;
}

static bool is_due(const run *r, const batch_task *task) {
    return task->state == BATCH_TO_DO || (task->state == BATCH_FAILED && r->options->retry);
}

static ht_status do_all(run *r) {
    char why[BATCH_WHY];
    ht_status status = HT_OK;
    for (r->at = 0; r->at < r->n_tasks && status == HT_OK; ++r->at) {
        if (is_due(r, r->tasks[r->at])) {
            status = *r->stop ? HT_ERR_CANCELLED : do_task(r, r->tasks[r->at]);
        }
    }
    if (!batch_keeper_wait(r->keeper, why, sizeof(why)) && status != HT_ERR_IO) {
        ht_app_say(r->log, HT_LOG_ERROR, "%s", why);
        status = HT_ERR_IO;
    }
    return status;
}

static void count_states(run *r, size_t *failed, size_t *left) {
    *failed = *left = 0;
    for (size_t i = 0; i < r->n_tasks; ++i) {
        *failed += r->tasks[i]->state == BATCH_FAILED;
        *left += r->tasks[i]->state == BATCH_TO_DO;
    }
}

static void summary(run *r) {
    size_t failed, left;
    count_states(r, &failed, &left);
    if (r->log->level < HT_LOG_WARN) {
        return;
    }
    const double seconds = ht_app_seconds() - r->began;
    fprintf(stderr,
            "gen-batch: %zu jobs: %zu done now, %zu before, %zu failed, %zu left; %.1f s, of which "
            "the engine worked on pictures %.1f s\n",
            r->n_tasks, r->n_tasks - failed - left - r->before, r->before, failed, left, seconds,
            r->engine_seconds);
    if (failed > 0) {
        fprintf(stderr, "gen-batch: what failed, and why, is in '%s'; --retry does it again\n",
                r->results.path);
    }
}

// Plan, records and names; *usage: the file of jobs is wrong.
static bool prepare(run *r, int argc, char **argv, bool *usage) {
    char why[BATCH_WHY];
    const batch_options *o = r->options;
    ht_job defaults = ht_job_defaults;
    *usage = true;
    if (!batch_plan_defaults(o, r->log, &r->plan, &defaults) ||
        !batch_options_override(argc, argv, &defaults) ||
        !batch_plan_read(o, &defaults, r->log, &r->plan)) {
        return false;
    }
    *usage = false;
    const bool opened = o->dry_run ? batch_results_look(o, r->log, &r->results)
                                   : batch_results_open(o, r->log, &r->results);
    r->tasks = calloc(r->plan.count, sizeof(*r->tasks));
    r->prompts = calloc(r->plan.count, sizeof(*r->prompts));
    if (!opened || !r->tasks || !r->prompts || !batch_results_apply(&r->results, &r->plan)) {
        return false;
    }
    if (!batch_names(&r->plan, why, sizeof(why))) {
        ht_app_say(r->log, HT_LOG_ERROR, "%s", why);
        *usage = true;
        return false;
    }
    r->n_tasks = batch_order(&r->plan, o, r->tasks);
    for (size_t i = 0; i < r->n_tasks; ++i) {
        batch_results_check(&r->results, r->tasks[i], !o->dry_run, r->log);
        r->before += r->tasks[i]->state == BATCH_DONE;
    }
    if (!o->dry_run && !batch_results_plan(&r->results, &r->plan, why, sizeof(why))) {
        ht_app_say(r->log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    return true;
}

static int work(run *r, int argc, char **argv) {
    bool usage;
    size_t failed, left;
    if (!prepare(r, argc, argv, &usage)) {
        return usage ? EXIT_USAGE : EXIT_FAILED;
    }
    if (r->options->dry_run) {
        return batch_show(r->options, &r->plan, r->tasks, r->n_tasks, r->log);
    }
    r->session = create_session(r);
    r->keeper = batch_keeper_create(r->options, &r->results);
    if (!r->keeper) {
        ht_app_say(r->log, HT_LOG_ERROR, "no thread for writing pictures can be had");
    }
    const ht_status status = r->session && r->keeper ? do_all(r) : HT_ERR_NO_MEMORY;
    summary(r);
    count_states(r, &failed, &left);
    if (status == HT_ERR_CANCELLED) {
        return EXIT_CANCELLED;
    }
    const bool shown =
        !r->options->contact_sheet || batch_sheet(r->options->output, r->results.records, r->log);
    return status == HT_OK && failed == 0 && left == 0 && shown ? EXIT_GOOD : EXIT_FAILED;
}

int batch_run(const batch_options *options, int argc, char **argv, ht_app_log *log,
              const volatile int *stop) {
    run r = {.options = options,
             .log = log,
             .stop = stop,
             .results = {.file = -1},
             .began = ht_app_seconds()};
    ht_app_progress_init(&r.progress, log, options->quiet);
    const int code = work(&r, argc, argv);
    batch_keeper_destroy(&r.keeper);
    ht_job_session_destroy(&r.session);
    batch_results_close(&r.results);
    batch_plan_free(&r.plan);
    free(r.tasks);
    free(r.prompts);
    return code;
}

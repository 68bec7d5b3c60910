// --dry-run: every job as it would be done, as JSON lines.
#include "batch.h"

#include "common/job_run.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *state_name(const batch_options *options, const batch_task *task) {
    switch (task->state) {
    case BATCH_DONE: return "done";
    case BATCH_FAILED: return options->retry ? "to do" : "failed";
    default: return "to do";
    }
}

static bool show(const batch_options *options, const batch_task *task) {
    json_t *paths = json_array();
    for (uint32_t i = 0; i < task->job.batch_size; ++i) {
        json_array_append_new(paths, json_string(task->paths[i]));
    }
    json_t *object =
        json_pack("{s:I, s:I, s:s, s:s, s:o, s:o}", "number", (json_int_t)task->number, "line",
                  (json_int_t)task->line, "key", task->key, "state", state_name(options, task),
                  "paths", paths, "job", ht_job_json(&task->job));
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    const bool good = text && puts(text) >= 0;
    free(text);
    json_decref(object);
    return good;
}

int batch_show(const batch_options *options, batch_plan *plan, batch_task **tasks, size_t count,
               ht_app_log *log) {
    const ht_job_session_desc desc = {.log = log};
    ht_job_session *session = ht_job_session_create(&desc);
    size_t due = 0, wrong = 0, models = 0;
    bool good = session != NULL;
    for (size_t i = 0; i < count && good; ++i) {
        const batch_task *task = tasks[i];
        const bool is_due =
            task->state == BATCH_TO_DO || (task->state == BATCH_FAILED && options->retry);
        models += is_due && (due == 0 || tasks[i - 1]->group != task->group);
        due += is_due;
        if (is_due && !ht_job_session_check(session, &task->job, NULL, 0)) {
            ht_app_say(log, HT_LOG_ERROR, "job %zu (line %zu) would fail", task->number,
                       task->line);
            ++wrong;
        }
        good = show(options, task);
    }
    ht_job_session_destroy(&session);
    good = fflush(stdout) == 0 && good;
    if (log->level >= HT_LOG_WARN) {
        fprintf(
            stderr,
            "gen-batch: %zu jobs in the file, %zu of them here; %zu to do with %zu models, %zu of "
            "these would fail\n",
            plan->count, count, due, models, wrong);
    }
    return good && wrong == 0 ? EXIT_GOOD : EXIT_FAILED;
}

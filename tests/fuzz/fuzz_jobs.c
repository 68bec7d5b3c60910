// Files of jobs for gen-batch: what is accepted is complete, and stays inside the folder of results.
#include "fuzz.h"

#include "gen-batch/batch.h"

#include <stdlib.h>
#include <string.h>

static void require_sound(const batch_plan *plan, size_t number) {
    const batch_task *task = &plan->tasks[number - 1];
    fuzz_require(task->number == number && task->line > 0, "tasks are numbered");
    fuzz_require(task->job.prompt && task->job.seed >= 0, "tasks have a prompt and a seed");
    fuzz_require(task->job.batch_count == 1, "a task is one call");
    fuzz_require(task->job.batch_size >= 1 && task->job.batch_size <= HT_MAX_BATCH, "batch size");
    fuzz_require(strlen(task->key) >= 32, "tasks have a key");
    for (uint32_t i = 0; i < task->job.batch_size; ++i) {
        fuzz_require(task->paths[i] && batch_name_is_inside(task->paths[i]), "names stay inside");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char why[BATCH_WHY];
    ht_app_log log = {.program = "fuzz", .silent = true};
    const batch_options options = {.job = ht_job_defaults,
                                   .jobs = fuzz_file("jobs.jsonl", data, bytes, NULL, 0),
                                   .output = "out",
                                   .name = "[number]-[seed].png",
                                   .wildcards = "/nonexistent"};
    ht_job defaults = ht_job_defaults;
    batch_plan plan = {0};
    if (batch_plan_defaults(&options, &log, &plan, &defaults) &&
        batch_plan_read(&options, &defaults, &log, &plan) && batch_names(&plan, why, sizeof(why))) {
        batch_task **tasks = calloc(plan.count, sizeof(*tasks));
        fuzz_require(tasks != NULL, "memory");
        fuzz_require(batch_order(&plan, &options, tasks) == plan.count, "every task is done");
        for (size_t i = 1; i <= plan.count; ++i) {
            require_sound(&plan, i);
        }
        free(tasks);
    }
    batch_plan_free(&plan);
    return 0;
}

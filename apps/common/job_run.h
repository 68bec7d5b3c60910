// Making the pictures of jobs: a device opened once, a model opened when a job wants another one.
#ifndef HT_APP_JOB_RUN_H
#define HT_APP_JOB_RUN_H

#include "job.h"

#include <limits.h>

typedef struct ht_job_session ht_job_session;

typedef struct ht_job_session_desc {
    ht_app_log *log; // of all messages; log->error keeps the last error's sentence. Must outlive it
    const char *device;  // number or part of the name; NULL: the best
    uint64_t max_memory; // device bytes; 0: what there is
    uint64_t weights_budget; // device bytes of a denoiser in residual stacks; 0: all its blocks
    bool no_cache;       // pack weights anew, do not keep or use packed copies
    bool keep_loaded;    // several pictures of one model follow each other
    bool profile;        // time every kernel, logged at debug level
    bool check;          // compare every operation with the CPU reference
    // At the start of each phase and after each step, also while weights are packed on opening;
    // false cancels (HT_ERR_CANCELLED). May be NULL.
    bool (*progress)(void *user, const ht_progress *now);
    void *user;
    bool clips; // jobs may have frames: `images` of ht_job_session_run has room for them
    uint32_t preview_every; // steps between previews in `progress`; 0: none
} ht_job_session_desc;

// Nothing is opened yet. Texts of `desc` must outlive the session. NULL: out of memory, after a
// message.
ht_job_session *ht_job_session_create(const ht_job_session_desc *desc);
void ht_job_session_destroy(ht_job_session **session);

// What can be known of a job without a device: its pictures can be read, the LoRAs of its prompts, its
// embeddings, model and recipe are there. `prompts`: those that it will be run with; NULL: its own.
// False after a message.
bool ht_job_session_check(ht_job_session *session, const ht_job *job, const char *const *prompts,
                          size_t n_prompts);

// Open device and model for this job, and those like it with these prompts (NULL: its own), unless
// that is what is open. After a failure no model is open.
ht_status ht_job_session_open(ht_job_session *session, const ht_job *job,
                              const char *const *prompts, size_t n_prompts);

// Fill in the frames and the rate of a clip that the open model makes; refused by models of pictures.
ht_status ht_job_session_clip(ht_job_session *session, ht_job *job);

// job->batch_size pictures of job->prompt with seeds job->seed (>= 0), + 1, ..; the model of the job
// must be open. `images` [batch_size, or that times the frames of a clip] are the caller's to clear with the session's context.
ht_status ht_job_session_run(ht_job_session *session, const ht_job *job, ht_image *images,
                             ht_report *report);

// NULL before the first ht_job_session_open.
ht_context *ht_job_session_context(const ht_job_session *session);
// NULL when no model is open.
const ht_pipeline_info *ht_job_session_info(const ht_job_session *session);
// Path of the model that was found last, and how long opening it took.
const char *ht_job_session_model_path(const ht_job_session *session);
double ht_job_session_open_seconds(const ht_job_session *session);

// What desc.check found.
typedef struct ht_job_check {
    ht_app_log *log;
    double worst, limit;
    char label[128]; // of the worst
    uint32_t nodes, bad;
} ht_job_check;
const ht_job_check *ht_job_session_check_result(const ht_job_session *session);

#endif

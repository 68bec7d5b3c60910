// Running the float model on prompts, watched: what the passes over prompts share.
#ifndef HT_QUANTIZE_PROMPTS_RUN_H
#define HT_QUANTIZE_PROMPTS_RUN_H

#include "quantize.h"

#include "common/progress.h"
#include "common/prompts.h"

typedef struct quantize_prompts {
    const quantize_options *options; // these three by the caller
    ht_app_log *log;
    const volatile int *stop;
    ht_app_progress progress;
    ht_prompts prompts;
    ht_context *context;
    ht_pipeline *pipeline;
    uint32_t steps;      // per picture
    uint32_t frames;     // of a clip; 0: pictures
    uint32_t first, now; // prompts: done before this run, and by now
    double start;
} quantize_prompts;

// The model and the prompts of a file; of `observed` the observers are taken. False after a message.
bool quantize_prompts_open(quantize_prompts *run, const char *file,
                           const ht_pipeline_options *observed);
// Every prompt from `now` on, one picture each; `end` after each. False after a message, and when
// stopped.
bool quantize_prompts_run(quantize_prompts *run, bool (*end)(void *user, bool last), void *user);
void quantize_prompts_close(quantize_prompts *run);
// Says the sentence; false.
bool quantize_prompts_fail(const quantize_prompts *run, const char *sentence);

#endif

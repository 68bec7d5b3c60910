// What tests of whole pipelines share.
#ifndef HT_PIPELINE_TEST_H
#define HT_PIPELINE_TEST_H

#include "support.h"

#include "pipeline_internal.h"

// A failed status ends the test, with the context's sentence.
static inline void must(ht_context *context, ht_status status) {
    if (status != HT_OK) {
        fail_msg("%s: %s", ht_status_name(status), ht_context_message(context));
    }
}

static inline ht_pipeline *open_in(const char *folder, const ht_pipeline_options *options) {
    ht_pipeline *pipeline;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    must(context, ht_pipeline_open(context, folder, options, &pipeline));
    return pipeline;
}

// Four steps of a small clip, as the golden files have them.
static inline ht_generate_params clip_params(const char *prompt, float cfg_scale, uint32_t frames) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = prompt;
    params.negative_prompt = "blurry, low quality";
    params.cfg_scale = cfg_scale;
    params.seed = 42;
    params.steps = 4;
    params.width = 32;
    params.height = 16;
    params.frames = frames;
    return params;
}

#endif

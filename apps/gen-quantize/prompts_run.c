// Running the float model on prompts, watched.
#include "prompts_run.h"

#include "common/models.h"

#include <stdio.h>
#include <stdlib.h>

bool quantize_prompts_fail(const quantize_prompts *run, const char *sentence) {
    ht_app_say(run->log, HT_LOG_ERROR, "%s", sentence);
    return false;
}

static bool on_progress(void *user, const ht_progress *progress) {
    quantize_prompts *r = user;
    if (progress->phase == HT_PHASE_SAMPLE) {
        const uint32_t count = (uint32_t)r->prompts.count;
        const ht_progress all = {.phase = HT_PHASE_SAMPLE,
                                 .step = (r->now - r->first) * r->steps + progress->step,
                                 .steps = (count - r->first) * r->steps,
                                 .seconds = ht_app_seconds() - r->start};
        snprintf(r->progress.prefix, sizeof(r->progress.prefix), "prompt %u/%u ", r->now + 1,
                 count);
        ht_app_progress_show(&r->progress, &all);
    }
    return *r->stop == 0;
}

bool quantize_prompts_open(quantize_prompts *run, const char *file,
                           const ht_pipeline_options *observed) {
    char path[PATH_MAX], why[PATH_MAX * 2];
    const ht_context_desc desc = {
        .device = run->options->device,
        .log = {.write = ht_app_log_write, .user = run->log, .level = run->log->level}};
    ht_app_progress_init(&run->progress, run->log, run->options->quiet);
    if (!ht_prompts_read(file, run->options->limit, &run->prompts, why, sizeof(why)) ||
        !ht_model_find(run->options->model, path, sizeof(path), why, sizeof(why))) {
        return quantize_prompts_fail(run, why);
    }
    char **tokenizers = ht_tokenizer_folders(run->options->model);
    ht_pipeline_options options = *observed;
    options.keep_loaded = true;
    options.tokenizers = (const char *const *)tokenizers;
    const bool good = ht_context_create(&desc, &run->context) == HT_OK &&
                      ht_pipeline_open(run->context, path, &options, &run->pipeline) == HT_OK;
    ht_tokenizer_folders_free(tokenizers);
    if (good) {
        const uint32_t usual = ht_pipeline_get_info(run->pipeline)->steps;
        run->steps = run->options->steps ? run->options->steps : usual;
    }
    return good;
}

static bool run_prompt(quantize_prompts *r, ht_report *report) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    const ht_callbacks callbacks = {.progress = on_progress, .user = r};
    uint32_t frames = r->frames; // room for all, though none is decoded
    ht_image *images =
        ht_pipeline_frames(r->pipeline, &frames) == HT_OK ? calloc(frames, sizeof(*images)) : NULL;
    if (!images) {
        return false;
    }
    params.prompt = r->prompts.texts[r->now];
    params.steps = r->steps;
    params.width = r->options->width;
    params.height = r->options->height;
    params.frames = r->frames;
    params.cfg_scale = (float)r->options->cfg_scale;
    params.seed = (uint64_t)r->options->seed + r->now;
    params.latent_only = true;
    const ht_status status = ht_pipeline_generate(r->pipeline, &params, &callbacks, images, report);
    free(images);
    ht_app_progress_clear(&r->progress);
    if (status == HT_OK && *report->recipe) {
        return quantize_prompts_fail(
            r, "the model is packed; statistics are those of the float checkpoint");
    }
    r->now += status == HT_OK;
    return status == HT_OK;
}

bool quantize_prompts_run(quantize_prompts *run, bool (*end)(void *user, bool last), void *user) {
    ht_report *report = malloc(sizeof(*report));
    bool good = report != NULL;
    run->start = ht_app_seconds();
    while (good && run->now < run->prompts.count && !*run->stop) {
        good = run_prompt(run, report) && end(user, run->now == run->prompts.count);
    }
    free(report);
    return good && !*run->stop;
}

void quantize_prompts_close(quantize_prompts *run) {
    ht_pipeline_destroy(&run->pipeline);
    ht_context_destroy(&run->context);
    ht_prompts_free(&run->prompts);
}

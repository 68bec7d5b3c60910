// The statistics pass: the float model on prompts, layer by layer; saved between prompts, so that a
// run that was stopped goes on where it was.
#include "quantize.h"

#include "common/files.h"
#include "common/models.h"
#include "common/progress.h"
#include "common/prompts.h"

#include <halftone/calibrate.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct collector {
    const quantize_options *options;
    ht_app_log *log;
    const volatile int *stop;
    ht_app_progress progress;
    ht_prompts prompts;
    ht_context *context;
    ht_pipeline *pipeline;
    ht_stats *stats;
    uint32_t steps;      // per picture
    uint32_t first, now; // prompts: done before this run, and by now
    double start, saved, save_seconds;
} collector;

static bool fail(const collector *c, const char *sentence) {
    ht_app_say(c->log, HT_LOG_ERROR, "%s", sentence);
    return false;
}

static ht_status observe(void *user, const ht_layer_run *run, const ht_stats_place *place) {
    const collector *c = user;
    return *c->stop ? HT_ERR_CANCELLED : ht_stats_add(c->stats, run, place);
}

static bool on_progress(void *user, const ht_progress *progress) {
    collector *c = user;
    if (progress->phase == HT_PHASE_SAMPLE) {
        const uint32_t count = (uint32_t)c->prompts.count;
        const ht_progress all = {.phase = HT_PHASE_SAMPLE,
                                 .step = (c->now - c->first) * c->steps + progress->step,
                                 .steps = (count - c->first) * c->steps,
                                 .seconds = ht_app_seconds() - c->start};
        snprintf(c->progress.prefix, sizeof(c->progress.prefix), "prompt %u/%u ", c->now + 1, count);
        ht_app_progress_show(&c->progress, &all);
    }
    return *c->stop == 0;
}

static bool open_pipeline(collector *c) {
    char path[PATH_MAX], why[PATH_MAX * 2];
    const ht_context_desc desc = {
        .device = c->options->device,
        .log = {.write = ht_app_log_write, .user = c->log, .level = c->log->level}};
    char **tokenizers = ht_tokenizer_folders(c->options->model);
    const ht_pipeline_options options = {.keep_loaded = true,
                                         .tokenizers = (const char *const *)tokenizers,
                                         .observe = observe,
                                         .observe_user = c};
    bool good = ht_model_find(c->options->model, path, sizeof(path), why, sizeof(why));
    if (!good) {
        fail(c, why);
    }
    good = good && ht_context_create(&desc, &c->context) == HT_OK &&
           ht_pipeline_open(c->context, path, &options, &c->pipeline) == HT_OK;
    ht_tokenizer_folders_free(tokenizers);
    return good;
}

// What the statistics depend on besides the number of prompts.
static char *conditions(const collector *c) {
    const ht_pipeline_info *info = ht_pipeline_get_info(c->pipeline);
    const quantize_options *o = c->options;
    const double cfg = o->cfg_scale < 0 ? (double)info->cfg_scale : o->cfg_scale;
    char hash[32];
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)c->prompts.hash);
    json_t *json = json_pack("{s:s, s:I, s:s, s:s, s:i, s:f, s:i, s:i, s:I, s:s}", "model",
                             info->class_name, "model_bytes", (json_int_t)info->file_bytes,
                             "sampler", info->sampler, "schedule", info->schedule, "steps",
                             (int)c->steps, "cfg_scale", cfg, "width", (int)info->width, "height",
                             (int)info->height, "seed", (json_int_t)o->seed, "prompts_hash", hash);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

// An old file under the same conditions is gone on with.
static bool open_stats(collector *c) {
    const quantize_options *o = c->options;
    char *text = conditions(c), why[PATH_MAX + 1024];
    ht_stats_desc desc = HT_STATS_DEFAULTS;
    bool good = text != NULL;
    desc.conditions = text;
    desc.gram = o->gram;
    desc.rows = o->rows;
    desc.gram_width = o->gram_width;
    if (good && ht_file_exists(o->stats) && !o->overwrite) {
        good = ht_stats_open(c->context, o->stats, &c->stats) == HT_OK;
        if (good && strcmp(ht_stats_conditions(c->stats), text) != 0) {
            snprintf(why, sizeof(why),
                     "'%s' was collected under other conditions (%s, now %s); --overwrite starts "
                     "anew",
                     o->stats, ht_stats_conditions(c->stats), text);
            good = fail(c, why);
        }
    } else if (good) {
        good = ht_stats_create(c->context, &desc, &c->stats) == HT_OK;
    }
    free(text);
    c->first = c->now = good ? ht_stats_prompts(c->stats) : 0;
    return good;
}

static bool run_prompt(collector *c, ht_report *report) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    const ht_callbacks callbacks = {.progress = on_progress, .user = c};
    ht_image image = {0};
    params.prompt = c->prompts.texts[c->now];
    params.steps = c->steps;
    params.cfg_scale = (float)c->options->cfg_scale;
    params.seed = (uint64_t)c->options->seed + c->now;
    params.latent_only = true;
    const ht_status status =
        ht_pipeline_generate(c->pipeline, &params, &callbacks, &image, report);
    ht_app_progress_clear(&c->progress);
    if (status == HT_OK && *report->recipe) {
        return fail(c, "the model is packed; statistics are those of the float checkpoint");
    }
    if (status == HT_OK) {
        ht_stats_end_prompt(c->stats);
        ++c->now;
    }
    return status == HT_OK;
}

// Not after every prompt where saving is slow: a tenth of the time goes there at most.
static bool save(collector *c, bool last) {
    const double now = ht_app_seconds();
    if (!last && now - c->saved < 10 * c->save_seconds) {
        return true;
    }
    const bool good = ht_stats_save(c->stats, c->options->stats) == HT_OK;
    c->saved = ht_app_seconds();
    c->save_seconds = c->saved - now;
    return good;
}

static bool collect(collector *c) {
    ht_report *report = malloc(sizeof(*report));
    bool good = report != NULL;
    c->start = c->saved = ht_app_seconds();
    while (good && c->now < c->prompts.count && !*c->stop) {
        good = run_prompt(c, report) && save(c, c->now == c->prompts.count);
    }
    free(report);
    if (*c->stop && c->now > c->first) {
        fprintf(stderr, "%u of %zu prompts counted; the same command goes on with '%s'\n", c->now,
                c->prompts.count, c->options->stats);
    } else if (good && !c->options->quiet) {
        fprintf(stderr, "%u prompts counted in %.1f s (%u of them before), %u inputs: %s\n", c->now,
                ht_app_seconds() - c->start, c->first, ht_stats_count(c->stats), c->options->stats);
    }
    return good && !*c->stop;
}

bool quantize_collect(const quantize_options *options, ht_app_log *log, const volatile int *stop) {
    collector c = {.options = options, .log = log, .stop = stop};
    char why[PATH_MAX * 2];
    ht_app_progress_init(&c.progress, log, options->quiet);
    bool good = ht_prompts_read(options->prompts, options->limit, &c.prompts, why, sizeof(why)) ||
                fail(&c, why);
    good = good && (ht_file_check(options->stats, true, why, sizeof(why)) || fail(&c, why)) &&
           open_pipeline(&c);
    if (good) {
        const ht_pipeline_info *info = ht_pipeline_get_info(c.pipeline);
        c.steps = options->steps ? options->steps : info->steps;
        good = open_stats(&c) && collect(&c);
    }
    ht_stats_destroy(&c.stats);
    ht_pipeline_destroy(&c.pipeline);
    ht_context_destroy(&c.context);
    ht_prompts_free(&c.prompts);
    return good;
}

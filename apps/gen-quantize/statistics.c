// The statistics pass: the float model on prompts, layer by layer; saved between prompts, so that a
// run that was stopped goes on where it was.
#include "quantize.h"

#include "common/files.h"
#include "prompts_run.h"

#include <halftone/calibrate.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct collector {
    quantize_prompts run;
    ht_stats *stats;
    double saved, save_seconds;
} collector;

static ht_status observe(void *user, const ht_layer_run *run, const ht_stats_place *place) {
    const collector *c = user;
    return *c->run.stop ? HT_ERR_CANCELLED : ht_stats_add(c->stats, run, place);
}

// What the statistics depend on besides the number of prompts.
static char *conditions(const collector *c) {
    const ht_pipeline_info *info = ht_pipeline_get_info(c->run.pipeline);
    const quantize_options *o = c->run.options;
    const double cfg = o->cfg_scale < 0 ? (double)info->cfg_scale : o->cfg_scale;
    char hash[32];
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)c->run.prompts.hash);
    json_t *json = json_pack("{s:s, s:I, s:s, s:s, s:i, s:f, s:i, s:i, s:I, s:s}", "model",
                             info->class_name, "model_bytes", (json_int_t)info->file_bytes,
                             "sampler", info->sampler, "schedule", info->schedule, "steps",
                             (int)c->run.steps, "cfg_scale", cfg, "width", (int)info->width, "height",
                             (int)info->height, "seed", (json_int_t)o->seed, "prompts_hash", hash);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

// An old file under the same conditions is gone on with.
static bool open_stats(collector *c) {
    const quantize_options *o = c->run.options;
    char *text = conditions(c), why[PATH_MAX + 1024];
    ht_stats_desc desc = HT_STATS_DEFAULTS;
    bool good = text != NULL;
    desc.conditions = text;
    desc.gram = o->gram;
    desc.rows = o->rows;
    desc.gram_width = o->gram_width;
    if (good && ht_file_exists(o->stats) && !o->overwrite) {
        good = ht_stats_open(c->run.context, o->stats, &c->stats) == HT_OK;
        if (good && strcmp(ht_stats_conditions(c->stats), text) != 0) {
            snprintf(why, sizeof(why),
                     "'%s' was collected under other conditions (%s, now %s); --overwrite starts "
                     "anew",
                     o->stats, ht_stats_conditions(c->stats), text);
            good = quantize_prompts_fail(&c->run, why);
        }
    } else if (good) {
        good = ht_stats_create(c->run.context, &desc, &c->stats) == HT_OK;
    }
    free(text);
    c->run.first = c->run.now = good ? ht_stats_prompts(c->stats) : 0;
    return good;
}

// Not after every prompt where saving is slow: a tenth of the time goes there at most.
static bool save(collector *c, bool last) {
    const double now = ht_app_seconds();
    if (!last && now - c->saved < 10 * c->save_seconds) {
        return true;
    }
    const bool good = ht_stats_save(c->stats, c->run.options->stats) == HT_OK;
    c->saved = ht_app_seconds();
    c->save_seconds = c->saved - now;
    return good;
}

static bool end_prompt(void *user, bool last) {
    collector *c = user;
    ht_stats_end_prompt(c->stats);
    return save(c, last);
}

static bool collect(collector *c) {
    quantize_prompts *r = &c->run;
    c->saved = ht_app_seconds();
    const bool good = quantize_prompts_run(r, end_prompt, c);
    if (*r->stop && r->now > r->first) {
        fprintf(stderr, "%u of %zu prompts counted; the same command goes on with '%s'\n", r->now,
                r->prompts.count, r->options->stats);
    } else if (good && !r->options->quiet) {
        fprintf(stderr, "%u prompts counted in %.1f s (%u of them before), %u inputs: %s\n", r->now,
                ht_app_seconds() - r->start, r->first, ht_stats_count(c->stats),
                r->options->stats);
    }
    return good;
}

bool quantize_collect(const quantize_options *options, ht_app_log *log, const volatile int *stop) {
    collector c = {.run = {.options = options, .log = log, .stop = stop}};
    const ht_pipeline_options observed = {.observe = observe, .observe_user = &c};
    char why[PATH_MAX * 2];
    const bool good = (ht_file_check(options->stats, true, why, sizeof(why)) ||
                       quantize_prompts_fail(&c.run, why)) &&
                      quantize_prompts_open(&c.run, options->prompts, &observed) &&
                      open_stats(&c) && collect(&c);
    ht_stats_destroy(&c.stats);
    quantize_prompts_close(&c.run);
    return good;
}

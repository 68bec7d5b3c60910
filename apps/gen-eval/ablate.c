// Variants of one calibrated model, packed by what gen-quantize is made of.
#include "ablate.h"

#include "../gen-quantize/quantize.h"

#include "common/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// A technique is a field of gen-quantize's options; leaving it out sets the field to `off`.
typedef struct variant {
    const char *name;
    bool calibrated; // or rounded to nearest by the recipe alone
    const char *rounding;
    bool no_balance, dynamic, no_first_token, no_low_rank, no_search;
} variant;

static const variant variants[] = {
    {.name = "nearest"},
    {.name = "all", .calibrated = true, .rounding = "learned"},
    {.name = "no-learned", .calibrated = true, .rounding = "gptq"},
    {.name = "no-gptq", .calibrated = true, .rounding = "nearest"},
    {.name = "no-balance", .calibrated = true, .rounding = "learned", .no_balance = true},
    {.name = "no-static", .calibrated = true, .rounding = "learned", .dynamic = true},
    {.name = "no-first-token", .calibrated = true, .rounding = "learned", .no_first_token = true},
    {.name = "no-low-rank", .calibrated = true, .rounding = "learned", .no_low_rank = true},
    {.name = "no-search", .calibrated = true, .rounding = "learned", .no_search = true},
};

static quantize_options base_of(const eval_options *o) {
    return (quantize_options){.model = o->model,
                              .recipe = o->ablate,
                              .rounding = "learned",
                              .calibrate = o->calibrate,
                              .low_rank = o->low_rank,
                              .search = o->search,
                              .device = o->device,
                              .steps = o->steps,
                              .cfg_scale = o->cfg_scale,
                              .seed = 1000,
                              .limit = o->calibrate_limit,
                              .rows = 128,
                              .gram_width = 1536,
                              .gram = true,
                              .overwrite = true,
                              .quiet = true};
}

// Does the variant leave out what was never asked for?
static bool is_idle(const variant *v, const eval_options *o) {
    return (v->no_low_rank && o->low_rank == 0) || (v->no_search && !o->search);
}

static bool pack(const variant *v, const quantize_options *base, const char *path, ht_app_log *log,
                 const volatile int *stop) {
    quantize_options o = *base;
    o.output = path;
    o.calibrate = v->calibrated ? base->calibrate : NULL;
    o.rounding = v->rounding ? v->rounding : base->rounding;
    o.no_balance = v->no_balance;
    o.no_first_token = v->no_first_token;
    o.dynamic = v->dynamic || !v->calibrated;
    o.low_rank = v->calibrated && !v->no_low_rank ? base->low_rank : 0;
    o.search = v->calibrated && !v->no_search && base->search;
    return quantize_run(&o, log, stop) == EXIT_GOOD;
}

// Statistics once for all variants: given, or counted now into DIR/ablation.stats.
static bool count(quantize_options *base, const char *folder, char path[PATH_MAX], ht_app_log *log,
                  const volatile int *stop) {
    char output[PATH_MAX];
    if (snprintf(output, sizeof(output), "%s/ablation", folder) >= (int)sizeof(output)) {
        return false;
    }
    base->output = output;
    const bool good = quantize_calibration(base, log, path, PATH_MAX) &&
                      (!base->prompts || quantize_collect(base, log, stop));
    base->prompts = base->stats = NULL;
    return good;
}

int eval_ablate(eval_options *o, ht_app_log *log, const volatile int *stop) {
    quantize_options base = base_of(o);
    char statistics[PATH_MAX], why[PATH_MAX * 2] = "the name of --output is too long";
    if (mkdir(o->output, 0777) != 0 && errno != EEXIST) {
        ht_app_say(log, HT_LOG_ERROR, "cannot make the folder '%s': %s", o->output,
                   strerror(errno));
        return EXIT_FAILED;
    }
    if (snprintf(statistics, sizeof(statistics), "%s/report.json", o->output) >= PATH_MAX ||
        !ht_file_check(statistics, o->overwrite, why, sizeof(why))) {
        ht_app_say(log, HT_LOG_ERROR, "%s", why);
        return EXIT_FAILED;
    }
    if (!count(&base, o->output, statistics, log, stop)) {
        return *stop ? EXIT_CANCELLED : EXIT_FAILED;
    }
    o->count = 1; // the reference stays
    for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); ++i) {
        const variant *v = &variants[i];
        if (is_idle(v, o)) {
            continue;
        }
        char *path = o->files[o->count];
        if (snprintf(path, EVAL_PATH, "%s/%s.safetensors", o->output, v->name) >= EVAL_PATH) {
            ht_app_say(log, HT_LOG_ERROR, "the name of --output is too long");
            return EXIT_FAILED;
        }
        snprintf(o->names[o->count++], EVAL_NAME, "%s", v->name);
        if (!o->quiet) {
            fprintf(stderr, "packing %s\n", v->name);
        }
        if (!pack(v, &base, path, log, stop)) {
            return *stop ? EXIT_CANCELLED : EXIT_FAILED;
        }
    }
    return EXIT_GOOD;
}

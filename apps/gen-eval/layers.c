// Which layer costs what: each recipe's run beside the reference's, layer by layer, from the same
// noise. Of each tensor at most SAMPLES values are compared, evenly spread, so that memory stays
// small for large networks.
#include "eval.h"

#include "common/files.h"
#include "common/models.h"
#include "common/prompts.h"
#include "recipes.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SAMPLES = 2048, DEFAULT_PROMPTS = 4, NAME_BYTES = 160 };

// Sums over prompts and steps.
typedef struct layer_error {
    char name[NAME_BYTES];
    double in_signal, in_noise, out_signal, out_noise;
} layer_error;

// Values of one run of one layer of the reference.
typedef struct sample {
    uint32_t layer, x_count, y_count;
    float *values; // x, then y
} sample;

typedef struct layers {
    const eval_options *options;
    ht_app_log *log;
    const volatile int *stop;
    ht_app_progress progress;
    ht_prompts prompts;
    char model[PATH_MAX];
    sample *samples; // in the order in which the reference ran
    size_t n_samples, at;
    layer_error *list;
    uint32_t n_list;
    uint32_t recipe;
} layers;

static ht_status fail(const layers *l, const char *sentence) {
    ht_app_say(l->log, HT_LOG_ERROR, "%s", sentence);
    return HT_ERR_IO;
}

static uint32_t pick(const float *values, const ht_tensor_desc *desc, float *out) {
    const uint64_t count = ht_desc_count(desc);
    const uint32_t taken = count < SAMPLES ? (uint32_t)count : SAMPLES;
    for (uint64_t i = 0; i < taken; ++i) {
        out[i] = values[i * count / taken];
    }
    return taken;
}

static uint32_t find_layer(layers *l, const char *name) {
    for (uint32_t i = 0; i < l->n_list; ++i) {
        if (strcmp(l->list[i].name, name) == 0) {
            return i;
        }
    }
    layer_error *larger = realloc(l->list, (l->n_list + 1) * sizeof(*larger));
    if (!larger) {
        return UINT32_MAX;
    }
    l->list = larger;
    l->list[l->n_list] = (layer_error){{0}, 0, 0, 0, 0};
    snprintf(l->list[l->n_list].name, NAME_BYTES, "%s", name);
    return l->n_list++;
}

static ht_status keep(layers *l, const ht_layer_run *run) {
    sample *larger = realloc(l->samples, (l->n_samples + 1) * sizeof(*larger));
    l->samples = larger ? larger : l->samples;
    float *values = malloc(2 * SAMPLES * sizeof(*values));
    const uint32_t layer = find_layer(l, run->layer);
    if (!larger || !values || layer == UINT32_MAX) {
        free(values);
        return fail(l, "out of memory");
    }
    sample *s = &l->samples[l->n_samples++];
    *s = (sample){.layer = layer, .values = values};
    s->x_count = pick(run->x, &run->x_desc, values);
    s->y_count = pick(run->y, &run->y_desc, values + s->x_count);
    return HT_OK;
}

static void add_noise(const float *got, const float *want, uint32_t count, double *signal,
                      double *noise) {
    for (uint32_t i = 0; i < count; ++i) {
        const double off = (double)got[i] - (double)want[i];
        *signal += (double)want[i] * (double)want[i];
        *noise += off * off;
    }
}

static ht_status compare(layers *l, const ht_layer_run *run) {
    float values[SAMPLES];
    sample *s = l->at < l->n_samples ? &l->samples[l->at++] : NULL;
    if (!s || strcmp(l->list[s->layer].name, run->layer) != 0) {
        return fail(l, "the recipes run different layers");
    }
    layer_error *e = &l->list[s->layer];
    if (pick(run->x, &run->x_desc, values) == s->x_count) {
        add_noise(values, s->values, s->x_count, &e->in_signal, &e->in_noise);
    }
    if (pick(run->y, &run->y_desc, values) == s->y_count) {
        add_noise(values, s->values + s->x_count, s->y_count, &e->out_signal, &e->out_noise);
    }
    return HT_OK;
}

static ht_status observe(void *user, const ht_layer_run *run, const ht_stats_place *place) {
    layers *l = user;
    (void)place;
    return *l->stop ? HT_ERR_CANCELLED : l->recipe == 0 ? keep(l, run) : compare(l, run);
}

static bool on_progress(void *user, const ht_progress *now) {
    layers *l = user;
    ht_app_progress_show(&l->progress, now);
    return *l->stop == 0;
}

static ht_status run_prompts(layers *l, ht_pipeline *pipeline) {
    const eval_options *o = l->options;
    const ht_callbacks callbacks = {.progress = on_progress, .user = l};
    ht_report *report = malloc(sizeof(*report));
    ht_status status = report ? HT_OK : fail(l, "out of memory");
    for (size_t i = 0; i < l->prompts.count && status == HT_OK; ++i) {
        ht_generate_params params = HT_GENERATE_DEFAULTS;
        ht_image image = {0};
        params.prompt = l->prompts.texts[i];
        params.steps = o->steps;
        params.cfg_scale = (float)o->cfg_scale;
        params.seed = (uint64_t)o->seed + i;
        params.latent_only = true;
        snprintf(l->progress.prefix, sizeof(l->progress.prefix), "%.8s %u/%u ",
                 o->names[l->recipe], (unsigned)(i + 1), (unsigned)l->prompts.count);
        status = ht_pipeline_generate(pipeline, &params, &callbacks, &image, report);
        ht_app_progress_clear(&l->progress);
    }
    free(report);
    return status;
}

static ht_status run_recipe(layers *l) {
    char path[PATH_MAX], why[PATH_MAX * 2];
    ht_context *context = NULL;
    ht_pipeline *pipeline = NULL;
    const ht_context_desc desc = {
        .device = l->options->device,
        .log = {.write = ht_app_log_write, .user = l->log, .level = l->log->level}};
    ht_pipeline_options options = {
        .keep_loaded = true, .observe = observe, .observe_results = true, .observe_user = l};
    l->at = 0;
    if (!eval_recipe_apply(l->options->names[l->recipe], l->options->files[l->recipe], path, &options,
                           why, sizeof(why))) {
        return fail(l, why);
    }
    ht_status status = ht_context_create(&desc, &context);
    if (status == HT_OK) {
        status = ht_pipeline_open(context, l->model, &options, &pipeline);
    }
    if (status == HT_OK) {
        status = run_prompts(l, pipeline);
    }
    ht_pipeline_destroy(&pipeline);
    ht_context_destroy(&context);
    return status;
}

static double decibels(double signal, double noise) {
    return noise > 0 && signal > 0 ? 10 * log10(signal / noise) : INFINITY;
}

static json_t *number_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

// In the order of the network; also into `list`.
static void show_recipe(const layers *l, json_t *list) {
    const char *name = l->options->names[l->recipe];
    json_t *rows = json_array();
    printf("\n%s against %s, %zu prompts: dB of signal to noise\n%-56s %9s %9s %9s\n", name,
           l->options->names[0], l->prompts.count, "layer", "read", "gave", "lost");
    for (uint32_t i = 0; i < l->n_list; ++i) {
        const layer_error *e = &l->list[i];
        const double in = decibels(e->in_signal, e->in_noise);
        const double out = decibels(e->out_signal, e->out_noise);
        printf("%-56s %9.1f %9.1f %9.1f\n", e->name, in, out,
               isfinite(in) && isfinite(out) ? in - out : 0);
        json_array_append_new(rows, json_pack("{s:s, s:o, s:o}", "layer", e->name, "read_db",
                                              number_or_null(in), "gave_db", number_or_null(out)));
    }
    json_array_append_new(list, json_pack("{s:s, s:o}", "recipe", name, "layers", rows));
}

static bool write_report(const layers *l, json_t *list) {
    char path[PATH_MAX], why[PATH_MAX + 256] = "out of memory";
    const eval_options *o = l->options;
    json_t *json = json_pack("{s:s, s:s, s:s, s:i, s:O}", "version", HT_VERSION, "model", o->model,
                             "reference", o->names[0], "prompts", (int)l->prompts.count, "recipes",
                             list);
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    const bool named = snprintf(path, sizeof(path), "%s/layers.json", o->output) < PATH_MAX;
    const bool good = text && named &&
                      ht_file_write(path, text, strlen(text), o->overwrite, why, sizeof(why));
    json_decref(json);
    free(text);
    return good || fail(l, why) == HT_OK;
}

static bool prepare(layers *l) {
    char path[PATH_MAX], why[PATH_MAX * 2];
    const eval_options *o = l->options;
    const bool known = o->prompts || eval_asset("prompts/scenes-heldout.jsonl", path);
    if (!known || !ht_model_find(o->model, l->model, sizeof(l->model), why, sizeof(why)) ||
        !ht_prompts_read(o->prompts ? o->prompts : path, o->limit ? o->limit : DEFAULT_PROMPTS,
                         &l->prompts, why, sizeof(why))) {
        return fail(l, why) == HT_OK;
    }
    if (mkdir(o->output, 0777) != 0 && errno != EEXIST) {
        snprintf(why, sizeof(why), "cannot make '%s': %s", o->output, strerror(errno));
        return fail(l, why) == HT_OK;
    }
    return true;
}

int eval_layers(const eval_options *options, ht_app_log *log, const volatile int *stop) {
    layers l = {.options = options, .log = log, .stop = stop};
    json_t *list = json_array();
    ht_app_progress_init(&l.progress, log, options->quiet);
    bool good = list && prepare(&l);
    for (; good && l.recipe < options->count; ++l.recipe) {
        for (uint32_t i = 0; i < l.n_list; ++i) {
            l.list[i].in_signal = l.list[i].in_noise = 0;
            l.list[i].out_signal = l.list[i].out_noise = 0;
        }
        good = run_recipe(&l) == HT_OK;
        if (good && l.recipe > 0) {
            show_recipe(&l, list);
        }
    }
    good = good && write_report(&l, list);
    for (size_t i = 0; i < l.n_samples; ++i) {
        free(l.samples[i].values);
    }
    free(l.samples);
    free(l.list);
    ht_prompts_free(&l.prompts);
    json_decref(list);
    return good ? EXIT_GOOD : *stop ? EXIT_CANCELLED : EXIT_FAILED;
}

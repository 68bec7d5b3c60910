// How much the noise of each layer harms what is made: pictures with that one layer's weights in four
// bits, rounded to nearest, against float ones of the same prompts and seeds. Layers of feed-forward
// networks and cross-attention decide what is in the picture: their harm is 1 - SSIM; that of others
// the noise of the latent as a share of its signal.
#include "mixed.h"

#include "common/files.h"
#include "common/metrics.h"
#include "common/models.h"
#include "common/progress.h"
#include "common/prompts.h"

#include <jansson.h>
#include <math.h>
#include <pipeline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROMPTS = 4, SAVE_EVERY = 8 };
static const ht_format PROBE = HT_FORMAT_FP4;

// What a prompt gave.
typedef struct result {
    ht_image image;
    float *latent;
    size_t count;
} result;

// Of one layer: unknown is NAN.
typedef struct damage {
    double content, quality;
} damage;

typedef struct probing {
    mixed *m;
    ht_context *context;
    ht_app_progress progress;
    char model[PATH_MAX], file[PATH_MAX], recipe[PATH_MAX]; // file: what is known already
    ht_prompts prompts;
    result float_results[PROMPTS], now;
    damage *damages; // [m->count]
} probing;

static bool fail(const probing *p, const char *sentence) {
    ht_app_say(p->m->log, HT_LOG_ERROR, "%s", sentence);
    return false;
}

static void keep_latent(void *user, const float *values, const uint32_t dims[3]) {
    result *r = user;
    r->count = (size_t)dims[0] * dims[1] * dims[2];
    free(r->latent);
    r->latent = malloc(r->count * sizeof(*r->latent));
    if (r->latent) {
        memcpy(r->latent, values, r->count * sizeof(*r->latent));
    }
}

static void clear(probing *p, result *r) {
    ht_image_clear(p->context, &r->image);
    free(r->latent);
    *r = (result){0};
}

static bool make(probing *p, ht_pipeline *pipeline, size_t prompt, result *out) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    const ht_callbacks callbacks = {.latent = keep_latent, .user = out};
    const quantize_options *o = p->m->options;
    params.prompt = p->prompts.texts[prompt];
    params.steps = o->steps;
    params.cfg_scale = (float)o->cfg_scale;
    params.seed = (uint64_t)o->seed + prompt;
    return ht_pipeline_generate(pipeline, &params, &callbacks, &out->image, NULL) == HT_OK &&
           out->latent;
}

// All prompts with the recipe, or in floats; compared with the float results when there is `out`.
static bool run(probing *p, const char *recipe, damage *out) {
    char **tokenizers = ht_tokenizer_folders(p->m->options->model);
    const ht_pipeline_options options = {
        .keep_loaded = true, .tokenizers = (const char *const *)tokenizers, .recipe = recipe};
    ht_pipeline *pipeline = NULL;
    bool good = ht_pipeline_open(p->context, p->model, &options, &pipeline) == HT_OK;
    double content = 0, quality = 0;
    for (size_t i = 0; good && i < p->prompts.count && !*p->m->stop; ++i) {
        const result *want = &p->float_results[i];
        good = make(p, pipeline, i, out ? &p->now : &p->float_results[i]);
        if (good && out) {
            content += 1 - ht_ssim(p->now.image.rgb, want->image.rgb, want->image.width,
                                   want->image.height);
            quality += pow(10, -ht_sqnr(p->now.latent, want->latent, want->count) / 10);
            clear(p, &p->now);
        }
    }
    if (good && out) {
        *out = (damage){content / (double)p->prompts.count, quality / (double)p->prompts.count};
    }
    ht_pipeline_destroy(&pipeline);
    ht_tokenizer_folders_free(tokenizers);
    return good && !*p->m->stop;
}

// ---- what is known

static void read_known(probing *p) {
    json_t *json = json_load_file(p->file, 0, NULL);
    for (size_t i = 0; i < p->m->count; ++i) {
        const json_t *l = json_object_get(json, p->m->layers[i].name);
        const json_t *content = json_object_get(l, "content"),
                     *quality = json_object_get(l, "quality");
        p->damages[i] = (damage){content ? json_number_value(content) : (double)NAN,
                                 quality ? json_number_value(quality) : (double)NAN};
    }
    json_decref(json);
}

static bool save_known(const probing *p) {
    json_t *json = json_object();
    char why[PATH_MAX * 2] = "out of memory";
    for (size_t i = 0; i < p->m->count; ++i) {
        if (!isnan(p->damages[i].quality)) {
            json_object_set_new(json, p->m->layers[i].name,
                                json_pack("{s:f, s:f}", "content", p->damages[i].content, "quality",
                                          p->damages[i].quality));
        }
    }
    char *text = json_dumps(json, JSON_INDENT(1));
    const bool good = text && ht_file_write(p->file, text, strlen(text), true, why, sizeof(why));
    free(text);
    json_decref(json);
    return good || fail(p, why);
}

// ---- all layers

static bool probe(probing *p, size_t i) {
    char text[1024], why[PATH_MAX * 2];
    snprintf(text, sizeof(text),
             "{\"name\":\"probe\",\"layers\":[{\"match\":\"%s\",\"weights\":\"%s\"}]}",
             p->m->layers[i].name, ht_format_name(PROBE));
    if (!ht_file_write(p->recipe, text, strlen(text), true, why, sizeof(why))) {
        return fail(p, why);
    }
    return run(p, p->recipe, &p->damages[i]);
}

static bool probe_all(probing *p) {
    const double start = ht_app_seconds();
    bool good = true, have_float = false;
    for (size_t i = 0; good && i < p->m->count; ++i) {
        if (!isnan(p->damages[i].quality) || p->m->layers[i].count == 1) {
            continue;
        }
        good = have_float || run(p, NULL, NULL);
        have_float = true;
        good = good && probe(p, i) && (i % SAVE_EVERY != 0 || save_known(p));
        const ht_progress now = {.phase = HT_PHASE_SAMPLE,
                                 .step = (uint32_t)i + 1,
                                 .steps = (uint32_t)p->m->count,
                                 .seconds = ht_app_seconds() - start};
        snprintf(p->progress.prefix, sizeof(p->progress.prefix), "sensitivity ");
        ht_app_progress_show(&p->progress, &now);
    }
    ht_app_progress_clear(&p->progress);
    unlink(p->recipe);
    return save_known(p) && good;
}

// Harm per unit of the layer's own noise, which grows with it. SSIM's unit is changed into that of
// the latent's noise by what the layers it is taken of do to both.
static void set_harm(probing *p) {
    const ht_layer_formats formats = {.weights = PROBE};
    better nearest = *p->m->better;
    double content = 0, quality = 0;
    nearest.rounding = HT_ROUNDING_NEAREST;
    for (size_t i = 0; i < p->m->count; ++i) {
        if (p->m->layers[i].content && !isnan(p->damages[i].quality)) {
            content += p->damages[i].content;
            quality += p->damages[i].quality;
        }
    }
    for (size_t i = 0; i < p->m->count; ++i) {
        mixed_layer *l = &p->m->layers[i];
        const double harm = l->content && content > 0 ? p->damages[i].content * quality / content
                                                      : p->damages[i].quality;
        l->harm = l->count == 1 ? 0 : harm / better_noise(&nearest, l->name, &formats);
    }
}

static bool open_probing(probing *p) {
    const mixed *m = p->m;
    char why[PATH_MAX * 2];
    const ht_context_desc desc = {
        .device = m->options->device,
        .log = {.write = ht_app_log_write, .user = m->log, .level = m->log->level}};
    const uint32_t limit =
        m->options->limit && m->options->limit < PROMPTS ? m->options->limit : PROMPTS;
    mixed_beside(m, ".sensitivity.json", p->file, sizeof(p->file));
    mixed_beside(m, ".probe.json", p->recipe, sizeof(p->recipe));
    if (!ht_prompts_read(m->options->prompts, limit, &p->prompts, why, sizeof(why)) ||
        !ht_model_find(m->options->model, p->model, sizeof(p->model), why, sizeof(why))) {
        return fail(p, why);
    }
    return ht_context_create(&desc, &p->context) == HT_OK;
}

bool mixed_measure(mixed *m) {
    probing *p = calloc(1, sizeof(*p));
    bool good = p != NULL;
    if (good) {
        p->m = m;
        p->damages = calloc(m->count, sizeof(*p->damages));
        ht_app_progress_init(&p->progress, m->log, m->options->quiet);
        good = p->damages && open_probing(p);
    }
    if (good) {
        read_known(p);
        good = probe_all(p);
        set_harm(p);
    }
    for (size_t i = 0; p && i < PROMPTS; ++i) {
        clear(p, &p->float_results[i]);
    }
    if (p) {
        ht_prompts_free(&p->prompts);
        ht_context_destroy(&p->context);
        free(p->damages);
    }
    free(p);
    return good;
}

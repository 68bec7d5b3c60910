// The pass that watches attentions: which order of the tokens suits a head, where its mass lies.
#include "attention.h"

#include "common/files.h"
#include "prompts_run.h"

#include <halftone/attention.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, MAX_LAYERS = 1024, LEAST_BLOCKS = 4 };

typedef struct watched {
    char *name; // "...attn1"
    ht_attention_stats *stats;
} watched;

typedef struct collector {
    quantize_prompts run;
    watched layers[MAX_LAYERS];
    size_t count;
} collector;

// Rows and columns of so many tokens of a picture of this shape. False where they make none.
static bool find_grid(const quantize_prompts *run, uint32_t tokens, ht_attention_grid *grid) {
    const ht_pipeline_info *info = ht_pipeline_get_info(run->pipeline);
    const uint64_t width = run->options->width ? run->options->width : info->width;
    const uint64_t height = run->options->height ? run->options->height : info->height;
    const double rows = sqrt((double)tokens * (double)height / (double)width);
    *grid = (ht_attention_grid){.frames = 1, .height = (uint32_t)lround(rows)};
    if (info->frames > 1 || grid->height == 0 || tokens % grid->height != 0) {
        return false;
    }
    grid->width = tokens / grid->height;
    return grid->width * height == grid->height * width;
}

static watched *find_layer(collector *c, const char *name, const ht_attention_run *run,
                           const ht_attention_grid *grid) {
    for (size_t i = 0; i < c->count; ++i) {
        if (strcmp(c->layers[i].name, name) == 0) {
            return &c->layers[i];
        }
    }
    watched *w = &c->layers[c->count];
    if (c->count == MAX_LAYERS ||
        ht_attention_stats_create(c->run.context, grid, run->heads,
                                  run->q_desc.dims[2] / run->heads, &w->stats) != HT_OK) {
        return NULL;
    }
    w->name = strdup(name);
    c->count++;
    return w->name ? w : NULL;
}

// Self-attentions only: their last weight is that of q, k or v of an attn1.
static ht_status observe(void *user, const ht_attention_run *run, const ht_stats_place *place) {
    collector *c = user;
    const char *dot = strrchr(run->layer, '.');
    const size_t length = dot ? (size_t)(dot - run->layer) : 0;
    const uint32_t tokens = run->q_desc.dims[1];
    ht_attention_grid grid;
    char name[512];
    (void)place;
    if (*c->run.stop) {
        return HT_ERR_CANCELLED;
    }
    if (length < 5 || length >= sizeof(name) || memcmp(dot - 5, "attn1", 5) != 0 ||
        run->k_desc.dims[1] != tokens || ht_attention_block_count(tokens) < LEAST_BLOCKS ||
        !find_grid(&c->run, tokens, &grid)) {
        return HT_OK;
    }
    snprintf(name, sizeof(name), "%.*s", (int)length, run->layer);
    watched *w = find_layer(c, name, run, &grid);
    ht_status status = HT_OK;
    if (!w) {
        return ht_fail(c->run.context, HT_ERR_NO_MEMORY,
                       "attention: no memory left for the statistics of '%s'", name);
    }
    for (uint32_t b = 0; b < run->q_desc.dims[0] && status == HT_OK; ++b) {
        const uint64_t at = (uint64_t)b * tokens * run->q_desc.dims[2];
        status = ht_attention_stats_add(w->stats, run->q + at, run->k + at);
    }
    if (status != HT_OK) {
        ht_fail(c->run.context, status, "attention: no memory left to watch '%s'", name);
    }
    return status;
}

static bool end_prompt(void *user, bool last) {
    (void)user;
    (void)last;
    return true;
}

// Hexadecimal mass codes of every head in its order; `chosen` false: in the natural one.
static json_t *masses_json(const ht_attention_stats *stats, bool chosen) {
    const uint32_t blocks =
        ht_attention_block_count(ht_attention_grid_tokens(ht_attention_stats_grid(stats)));
    const uint32_t heads = ht_attention_stats_heads(stats);
    const uint64_t map = (uint64_t)blocks * blocks;
    float *masses = malloc(map * sizeof(*masses));
    char *text = malloc(2 * map * heads + 1);
    json_t *json = NULL;
    if (masses && text) {
        for (uint32_t head = 0; head < heads; ++head) {
            const uint32_t order = chosen ? ht_attention_stats_order(stats, head) : 0;
            ht_attention_stats_masses(stats, head, order, masses);
            for (uint64_t i = 0; i < map; ++i) {
                snprintf(text + 2 * (head * map + i), 3, "%02x", ht_attention_mass_code(masses[i]));
            }
        }
        json = json_string(text);
    }
    free(masses);
    free(text);
    return json;
}

static json_t *layer_json(const ht_attention_stats *stats) {
    const ht_attention_grid *g = ht_attention_stats_grid(stats);
    json_t *orders = json_array(), *qualities = json_array();
    for (uint32_t head = 0; head < ht_attention_stats_heads(stats); ++head) {
        const uint32_t order = ht_attention_stats_order(stats, head);
        const ht_attention_quality before = ht_attention_stats_quality(stats, head, 0),
                                   after = ht_attention_stats_quality(stats, head, order);
        json_array_append_new(orders, json_integer(order));
        json_array_append_new(qualities, json_pack("[f, f, f, f]", before.density, after.density,
                                                   before.incoherence, after.incoherence));
    }
    return json_pack("{s:[i, i, i, i], s:o, s:o, s:o, s:o}", "grid", (int)g->text, (int)g->frames,
                     (int)g->height, (int)g->width, "orders", orders, "masses",
                     masses_json(stats, true), "natural", masses_json(stats, false), "quality",
                     qualities);
}

static bool write_table(const collector *c) {
    const quantize_options *o = c->run.options;
    json_t *layers = json_object();
    char why[PATH_MAX + 256];
    for (size_t i = 0; i < c->count; ++i) {
        json_object_set_new(layers, c->layers[i].name, layer_json(c->layers[i].stats));
    }
    json_t *root = json_pack("{s:i, s:o}", "version", VERSION, "layers", layers);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    bool good = text != NULL;
    if (!good) {
        quantize_prompts_fail(&c->run, "no memory left for the table of attentions");
    } else if (!ht_file_write(o->attention, text, strlen(text), o->overwrite, why, sizeof(why))) {
        good = quantize_prompts_fail(&c->run, why);
    } else if (!o->quiet) {
        fprintf(stderr, "%zu attentions watched in %.1f s: %s\n", c->count,
                ht_app_seconds() - c->run.start, o->attention);
    }
    free(text);
    json_decref(root);
    return good;
}

bool quantize_attention_collect(const quantize_options *options, const char *prompts,
                                ht_app_log *log, const volatile int *stop) {
    collector *c = calloc(1, sizeof(*c));
    bool good = c != NULL;
    if (good) {
        const ht_pipeline_options observed = {.observe_attention = observe, .observe_user = c};
        c->run = (quantize_prompts){.options = options, .log = log, .stop = stop};
        good = quantize_prompts_open(&c->run, prompts, &observed) &&
               quantize_prompts_run(&c->run, end_prompt, c);
        if (good && c->count == 0) {
            good = quantize_prompts_fail(&c->run, "--attention: the model has no self-attention of "
                                                  "256 tokens of a picture or more");
        }
        good = good && write_table(c);
        for (size_t i = 0; i < c->count; ++i) {
            free(c->layers[i].name);
            ht_attention_stats_destroy(&c->layers[i].stats);
        }
        quantize_prompts_close(&c->run);
    }
    free(c);
    return good;
}

char *quantize_attention_text(const quantize_options *options, ht_app_log *log) {
    json_error_t error;
    json_t *root = json_load_file(options->attention, JSON_REJECT_DUPLICATES, &error), *layer;
    const char *name;
    json_object_foreach(json_object_get(root, "layers"), name, layer) { // for people only
        json_object_del(layer, "natural");
        json_object_del(layer, "quality");
    }
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    if (!text) {
        ht_app_say(log, HT_LOG_ERROR, "'%s' is no table of attentions: %s (line %d)",
                   options->attention, error.text, error.line);
    }
    json_decref(root);
    return text;
}

// The pass that watches attentions: which order of the tokens suits a head, where its mass lies in
// which steps.
#include "attention.h"

#include "common/files.h"
#include "prompts_run.h"

#include <halftone/attention.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 3, MAX_LAYERS = 1024, LEAST_BLOCKS = 4, MOST_GROUPS = 4 };
// Groups of steps share masses when no more than this share of them lies elsewhere.
static const double ALIKE = 0.05;

typedef struct watched {
    char *name;                             // "...attn1"
    ht_attention_stats *stats[MOST_GROUPS]; // of a group of steps each
    ht_attention_stats *all;                // merged when everything was seen
    quantize_attention_error errors[MOST_GROUPS][QUANTIZE_ATTENTION_WAYS];
} watched;

typedef struct collector {
    quantize_prompts run;
    uint32_t groups;
    watched layers[MAX_LAYERS];
    size_t count;
} collector;

// Frames, rows and columns of so many tokens of a latent. False where they make none.
static bool find_grid(const ht_stats_place *latent, uint32_t tokens, ht_attention_grid *grid) {
    const uint64_t width = latent->width, height = latent->height;
    const uint32_t frames = latent->frames > 0 ? latent->frames : 1, of_frame = tokens / frames;
    const double rows = sqrt(of_frame * (double)height / (double)width);
    *grid = (ht_attention_grid){.frames = frames, .height = (uint32_t)lround(rows)};
    if (tokens % frames != 0 || grid->height == 0 || of_frame % grid->height != 0) {
        return false;
    }
    grid->width = of_frame / grid->height;
    return grid->width * height == grid->height * width;
}

static watched *find_layer(collector *c, const char *name, const ht_attention_run *run,
                           const ht_attention_grid *grid) {
    for (size_t i = 0; i < c->count; ++i) {
        if (strcmp(c->layers[i].name, name) == 0) {
            return &c->layers[i];
        }
    }
    if (c->count == MAX_LAYERS) {
        return NULL;
    }
    watched *w = &c->layers[c->count++];
    const uint32_t width = run->q_desc.dims[2] / run->heads;
    ht_status status = HT_OK;
    for (uint32_t i = 0; i <= c->groups && status == HT_OK; ++i) {
        status = ht_attention_stats_create(c->run.context, grid, run->heads, width,
                                           i < c->groups ? &w->stats[i] : &w->all);
    }
    w->name = strdup(name);
    return w->name && status == HT_OK ? w : NULL;
}

// Self-attentions only: their last weight is that of q, k or v of an attn1.
static ht_status observe(void *user, const ht_attention_run *run, const ht_stats_place *place) {
    collector *c = user;
    const char *dot = strrchr(run->layer, '.');
    const size_t length = dot ? (size_t)(dot - run->layer) : 0;
    const uint32_t tokens = run->q_desc.dims[1];
    ht_attention_grid grid;
    char name[512];
    if (*c->run.stop) {
        return HT_ERR_CANCELLED;
    }
    if (length < 5 || length >= sizeof(name) || memcmp(dot - 5, "attn1", 5) != 0 ||
        run->k_desc.dims[1] != tokens || ht_attention_block_count(tokens) < LEAST_BLOCKS ||
        !find_grid(place, tokens, &grid)) {
        return HT_OK;
    }
    snprintf(name, sizeof(name), "%.*s", (int)length, run->layer);
    watched *w = find_layer(c, name, run, &grid);
    ht_status status = HT_OK;
    if (!w) {
        return ht_fail(c->run.context, HT_ERR_NO_MEMORY,
                       "attention: no memory left for the statistics of '%s'", name);
    }
    const uint32_t group = place->step * c->groups / place->steps;
    for (uint32_t b = 0; b < run->q_desc.dims[0] && status == HT_OK; ++b) {
        const uint64_t at = (uint64_t)b * tokens * run->q_desc.dims[2];
        status = ht_attention_stats_add(w->stats[group], run->q + at, run->k + at);
    }
    if (status != HT_OK) {
        return ht_fail(c->run.context, status, "attention: no memory left to watch '%s'", name);
    }
    return quantize_attention_errors(c->run.context, run, w->errors[group]);
}

static bool end_prompt(void *user, bool last) {
    (void)user;
    (void)last;
    return true;
}

static uint64_t map_size(const ht_attention_stats *stats) {
    const uint32_t blocks =
        ht_attention_block_count(ht_attention_grid_tokens(ht_attention_stats_grid(stats)));
    return (uint64_t)blocks * blocks;
}

// Masses of every head in the order that `all` chooses, or with all NULL in the natural one; free().
// NULL without memory.
static float *masses_of(const ht_attention_stats *stats, const ht_attention_stats *all) {
    const uint32_t heads = ht_attention_stats_heads(stats);
    float *masses = malloc(heads * map_size(stats) * sizeof(*masses));
    for (uint32_t head = 0; masses && head < heads; ++head) {
        const uint32_t order = all ? ht_attention_stats_order(all, head) : 0;
        ht_attention_stats_masses(stats, head, order, masses + head * map_size(stats));
    }
    return masses;
}

// As hexadecimal codes.
static json_t *masses_json(const float *masses, uint64_t count) {
    char *text = malloc(2 * count + 1);
    for (uint64_t i = 0; text && masses && i < count; ++i) {
        snprintf(text + 2 * i, 3, "%02x", ht_attention_mass_code(masses[i]));
    }
    json_t *json = text && masses ? json_string(text) : NULL;
    free(text);
    return json;
}

// Share of the masses of all rows that lies elsewhere.
static double moved(const float *a, const float *b, uint64_t count) {
    double difference = 0, all = 0;
    for (uint64_t i = 0; i < count; ++i) {
        difference += fabs((double)a[i] - b[i]);
        all += a[i];
    }
    return all > 0 ? 0.5 * difference / all : 0;
}

// Of each group of steps, or null where they are like those of the group before.
static json_t *groups_json(const collector *c, const watched *w) {
    const uint64_t count = ht_attention_stats_heads(w->all) * map_size(w->all);
    json_t *list = json_array();
    float *last = NULL;
    for (uint32_t i = 0; i < c->groups; ++i) {
        float *masses = masses_of(w->stats[i], w->all);
        if (last && masses && moved(last, masses, count) <= ALIKE) {
            json_array_append_new(list, json_null());
            free(masses);
            continue;
        }
        json_array_append_new(list, masses_json(masses, count));
        free(last);
        last = masses;
    }
    free(last);
    return list;
}

// For people: relative L1 and cosine of four bits and of eight, for each group of steps.
static json_t *errors_json(const collector *c, const watched *w) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < c->groups; ++i) {
        const quantize_attention_error *e = w->errors[i];
        json_array_append_new(list, json_pack("[f, f, f, f]", quantize_attention_l1(&e[0]),
                                              quantize_attention_cosine(&e[0]),
                                              quantize_attention_l1(&e[1]),
                                              quantize_attention_cosine(&e[1])));
    }
    return list;
}

// Of each group of steps.
static json_t *bits_json(const collector *c, const watched *w) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < c->groups; ++i) {
        json_array_append_new(list, json_integer(quantize_attention_bits(w->errors[i])));
    }
    return list;
}

static json_t *layer_json(const collector *c, const watched *w) {
    const ht_attention_stats *stats = w->all;
    const ht_attention_grid *g = ht_attention_stats_grid(stats);
    json_t *orders = json_array(), *qualities = json_array();
    float *natural = masses_of(stats, NULL);
    for (uint32_t head = 0; head < ht_attention_stats_heads(stats); ++head) {
        const uint32_t order = ht_attention_stats_order(stats, head);
        const ht_attention_quality before = ht_attention_stats_quality(stats, head, 0),
                                   after = ht_attention_stats_quality(stats, head, order);
        json_array_append_new(orders, json_integer(order));
        json_array_append_new(qualities, json_pack("[f, f, f, f]", before.density, after.density,
                                                   before.incoherence, after.incoherence));
    }
    json_t *before = masses_json(natural, ht_attention_stats_heads(stats) * map_size(stats));
    free(natural);
    return json_pack("{s:[i, i, i, i], s:o, s:o, s:o, s:o, s:o, s:o}", "grid", (int)g->text,
                     (int)g->frames, (int)g->height, (int)g->width, "bits", bits_json(c, w),
                     "orders", orders, "masses", groups_json(c, w), "errors", errors_json(c, w),
                     "natural", before, "quality", qualities);
}

static bool write_table(const collector *c) {
    const quantize_options *o = c->run.options;
    json_t *layers = json_object();
    char why[PATH_MAX + 256];
    for (size_t i = 0; i < c->count; ++i) {
        const watched *w = &c->layers[i];
        for (uint32_t group = 0; group < c->groups; ++group) {
            ht_attention_stats_merge(w->all, w->stats[group]);
        }
        json_object_set_new(layers, w->name, layer_json(c, w));
    }
    json_t *root = json_pack("{s:i, s:i, s:o}", "version", VERSION, "groups", (int)c->groups,
                             "layers", layers);
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
        good = quantize_prompts_open(&c->run, prompts, &observed);
        if (good) {
            const uint32_t usual = ht_pipeline_get_info(c->run.pipeline)->frames;
            c->run.frames = options->frames ? options->frames : usual;
        }
        c->groups = c->run.steps < MOST_GROUPS ? c->run.steps : MOST_GROUPS;
        good = good && quantize_prompts_run(&c->run, end_prompt, c);
        if (good && c->count == 0) {
            good = quantize_prompts_fail(&c->run, "--attention: the model has no self-attention of "
                                                  "193 tokens of a picture or more");
        }
        good = good && write_table(c);
        for (size_t i = 0; i < c->count; ++i) {
            free(c->layers[i].name);
            ht_attention_stats_destroy(&c->layers[i].all);
            for (uint32_t group = 0; group < c->groups; ++group) {
                ht_attention_stats_destroy(&c->layers[i].stats[group]);
            }
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
        json_object_del(layer, "errors");
    }
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    if (!text) {
        ht_app_say(log, HT_LOG_ERROR, "'%s' is no table of attentions: %s (line %d)",
                   options->attention, error.text, error.line);
    }
    json_decref(root);
    return text;
}

// Statistics in memory: inputs, the layers that read them, and their arrays.
#include "stats_internal.h"

#include <string.h>

ht_status ht_stats_create(ht_context *context, const ht_stats_desc *desc, ht_stats **out) {
    ht_stats *s = ht_alloc(context, sizeof *s);
    *out = s;
    if (s == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    s->context = context;
    s->desc = *desc;
    s->conditions = ht_strdup(context, desc->conditions != NULL ? desc->conditions : "{}");
    s->desc.conditions = s->conditions;
    if (s->conditions == NULL) {
        ht_stats_destroy(out);
        return HT_ERR_NO_MEMORY;
    }
    return HT_OK;
}

static void free_input(ht_context *context, ht_input_stats *s) {
    ht_stats_array arrays[HT_STATS_ARRAYS];
    const uint32_t count = ht_stats_arrays(s, arrays);
    for (uint32_t i = 0; i < count; i++) {
        ht_free(context, *arrays[i].memory);
    }
    ht_free(context, s->row_steps);
    ht_free(context, (char *)s->name);
}

void ht_stats_destroy(ht_stats **stats) {
    ht_stats *s = *stats;
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->n_inputs; i++) {
        free_input(s->context, &s->inputs[i].s);
    }
    for (uint32_t i = 0; i < s->n_layers; i++) {
        ht_free(s->context, s->layers[i].name);
    }
    ht_free(s->context, s->inputs);
    ht_free(s->context, s->layers);
    ht_free(s->context, s->timesteps);
    ht_free(s->context, s->scratch);
    ht_free(s->context, s->conditions);
    ht_free(s->context, s);
    *stats = NULL;
}

// The largest divisor of `count` that is at most `limit`.
static uint32_t largest_divisor(uint32_t count, uint32_t limit) {
    uint32_t divisor = count < limit ? count : limit;
    while (divisor > 1 && count % divisor != 0) {
        divisor--;
    }
    return divisor;
}

void ht_stats_size_input(const ht_stats *stats, ht_input_stats *s) {
    s->columns = s->width * s->kernel_h * s->kernel_w;
    s->n_rows = (stats->desc.rows + s->steps - 1) / s->steps * s->steps;
    if (!stats->desc.gram || stats->desc.gram_width == 0) {
        return;
    }
    s->gram_pixels = s->columns > stats->desc.gram_width && s->columns != s->width;
    const uint32_t across = s->gram_pixels ? s->width : s->columns;
    s->gram_block = largest_divisor(across, stats->desc.gram_width);
    s->gram_blocks = across / s->gram_block;
}

uint32_t ht_stats_arrays(ht_input_stats *s, ht_stats_array out[HT_STATS_ARRAYS]) {
    const uint64_t steps = s->steps, bins = HT_HISTOGRAM_BINS, block = s->gram_block;
    const uint64_t range = sizeof(ht_step_range) / sizeof(double);
    const ht_stats_array all[HT_STATS_ARRAYS] = {
        {"ranges", "F64", (void **)&s->ranges, 2, {steps, range}, steps * range, 8},
        {"histograms", "F64", (void **)&s->histograms, 2, {steps, bins}, steps * bins, 8},
        {"channel_max", "F32", (void **)&s->channel_max, 2, {steps, s->width}, steps * s->width, 4},
        {"gram", "F32", (void **)&s->gram, 3, {s->gram_blocks, block, block},
         s->gram_blocks * block * block, 4},
        {"rows", "F16", (void **)&s->rows, 2, {s->n_rows, s->columns},
         (uint64_t)s->n_rows * s->columns, 4},
        {"token_max", "F64", (void **)&s->token_max, 1, {s->tokens}, s->tokens, 8},
        {"token_sum", "F64", (void **)&s->token_sum, 1, {s->tokens}, s->tokens, 8},
        {"first_token", "F32", (void **)&s->first_token, 1, {s->width},
         s->tokens != 0 ? s->width : 0, 4},
    };
    uint32_t count = 0;
    for (uint32_t i = 0; i < HT_STATS_ARRAYS; i++) {
        if (all[i].count != 0) {
            out[count++] = all[i];
        }
    }
    return count;
}

ht_status ht_stats_add_input(ht_stats *stats, const ht_input_stats *like, uint32_t *index) {
    ht_context *c = stats->context;
    ht_stats_array arrays[HT_STATS_ARRAYS];
    ht_stats_input *grown =
        ht_realloc(c, stats->inputs, (stats->n_inputs + 1) * sizeof *stats->inputs);
    if (grown == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    stats->inputs = grown;
    *index = stats->n_inputs++;
    ht_input_stats *s = &grown[*index].s;
    grown[*index] = (ht_stats_input){.s = {.name = ht_strdup(c, like->name),
                                           .stage = like->stage,
                                           .width = like->width,
                                           .kernel_h = like->kernel_h,
                                           .kernel_w = like->kernel_w,
                                           .steps = like->steps,
                                           .tokens = like->tokens}};
    ht_stats_size_input(stats, s);
    bool good = s->name != NULL;
    const uint32_t count = ht_stats_arrays(s, arrays);
    for (uint32_t i = 0; good && i < count; i++) {
        *arrays[i].memory = ht_alloc(c, arrays[i].count * arrays[i].size);
        good = *arrays[i].memory != NULL;
    }
    s->row_steps = good ? ht_alloc(c, (s->n_rows + 1) * sizeof *s->row_steps) : NULL;
    for (uint32_t r = 0; s->row_steps != NULL && r < s->n_rows; r++) {
        s->row_steps[r] = r % s->steps;
    }
    return s->row_steps != NULL ? HT_OK : HT_ERR_NO_MEMORY;
}

ht_status ht_stats_add_layer(ht_stats *stats, const char *name, uint32_t input) {
    ht_context *c = stats->context;
    ht_stats_layer_entry *grown =
        ht_realloc(c, stats->layers, (stats->n_layers + 1) * sizeof *stats->layers);
    if (grown == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    stats->layers = grown;
    grown[stats->n_layers] = (ht_stats_layer_entry){ht_strdup(c, name), input};
    return grown[stats->n_layers++].name != NULL ? HT_OK : HT_ERR_NO_MEMORY;
}

void ht_stats_end_prompt(ht_stats *stats) {
    stats->prompts++;
}

uint32_t ht_stats_prompts(const ht_stats *stats) {
    return stats->prompts;
}

const char *ht_stats_conditions(const ht_stats *stats) {
    return stats->conditions;
}

const float *ht_stats_timesteps(const ht_stats *stats, uint32_t *count) {
    *count = stats->n_timesteps;
    return stats->timesteps;
}

uint32_t ht_stats_count(const ht_stats *stats) {
    return stats->n_inputs;
}

const ht_input_stats *ht_stats_get(const ht_stats *stats, uint32_t index) {
    return index < stats->n_inputs ? &stats->inputs[index].s : NULL;
}

const ht_input_stats *ht_stats_find(const ht_stats *stats, const char *layer) {
    for (uint32_t i = 0; i < stats->n_layers; i++) {
        if (strcmp(stats->layers[i].name, layer) == 0) {
            return &stats->inputs[stats->layers[i].input].s;
        }
    }
    return NULL;
}

bool ht_stats_layer(const ht_stats *stats, uint32_t index, const char **layer,
                    const ht_input_stats **input) {
    if (index >= stats->n_layers) {
        return false;
    }
    *layer = stats->layers[index].name;
    *input = &stats->inputs[stats->layers[index].input].s;
    return true;
}

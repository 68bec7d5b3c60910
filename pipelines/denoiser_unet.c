// UNets of the Stable Diffusion family as a pipeline's denoiser.
#include "pipeline_internal.h"

#include <string.h>

static ht_status read(ht_pipeline *p, const char *folder, const ht_weights *weights) {
    (void)weights;
    ht_status status = folder ? ht_unet_config_read(p->context, folder, &p->unet) : HT_OK;
    p->unet.recipe = p->recipe;
    p->unet.attention = &p->attention;
    if (status == HT_OK && !p->unet_plan) {
        p->unet_plan = ht_alloc(p->context, sizeof(*p->unet_plan));
        status = p->unet_plan ? HT_OK : HT_ERR_NO_MEMORY;
    }
    if (status == HT_OK) {
        ht_unet_plan_make(&p->unet, p->unet_plan);
    }
    return status;
}

static void shape(const ht_pipeline *p, ht_denoiser_shape *out) {
    const ht_unet_config *c = &p->unet;
    *out = (ht_denoiser_shape){
        .in_channels = c->in_channels,
        .out_channels = c->out_channels,
        .sample_size = c->sample_size,
        .multiple = 1u << (c->levels - 1),
        .token_area = 1,
        .text_width = c->cross_dim,
        .pooled_width = c->time_ids_dim > 0 ? c->added_dim - HT_UNET_TIME_IDS * c->time_ids_dim : 0,
        .text_layers = p->unet_plan->layers,
        .table = {p->unet_plan->rows},
        .table_per_item = c->time_ids_dim > 0,
        .embeds_guidance = c->guidance_dim > 0,
    };
}

static ht_status map(const ht_pipeline *p, ht_weight_map *out) {
    return ht_unet_weight_map(p->context, &p->unet, out);
}

static uint32_t layer_width(const ht_pipeline *p, uint32_t layer) {
    return ht_unet_layer_width(p->unet_plan, layer);
}

static void text_layer(const ht_pipeline *p, uint32_t layer, const char *leaf,
                       char name[HT_NAME_BYTES]) {
    ht_unet_text_layer(p->unet_plan, layer, leaf, name);
}

// Extra 0 is the guidance scale as LCM embeds it, 1 SDXL's sizes: original, crop, target.
static size_t extras(const ht_run *run, uint32_t index, uint32_t rows, float *values) {
    const ht_unet_config *c = &run->pipeline->unet;
    if (index == 0) {
        for (uint32_t i = 0; values && c->guidance_dim > 0 && i < rows; ++i) {
            values[i] = 1000 * (run->cfg_scale - 1);
        }
        return c->guidance_dim > 0 ? rows : 0;
    }
    uint32_t items = run->guided ? 2 : 1;
    const float sizes[HT_UNET_TIME_IDS] = {(float)run->height, (float)run->width, 0, 0,
                                           (float)run->height, (float)run->width};
    for (uint32_t b = 0; values && c->time_ids_dim > 0 && b < items; ++b) {
        memcpy(values + b * HT_UNET_TIME_IDS, sizes, sizeof(sizes));
    }
    return c->time_ids_dim > 0 ? (size_t)items * HT_UNET_TIME_IDS : 0;
}

static ht_value time_table(ht_pipeline *p, ht_graph *g, const ht_time_values *in) {
    ht_unet_conditions conditions = {.timesteps = in->timesteps,
                                     .guidance = in->extras[0],
                                     .pooled = in->pooled,
                                     .time_ids = in->extras[1]};
    return ht_unet_time(g, &p->unet, p->parts[PART_DENOISER].weights, &conditions);
}

static void context(ht_pipeline *p, ht_graph *g, ht_value text, ht_value *keys, ht_value *values) {
    ht_unet_context(g, &p->unet, p->parts[PART_DENOISER].weights, text, keys, values);
}

static ht_value step(ht_pipeline *p, ht_graph *g, const ht_step_values *in) {
    ht_unet_inputs inputs = {.latent = in->latent,
                             .table = in->table,
                             .step = in->step,
                             .keys = in->keys,
                             .values = in->values,
                             .control = in->control,
                             .scales = in->scales};
    return ht_unet_step(g, &p->unet, p->parts[PART_DENOISER].weights, &inputs);
}

// The outermost level: the feed-forward's gated layer, a concatenated input, what is kept for the
// way up; for two prompts.
static uint64_t bytes(const ht_pipeline *p, uint64_t height, uint64_t width) {
    return 2 * height * width * p->unet.channels[0] * (8 + 2 + 6) * 2;
}

const ht_denoiser ht_denoiser_unet = {.read = read,
                                      .shape = shape,
                                      .map = map,
                                      .layer_width = layer_width,
                                      .text_layer = text_layer,
                                      .extras = extras,
                                      .time = time_table,
                                      .context = context,
                                      .step = step,
                                      .bytes = bytes};

// Wan as a pipeline's denoiser.
#include "pipeline_internal.h"

static ht_status read(ht_pipeline *p, const char *folder, const ht_weights *weights) {
    (void)weights;
    ht_status status = ht_wan_config_read(p->context, folder, &p->wan);
    p->wan.recipe = p->recipe;
    p->wan.attention = &p->attention;
    return status;
}

static uint32_t width_of(const ht_pipeline *p) {
    return p->wan.heads * p->wan.head_dim;
}

// 832 x 480 pixels, five seconds at 16 frames a second, as the published models are trained.
static void shape(const ht_pipeline *p, ht_denoiser_shape *out) {
    *out = (ht_denoiser_shape){
        .in_channels = p->wan.in_channels,
        .out_channels = p->wan.out_channels,
        .sample_size = 60,
        .sample_width = 104,
        .frames = 81,
        .fps = 16,
        .multiple = p->wan.patch,
        .token_area = p->wan.patch * p->wan.patch,
        .text_width = p->wan.text_channels,
        .text_layers = p->wan.layers,
        .image_layers = p->wan.image_channels > 0 ? p->wan.layers : 0,
        .image_width = p->wan.image_channels,
        .table = {ht_wan_modulations(&p->wan), width_of(p)},
        .wide_range = true,
    };
}

static ht_status map(const ht_pipeline *p, ht_weight_map *out) {
    return ht_wan_weight_map(p->context, &p->wan, out);
}

static ht_value time_table(ht_pipeline *p, ht_graph *g, const ht_time_values *in) {
    return ht_wan_time(g, &p->wan, p->parts[PART_DENOISER].weights, in->timesteps);
}

static void context(ht_pipeline *p, ht_graph *g, ht_value text, ht_value *keys, ht_value *values) {
    ht_wan_context(g, &p->wan, p->parts[PART_DENOISER].weights, text, keys, values);
}

static void image(ht_pipeline *p, ht_graph *g, ht_value tokens, ht_value *keys, ht_value *values) {
    ht_wan_image_context(g, &p->wan, p->parts[PART_DENOISER].weights, tokens, keys, values);
}

static ht_value step(ht_pipeline *p, ht_graph *g, const ht_step_values *in) {
    const ht_wan_inputs inputs = {.latent = in->latent,
                                  .frames = in->frames,
                                  .modulation = in->table,
                                  .step = in->step,
                                  .keys = in->keys,
                                  .values = in->values,
                                  .image_keys = in->image_keys,
                                  .image_values = in->image_values,
                                  .scales = in->scales};
    return ht_wan_step(g, &p->wan, p->parts[PART_DENOISER].weights, &inputs);
}

// The hidden layer of the feed-forward, queries, keys, values and residuals, for two prompts.
static uint64_t bytes(const ht_pipeline *p, uint64_t height, uint64_t width) {
    uint64_t tokens = height * width / (p->wan.patch * p->wan.patch);
    return 2 * tokens * (p->wan.ffn + 5 * (uint64_t)width_of(p)) * 4;
}

const ht_denoiser ht_denoiser_wan = {.read = read,
                                     .folder_only = true,
                                     .shape = shape,
                                     .map = map,
                                     .time = time_table,
                                     .context = context,
                                     .image = image,
                                     .step = step,
                                     .bytes = bytes};

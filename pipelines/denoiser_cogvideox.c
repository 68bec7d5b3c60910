// CogVideoX as a pipeline's denoiser.
#include "pipeline_internal.h"

static ht_status read(ht_pipeline *p, const char *folder, const ht_weights *weights) {
    (void)weights;
    ht_status status = ht_cogvideox_config_read(p->context, folder, &p->cogvideox);
    p->cogvideox.recipe = p->recipe;
    p->cogvideox.attention = &p->attention;
    return status;
}

static uint32_t width_of(const ht_pipeline *p) {
    return p->cogvideox.heads * p->cogvideox.head_dim;
}

// Eight frames a second, as the published models are trained. 5B was released in bf16.
static void shape(const ht_pipeline *p, ht_denoiser_shape *out) {
    *out = (ht_denoiser_shape){
        .in_channels = p->cogvideox.in_channels,
        .out_channels = p->cogvideox.out_channels,
        .sample_size = p->cogvideox.sample_rows,
        .sample_width = p->cogvideox.sample_columns,
        .frames = p->cogvideox.sample_frames,
        .fps = 8,
        .multiple = p->cogvideox.patch,
        .token_area = p->cogvideox.patch * p->cogvideox.patch,
        .text_width = p->cogvideox.text_channels,
        .text_layers = 1,
        .joint_text = true,
        .table = {ht_cogvideox_modulations(&p->cogvideox), width_of(p)},
        .wide_range = p->cogvideox.rotary,
        .frames_first = true,
    };
}

static ht_status map(const ht_pipeline *p, ht_weight_map *out) {
    return ht_cogvideox_weight_map(p->context, &p->cogvideox, out);
}

static ht_value time_table(ht_pipeline *p, ht_graph *g, const ht_time_values *in) {
    return ht_cogvideox_time(g, &p->cogvideox, p->parts[PART_DENOISER].weights, in->timesteps);
}

static void context(ht_pipeline *p, ht_graph *g, ht_value text, ht_value *keys, ht_value *values) {
    (void)values;
    keys[0] = ht_cogvideox_text(g, &p->cogvideox, p->parts[PART_DENOISER].weights, text);
}

static ht_value step(ht_pipeline *p, ht_graph *g, const ht_step_values *in) {
    const ht_cogvideox_inputs inputs = {.latent = in->latent,
                                        .frames = in->frames,
                                        .modulation = in->table,
                                        .step = in->step,
                                        .text = in->keys[0],
                                        .scales = in->scales};
    return ht_cogvideox_step(g, &p->cogvideox, p->parts[PART_DENOISER].weights, &inputs);
}

// The hidden layer of the feed-forward, queries, keys, values and residuals, for two prompts.
static uint64_t bytes(const ht_pipeline *p, uint64_t height, uint64_t width) {
    const uint64_t area = (uint64_t)p->cogvideox.patch * p->cogvideox.patch;
    const uint64_t tokens = height * width / area + p->cogvideox.text_tokens;
    return 2 * tokens * 10 * width_of(p) * 4;
}

const ht_denoiser ht_denoiser_cogvideox = {.read = read,
                                           .folder_only = true,
                                           .shape = shape,
                                           .map = map,
                                           .time = time_table,
                                           .context = context,
                                           .step = step,
                                           .bytes = bytes};

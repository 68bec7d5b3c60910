// PixArt as a pipeline's denoiser.
#include "pipeline_internal.h"

static ht_status read(ht_pipeline *p, const char *folder, const ht_weights *weights) {
    ht_status status = ht_pixart_config_read(p->context, folder, weights, &p->dit);
    p->dit.recipe = p->recipe;
    p->dit.attention = &p->attention;
    return status;
}

static void shape(const ht_pipeline *p, ht_denoiser_shape *out) {
    uint32_t width = p->dit.heads * p->dit.head_dim;
    *out = (ht_denoiser_shape){
        .in_channels = p->dit.in_channels,
        .out_channels = p->dit.out_channels,
        .sample_size = p->dit.sample_size,
        .multiple = p->dit.patch,
        .token_area = p->dit.patch * p->dit.patch,
        .text_width = p->dit.caption_channels > 0 ? p->dit.caption_channels : width,
        .text_layers = p->dit.layers,
        .table = {ht_pixart_modulations(&p->dit), width},
        .masked = true,
    };
}

static ht_status map(const ht_pipeline *p, ht_weight_map *out) {
    return ht_pixart_weight_map(p->context, &p->dit, out);
}

// Extra 0 is the resolution, 1 the aspect ratio; the same for all timesteps.
static size_t extras(const ht_run *run, uint32_t index, uint32_t rows, float *values) {
    if (!run->pipeline->dit.additional_conditions) {
        return 0;
    }
    for (uint32_t i = 0; values && i < rows; ++i) {
        if (index == 0) {
            values[2 * i] = (float)run->height;
            values[2 * i + 1] = (float)run->width;
        } else {
            values[i] = (float)run->height / (float)run->width;
        }
    }
    return index == 0 ? 2 * (size_t)rows : rows;
}

static ht_value time_table(ht_pipeline *p, ht_graph *g, const ht_time_values *in) {
    return ht_pixart_time(g, &p->dit, p->parts[PART_DENOISER].weights, in->timesteps, in->extras[0],
                          in->extras[1]);
}

static void context(ht_pipeline *p, ht_graph *g, ht_value text, ht_value *keys, ht_value *values) {
    ht_pixart_context(g, &p->dit, p->parts[PART_DENOISER].weights, text, keys, values);
}

static ht_value step(ht_pipeline *p, ht_graph *g, const ht_step_values *in) {
    ht_pixart_inputs inputs = {.latent = in->latent,
                               .modulation = in->table,
                               .step = in->step,
                               .keys = in->keys,
                               .values = in->values,
                               .mask = in->mask,
                               .scales = in->scales};
    return ht_pixart_step(g, &p->dit, p->parts[PART_DENOISER].weights, &inputs);
}

// The hidden layer of the feed-forward and a few residuals, for two prompts.
static uint64_t bytes(const ht_pipeline *p, uint64_t height, uint64_t width) {
    uint64_t tokens = height * width / (p->dit.patch * p->dit.patch);
    return 2 * tokens * p->dit.heads * p->dit.head_dim * 8 * 2;
}

const ht_denoiser ht_denoiser_pixart = {.read = read,
                                        .shape = shape,
                                        .map = map,
                                        .extras = extras,
                                        .time = time_table,
                                        .context = context,
                                        .step = step,
                                        .bytes = bytes};

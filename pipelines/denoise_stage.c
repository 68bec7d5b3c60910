// The denoiser: modulation of all timesteps, context of the prompt, and the step that is replayed.
#include "pipeline_internal.h"

static void destroy_graphs(ht_denoise_stage *s) {
    ht_graph_destroy(&s->time_graph);
    ht_graph_destroy(&s->context_graph);
    ht_graph_destroy(&s->step_graph);
}

void ht_denoise_release(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    destroy_graphs(s);
    ht_tensor_destroy(&s->timesteps);
    ht_tensor_destroy(&s->resolution);
    ht_tensor_destroy(&s->aspect);
    ht_tensor_destroy(&s->modulation);
    for (uint32_t i = 0; i < HT_PIXART_MAX_LAYERS; ++i) {
        ht_tensor_destroy(&s->keys[i]);
        ht_tensor_destroy(&s->values[i]);
    }
    ht_tensor_destroy(&s->mask);
    ht_tensor_destroy(&s->latent);
    ht_tensor_destroy(&s->step);
    ht_tensor_destroy(&s->prediction);
    ht_free(p->context, s->host);
    *s = (ht_denoise_stage){0};
}

// All timesteps of the schedule -> modulation table. The picture's size is the same for all.
static ht_status run_time(ht_run *run, const float *timesteps, uint32_t rows) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    bool first = s->time_graph == NULL;
    ht_status status = HT_OK;
    if (first) {
        bool more = p->dit.additional_conditions;
        status = ht_stage_graph(p, "timesteps", HT_FORMAT_F32, &s->time_graph);
        if (status == HT_OK) {
            ht_graph *g = s->time_graph;
            ht_value table = ht_pixart_time(g, &p->dit, p->parts[PART_DENOISER].weights,
                                            ht_graph_tensor(g, s->timesteps),
                                            more ? ht_graph_tensor(g, s->resolution) : HT_NO_VALUE,
                                            more ? ht_graph_tensor(g, s->aspect) : HT_NO_VALUE);
            ht_graph_output(g, table, s->modulation);
            status = ht_graph_finish(g);
        }
    }
    float *numbers = status == HT_OK ? ht_alloc(p->context, 3 * rows * sizeof(*numbers)) : NULL;
    if (status == HT_OK && !numbers) {
        status = HT_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < rows && numbers; ++i) {
        numbers[2 * i] = (float)run->height;
        numbers[2 * i + 1] = (float)run->width;
        numbers[2 * rows + i] = (float)run->height / (float)run->width;
    }
    if (status == HT_OK) {
        status = ht_tensor_write_f32(s->timesteps, timesteps, rows);
    }
    if (status == HT_OK && p->dit.additional_conditions) {
        status = ht_tensor_write_f32(s->resolution, numbers, 2 * rows);
        if (status == HT_OK) {
            status = ht_tensor_write_f32(s->aspect, numbers + 2 * rows, rows);
        }
    }
    ht_free(p->context, numbers);
    return status == HT_OK ? ht_stage_run(p, s->time_graph, first) : status;
}

// Text -> keys and values of every block, and the mask that hides the padding.
static ht_status run_context(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    uint32_t length = p->info.max_tokens;
    size_t count = (size_t)s->batch * length;
    bool first = s->context_graph == NULL;
    ht_status status = HT_OK;
    if (first) {
        status = ht_stage_graph(p, "context", p->activations, &s->context_graph);
        if (status == HT_OK) {
            ht_value keys[HT_PIXART_MAX_LAYERS], values[HT_PIXART_MAX_LAYERS];
            ht_graph *g = s->context_graph;
            ht_pixart_context(g, &p->dit, p->parts[PART_DENOISER].weights,
                              ht_graph_tensor(g, p->text.embeds), keys, values);
            for (uint32_t i = 0; i < p->dit.layers; ++i) {
                ht_graph_output(g, keys[i], s->keys[i]);
                ht_graph_output(g, values[i], s->values[i]);
            }
            status = ht_graph_finish(g);
        }
    }
    float *mask = status == HT_OK ? ht_alloc(p->context, count * sizeof(*mask)) : NULL;
    if (status == HT_OK && !mask) {
        status = HT_ERR_NO_MEMORY;
    }
    for (uint32_t b = 0; b < s->batch && mask; ++b) {
        for (uint32_t i = 0; i < length; ++i) {
            mask[(size_t)b * length + i] = i < p->text.tokens[b] ? 0.0f : -10000.0f;
        }
    }
    if (status == HT_OK) {
        status = ht_tensor_write_f32(s->mask, mask, count);
    }
    ht_free(p->context, mask);
    return status == HT_OK ? ht_stage_run(p, s->context_graph, first) : status;
}

static ht_status make_text_tensors(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    uint32_t length = p->info.max_tokens, width = p->dit.heads * p->dit.head_dim;
    uint32_t wide[6] = {s->batch, length, width}, flat[6] = {s->batch, length};
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < p->dit.layers && status == HT_OK; ++i) {
        status = ht_stage_tensor(p, p->activations, wide, "keys", &s->keys[i]);
        if (status == HT_OK) {
            status = ht_stage_tensor(p, p->activations, wide, "values", &s->values[i]);
        }
    }
    return status == HT_OK ? ht_stage_tensor(p, HT_FORMAT_F32, flat, "padding mask", &s->mask)
                           : status;
}

static ht_status make_step_tensors(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    uint32_t width = p->dit.heads * p->dit.head_dim, rows = s->rows;
    const struct {
        ht_format format;
        uint32_t dims[HT_MAX_RANK];
        const char *label;
        ht_tensor **out;
    } list[] = {
        {HT_FORMAT_F32, {rows}, "timesteps", &s->timesteps},
        {HT_FORMAT_F32, {2 * rows}, "resolution", &s->resolution},
        {HT_FORMAT_F32, {rows}, "aspect ratio", &s->aspect},
        {HT_FORMAT_F32,
         {rows, ht_pixart_modulations(&p->dit), width},
         "modulation",
         &s->modulation},
        {HT_FORMAT_F32, {s->batch, s->height, s->width, p->dit.in_channels}, "latent", &s->latent},
        {HT_FORMAT_I32, {1}, "step", &s->step},
        {HT_FORMAT_F32,
         {s->batch, s->height, s->width, p->dit.out_channels},
         "prediction",
         &s->prediction},
    };
    ht_status status = HT_OK;
    for (size_t i = 0; i < sizeof(list) / sizeof(*list) && status == HT_OK; ++i) {
        status = ht_stage_tensor(p, list[i].format, list[i].dims, list[i].label, list[i].out);
    }
    size_t channels =
        p->dit.in_channels > p->dit.out_channels ? p->dit.in_channels : p->dit.out_channels;
    s->host = ht_alloc(p->context, s->batch * channels * s->height * s->width * sizeof(*s->host));
    return status == HT_OK && !s->host ? HT_ERR_NO_MEMORY : status;
}

static ht_status build_step(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    ht_status status = ht_stage_graph(p, "step", p->activations, &s->step_graph);
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = s->step_graph;
    ht_value keys[HT_PIXART_MAX_LAYERS], values[HT_PIXART_MAX_LAYERS];
    for (uint32_t i = 0; i < p->dit.layers; ++i) {
        keys[i] = ht_graph_tensor(g, s->keys[i]);
        values[i] = ht_graph_tensor(g, s->values[i]);
    }
    ht_pixart_inputs inputs = {
        .latent = ht_graph_tensor(g, s->latent),
        .modulation = ht_graph_tensor(g, s->modulation),
        .step = ht_graph_tensor(g, s->step),
        .keys = keys,
        .values = values,
        .mask = ht_graph_tensor(g, s->mask),
    };
    ht_value out = ht_pixart_step(g, &p->dit, p->parts[PART_DENOISER].weights, &inputs);
    ht_graph_output(g, out, s->prediction);
    return ht_graph_finish(g);
}

ht_status ht_denoise_prepare(ht_run *run, const float *timesteps, uint32_t count) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    ht_status status = ht_part_open(p, PART_DENOISER);
    bool same = s->batch == p->text.batch && s->rows == count && s->height == run->latent_height &&
                s->width == run->latent_width;
    if (status == HT_OK && !same) {
        ht_denoise_release(p);
        s->batch = p->text.batch;
        s->rows = count;
        s->height = run->latent_height;
        s->width = run->latent_width;
        status = make_text_tensors(p);
        if (status == HT_OK) {
            status = make_step_tensors(p);
        }
    }
    if (status == HT_OK) {
        status = run_time(run, timesteps, count);
    }
    if (status == HT_OK && !s->context_ready) {
        status = run_context(run);
        s->context_ready = status == HT_OK;
    }
    if (status == HT_OK && !s->step_graph) {
        status = build_step(p);
    }
    if (status == HT_OK) {
        ht_part_account(p, PART_DENOISER, s->step_graph, run->report);
    } else {
        ht_denoise_release(p);
    }
    return status;
}

ht_status ht_denoise_predict(ht_run *run, uint32_t step, const float *input, float *prediction) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    uint32_t in = p->dit.in_channels, out = p->dit.out_channels;
    size_t positions = (size_t)s->height * s->width, item = positions * in;
    int32_t row = (int32_t)step;
    for (uint32_t b = 0; b < s->batch; ++b) {
        ht_planes_to_pixels(input, in, positions, s->host + b * item);
    }
    ht_status status = ht_tensor_write_f32(s->latent, s->host, s->batch * item);
    if (status == HT_OK) {
        status = ht_tensor_write(s->step, &row, sizeof(row));
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, s->step_graph, step == 0);
    }
    if (status == HT_OK) {
        status = ht_tensor_read_f32(s->prediction, s->host, s->batch * positions * out);
    }
    if (status != HT_OK) {
        return status;
    }
    if (s->batch == 2) { // the negative prompt first
        ht_guidance(s->host, s->host + positions * out, run->cfg_scale, positions * out, s->host);
    }
    // Of a model that learned the variance too, the first channels are the prediction.
    for (uint32_t c = 0; c < in; ++c) {
        for (size_t i = 0; i < positions; ++i) {
            prediction[c * positions + i] = s->host[i * out + c];
        }
    }
    return HT_OK;
}

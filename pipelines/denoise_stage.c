// The denoiser: a table of all timesteps, context of the prompt, and the step that is replayed.
#include "pipeline_internal.h"

static void destroy_graphs(ht_denoise_stage *s) {
    ht_graph_destroy(&s->time_graph);
    ht_graph_destroy(&s->context_graph);
    ht_graph_destroy(&s->step_graph);
}

void ht_denoise_release(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    destroy_graphs(s);
    ht_control_release(p);
    ht_tensor_destroy(&s->timesteps);
    for (uint32_t i = 0; i < HT_TIME_EXTRAS; ++i) {
        ht_tensor_destroy(&s->extras[i]);
    }
    ht_tensor_destroy(&s->table);
    for (uint32_t i = 0; i < HT_MAX_TEXT_LAYERS; ++i) {
        ht_tensor_destroy(&s->keys[i]);
        ht_tensor_destroy(&s->values[i]);
    }
    ht_tensor_destroy(&s->mask);
    ht_tensor_destroy(&s->latent);
    ht_tensor_destroy(&s->step);
    ht_tensor_destroy(&s->group);
    ht_tensor_destroy(&s->prediction);
    ht_tensor_destroy(&s->scales);
    ht_free(p->context, s->scale_row);
    ht_free(p->context, s->host);
    *s = (ht_denoise_stage){0};
}

// Rows of the time table: one per timestep, or one per timestep and text.
static uint32_t table_rows(const ht_pipeline *p) {
    return p->denoise.rows * (p->shape.table_per_item ? p->text.batch : 1);
}

// Items of a value, each for `times` in a row of the batch.
static ht_value spread(ht_pipeline *p, ht_graph *g, ht_value items, uint32_t times) {
    int32_t rows[2 * HT_MAX_BATCH];
    const ht_denoise_stage *s = &p->denoise;
    for (uint32_t b = 0; b < s->batch; ++b) {
        rows[b] = (int32_t)(b / times);
    }
    if (times == 1) {
        return items;
    }
    const ht_tensor_desc desc = {
        .format = HT_FORMAT_I32, .rank = 1, .dims = {s->batch}, .label = "texts"};
    return ht_op_embedding(g, items, ht_graph_constant(g, &desc, rows));
}

ht_value ht_denoise_spread(ht_pipeline *p, ht_graph *g, ht_value items) {
    return spread(p, g, items, p->denoise.pictures);
}

static ht_value optional(ht_graph *g, ht_tensor *tensor) {
    return tensor ? ht_graph_tensor(g, tensor) : HT_NO_VALUE;
}

static ht_status build_time(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    ht_status status = ht_stage_graph(p, "timesteps", HT_FORMAT_F32, &s->time_graph);
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = s->time_graph;
    ht_time_values in = {.timesteps = ht_graph_tensor(g, s->timesteps),
                         .pooled = optional(g, p->shape.pooled_width > 0 ? p->text.pooled : NULL)};
    for (uint32_t i = 0; i < HT_TIME_EXTRAS; ++i) {
        in.extras[i] = optional(g, s->extras[i]);
    }
    ht_graph_output(g, p->family->denoiser->time(p, g, &in), s->table);
    return ht_graph_finish(g);
}

uint32_t ht_denoise_layer_width(const ht_pipeline *p, uint32_t layer) {
    const ht_denoiser *denoiser = p->family->denoiser;
    return denoiser->layer_width ? denoiser->layer_width(p, layer) : p->shape.table[1];
}

static size_t extras(const ht_run *run, uint32_t index, uint32_t rows, float *values) {
    const ht_denoiser *denoiser = run->pipeline->family->denoiser;
    return denoiser->extras ? denoiser->extras(run, index, rows, values) : 0;
}

static ht_status write_times(ht_run *run, const float *timesteps) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    uint32_t rows = table_rows(p), items = rows / s->rows;
    size_t most = rows;
    for (uint32_t i = 0; i < HT_TIME_EXTRAS; ++i) {
        size_t count = extras(run, i, rows, NULL);
        most = count > most ? count : most;
    }
    float *numbers = ht_alloc(p->context, most * sizeof(*numbers));
    if (!numbers) {
        return HT_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < rows; ++i) {
        numbers[i] = timesteps[i / items];
    }
    ht_status status = ht_tensor_write_f32(s->timesteps, numbers, rows);
    for (uint32_t i = 0; i < HT_TIME_EXTRAS && status == HT_OK; ++i) {
        size_t count = extras(run, i, rows, numbers);
        status = count > 0 ? ht_tensor_write_f32(s->extras[i], numbers, count) : HT_OK;
    }
    ht_free(p->context, numbers);
    return status;
}

typedef struct observer {
    ht_pipeline *pipeline;
    ht_stats_place place;
} observer;

static ht_status observe(void *user, const ht_layer_run *run) {
    const observer *o = user;
    const ht_pipeline_options *options = &o->pipeline->options;
    return options->observe(options->observe_user, run, &o->place);
}

static ht_status observe_attention(void *user, const ht_attention_run *run) {
    const observer *o = user;
    const ht_pipeline_options *options = &o->pipeline->options;
    return options->observe_attention(options->observe_user, run, &o->place);
}

// Run a graph of the denoiser, layer by layer where somebody wants to see them.
static ht_status run_graph(ht_pipeline *p, ht_graph *graph, bool first,
                           const ht_stats_place *place) {
    observer o = {p, *place};
    if (p->options.observe_attention) {
        return ht_graph_observe_attentions(graph, observe_attention, &o);
    }
    if (!p->options.observe) {
        return ht_stage_run(p, graph, first);
    }
    return ht_graph_observe(graph, p->options.observe_results, observe, &o);
}

// All timesteps of the schedule -> the table. The picture's size is the same for all.
static ht_status run_time(ht_run *run, const float *timesteps) {
    ht_pipeline *p = run->pipeline;
    bool first = p->denoise.time_graph == NULL;
    ht_status status = first ? build_time(p) : HT_OK;
    if (status == HT_OK) {
        status = write_times(run, timesteps);
    }
    const ht_stats_place place = {.stage = HT_STATS_TIME, .steps = 1};
    return status == HT_OK ? run_graph(p, p->denoise.time_graph, first, &place) : status;
}

// Keys and values of the picture's tokens, which are the same for the whole batch.
static void add_image_context(ht_pipeline *p, ht_graph *g) {
    ht_denoise_stage *s = &p->denoise;
    ht_value keys[HT_MAX_TEXT_LAYERS], values[HT_MAX_TEXT_LAYERS];
    const uint32_t first = p->shape.text_layers;
    if (p->shape.image_layers == 0) {
        return;
    }
    p->family->denoiser->image(p, g, ht_graph_tensor(g, p->picture.tokens), keys, values);
    for (uint32_t i = 0; i < p->shape.image_layers; ++i) {
        ht_graph_output(g, spread(p, g, keys[i], s->batch), s->keys[first + i]);
        ht_graph_output(g, spread(p, g, values[i], s->batch), s->values[first + i]);
    }
}

static ht_status build_context(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    ht_status status = ht_stage_graph(p, "context", p->activations, &s->context_graph);
    if (status != HT_OK) {
        return status;
    }
    ht_value keys[HT_MAX_TEXT_LAYERS], values[HT_MAX_TEXT_LAYERS];
    ht_graph *g = s->context_graph;
    p->family->denoiser->context(p, g, ht_graph_tensor(g, p->text.embeds), keys, values);
    for (uint32_t i = 0; i < p->shape.text_layers; ++i) {
        ht_graph_output(g, ht_denoise_spread(p, g, keys[i]), s->keys[i]);
        if (!p->shape.joint_text) {
            ht_graph_output(g, ht_denoise_spread(p, g, values[i]), s->values[i]);
        }
    }
    add_image_context(p, g);
    return ht_graph_finish(g);
}

static ht_status write_mask(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    size_t count = (size_t)s->batch * s->length;
    float *mask = ht_alloc(p->context, count * sizeof(*mask));
    if (!mask) {
        return HT_ERR_NO_MEMORY;
    }
    for (uint32_t b = 0; b < s->batch; ++b) {
        for (uint32_t i = 0; i < s->length; ++i) {
            mask[(size_t)b * s->length + i] =
                i < p->text.tokens[b / s->pictures] ? 0.0f : -10000.0f;
        }
    }
    ht_status status = ht_tensor_write_f32(s->mask, mask, count);
    ht_free(p->context, mask);
    return status;
}

// Text -> keys and values of every layer, and the mask that hides the padding.
static ht_status run_context(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    bool first = p->denoise.context_graph == NULL;
    ht_status status = first ? build_context(p) : HT_OK;
    if (status == HT_OK && p->denoise.mask) {
        status = write_mask(p);
    }
    ht_denoise_stage *s = &p->denoise;
    uint32_t *tokens = NULL;
    if (status == HT_OK && p->options.observe && p->shape.masked) {
        tokens = ht_alloc(p->context, s->batch * sizeof(*tokens));
        status = tokens ? HT_OK : HT_ERR_NO_MEMORY;
    }
    for (uint32_t b = 0; tokens && b < s->batch; ++b) {
        tokens[b] = p->text.tokens[b / s->pictures];
    }
    const ht_stats_place place = {.stage = HT_STATS_TEXT, .steps = 1, .tokens = tokens};
    status = status == HT_OK ? run_graph(p, s->context_graph, first, &place) : status;
    ht_free(p->context, tokens);
    return status == HT_OK ? ht_first_token_put(p) : status;
}

static ht_status make_text_tensors(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    uint32_t flat[6] = {s->batch, s->length};
    ht_status status = HT_OK;
    const uint32_t texts = p->shape.text_layers, all = texts + p->shape.image_layers;
    for (uint32_t i = 0; i < all && status == HT_OK; ++i) {
        const uint32_t layer = i < texts ? i : i - texts;
        uint32_t wide[6] = {s->batch, i < texts ? s->length : ht_clip_vision_tokens(&p->vision),
                            ht_denoise_layer_width(p, layer)};
        status = ht_stage_tensor(p, p->activations, wide, "keys", &s->keys[i]);
        if (status == HT_OK && !p->shape.joint_text) {
            status = ht_stage_tensor(p, p->activations, wide, "values", &s->values[i]);
        }
    }
    return status == HT_OK && p->shape.masked
               ? ht_stage_tensor(p, HT_FORMAT_F32, flat, "padding mask", &s->mask)
               : status;
}

static ht_status make_extras(const ht_run *run) {
    ht_pipeline *p = run->pipeline;
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < HT_TIME_EXTRAS && status == HT_OK; ++i) {
        uint32_t dims[6] = {(uint32_t)extras(run, i, table_rows(p), NULL)};
        if (dims[0] > 0) {
            status = ht_stage_tensor(p, HT_FORMAT_F32, dims, "condition", &p->denoise.extras[i]);
        }
    }
    return status;
}

static ht_status make_step_tensors(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    uint32_t rows = table_rows(p), h = s->height, w = s->width;
    uint32_t in = p->shape.in_channels, out = p->shape.out_channels;
    const struct {
        ht_format format;
        uint32_t dims[HT_MAX_RANK];
        const char *label;
        ht_tensor **out;
    } list[] = {
        {HT_FORMAT_F32, {rows}, "timesteps", &s->timesteps},
        {HT_FORMAT_F32, {rows, p->shape.table[0], p->shape.table[1]}, "time table", &s->table},
        {HT_FORMAT_F32, {s->batch, h, w, in}, "latent", &s->latent},
        {HT_FORMAT_I32, {p->shape.table_per_item ? s->batch : 1}, "step", &s->step},
        {HT_FORMAT_F32, {s->batch, h, w, out}, "prediction", &s->prediction},
    };
    ht_status status = HT_OK;
    for (size_t i = 0; i < sizeof(list) / sizeof(*list) && status == HT_OK; ++i) {
        status = ht_stage_tensor(p, list[i].format, list[i].dims, list[i].label, list[i].out);
    }
    if (status == HT_OK && ht_attention_table_groups(p->attentions) > 1) {
        status = ht_stage_tensor(p, HT_FORMAT_I32, (uint32_t[HT_MAX_RANK]){1}, "group of steps",
                                 &s->group);
    }
    size_t channels = in > out ? in : out;
    s->host = ht_alloc(p->context, s->batch * channels * h * w * sizeof(*s->host));
    return status == HT_OK && !s->host ? HT_ERR_NO_MEMORY : status;
}

void ht_denoise_inputs(ht_graph *g, ht_tensor *const *tensors, uint32_t count, ht_value *values) {
    for (uint32_t i = 0; i < count; ++i) {
        values[i] = ht_graph_tensor(g, tensors[i]);
    }
}

static ht_status build_step(ht_pipeline *p) {
    ht_denoise_stage *s = &p->denoise;
    ht_status status = ht_stage_graph(p, "step", p->activations, &s->step_graph);
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = s->step_graph;
    ht_graph_set_variants(g, ht_attention_variants(&p->attention, ht_context_tier(p->context)));
    ht_value keys[HT_MAX_TEXT_LAYERS], values[HT_MAX_TEXT_LAYERS];
    ht_value control[HT_CONTROLNET_MAX_RESIDUALS];
    const uint32_t texts = p->shape.text_layers, images = p->shape.image_layers;
    ht_denoise_inputs(g, s->keys, texts + images, keys);
    ht_denoise_inputs(g, s->values, p->shape.joint_text ? 0 : texts + images, values);
    ht_denoise_inputs(g, p->control.residuals, p->control.count, control);
    ht_step_values in = {
        .latent = ht_graph_tensor(g, s->latent),
        .frames = s->frames,
        .table = ht_graph_tensor(g, s->table),
        .step = ht_graph_tensor(g, s->step),
        .keys = keys,
        .values = values,
        .image_keys = images > 0 ? keys + texts : NULL,
        .image_values = images > 0 ? values + texts : NULL,
        .mask = optional(g, s->mask),
        .control = p->control.count > 0 ? control : NULL,
        .scales = {s->scales ? p->scales : NULL, optional(g, s->scales)},
    };
    p->attention.group = optional(g, s->group);
    ht_graph_output(g, p->family->denoiser->step(p, g, &in), s->prediction);
    p->attention.group = HT_NO_VALUE; // of another graph it would be something else
    return ht_graph_finish(g);
}

static ht_status make_scales(ht_pipeline *p) {
    const uint32_t dims[HT_MAX_RANK] = {p->scales ? ht_scale_table_count(p->scales) : 0};
    if (dims[0] == 0) {
        return HT_OK;
    }
    p->denoise.scale_row = ht_alloc(p->context, dims[0] * sizeof(*p->denoise.scale_row));
    return p->denoise.scale_row
               ? ht_stage_tensor(p, HT_FORMAT_F32, dims, "scales", &p->denoise.scales)
               : HT_ERR_NO_MEMORY;
}

static ht_status write_scales(ht_pipeline *p, float timestep) {
    ht_denoise_stage *s = &p->denoise;
    if (!s->scales) {
        return HT_OK;
    }
    ht_scale_table_at(p->scales, timestep, s->scale_row);
    return ht_tensor_write_f32(s->scales, s->scale_row, ht_scale_table_count(p->scales));
}

static ht_status make_tensors(ht_run *run, uint32_t count) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    s->pictures = run->count;
    s->batch = p->text.batch * run->count;
    s->length = p->text.length;
    s->rows = count;
    s->frames = run->latent_frames;
    s->height = run->latent_frames * run->latent_height;
    s->width = run->latent_width;
    ht_status status = make_text_tensors(p);
    if (status == HT_OK) {
        status = make_step_tensors(p);
    }
    if (status == HT_OK) {
        status = make_scales(p);
    }
    return status == HT_OK ? make_extras(run) : status;
}

ht_status ht_denoise_prepare(ht_run *run, const float *timesteps, uint32_t count) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    ht_status status = ht_part_open(p, PART_DENOISER);
    run->timesteps = timesteps;
    bool same = s->pictures == run->count && s->batch == p->text.batch * run->count &&
                s->length == p->text.length && s->rows == count &&
                s->frames == run->latent_frames &&
                s->height == run->latent_frames * run->latent_height &&
                s->width == run->latent_width && ht_control_same(run);
    if (status == HT_OK && !same) {
        ht_denoise_release(p);
        status = make_tensors(run, count);
    }
    if (status == HT_OK) {
        status = run_time(run, timesteps);
    }
    bool new_text = !s->context_ready;
    if (status == HT_OK && new_text) {
        status = run_context(run);
        s->context_ready = status == HT_OK;
    }
    if (status == HT_OK) {
        status = ht_control_prepare(run, new_text);
    }
    if (status == HT_OK && !s->step_graph) {
        status = build_step(p);
    }
    if (status == HT_OK) {
        ht_part_account(p, PART_DENOISER, s->step_graph, run->report);
        const ht_part_report *part = &run->report->parts[PART_DENOISER];
        ht_log(p->context, HT_LOG_INFO,
               "a step of %u picture%s of %u x %u: %.0f MiB of weights, %.0f MiB of activations",
               run->count, run->count > 1 ? "s" : "", run->width, run->height,
               (double)part->device_bytes / (1 << 20), (double)part->activation_bytes / (1 << 20));
    } else {
        ht_denoise_release(p);
    }
    return status;
}

static ht_status write_step(ht_pipeline *p, uint32_t step) {
    const ht_denoise_stage *s = &p->denoise;
    uint32_t items = p->shape.table_per_item ? s->batch : 1;
    int32_t rows[2 * HT_MAX_BATCH];
    for (uint32_t b = 0; b < items; ++b) {
        rows[b] = (int32_t)(items > 1 ? step * p->text.batch + b / s->pictures : step);
    }
    const uint32_t groups = ht_attention_table_groups(p->attentions);
    const int32_t group = (int32_t)((uint64_t)step * groups / s->rows);
    ht_status status = s->group ? ht_tensor_write(s->group, &group, sizeof(group)) : HT_OK;
    if (status == HT_OK && ht_graph_variants(s->step_graph) > 1) {
        status = ht_graph_select(s->step_graph, (uint32_t)group);
    }
    return status == HT_OK ? ht_tensor_write(s->step, rows, items * sizeof(*rows)) : status;
}

size_t ht_latent_plane(const ht_run *run, uint32_t channel, uint32_t frame) {
    const uint32_t channels = run->pipeline->vae.config.latent_channels;
    const size_t plane = (size_t)run->latent_height * run->latent_width;
    return run->pipeline->shape.frames_first
               ? ((size_t)frame * channels + channel) * plane
               : ((size_t)channel * run->latent_frames + frame) * plane;
}

// planes [count, positions] -> some channels of pixels [positions, channels]
static void put_planes(const float *planes, uint32_t count, size_t positions, uint32_t channels,
                       float *pixels) {
    for (uint32_t c = 0; c < count; ++c) {
        for (size_t i = 0; i < positions; ++i) {
            pixels[i * channels + c] = planes[c * positions + i];
        }
    }
}

// The same of a latent, frame by frame below one another.
static void put_latent(const ht_run *run, const float *latent, uint32_t channels, float *pixels) {
    const size_t plane = (size_t)run->latent_height * run->latent_width;
    for (uint32_t f = 0; f < run->latent_frames; ++f) {
        for (uint32_t c = 0; c < run->pipeline->vae.config.latent_channels; ++c) {
            put_planes(latent + ht_latent_plane(run, c, f), 1, plane, channels,
                       pixels + f * plane * channels + c);
        }
    }
}

// And back: its channels are the first of pixels [positions, channels].
static void take_latent(const ht_run *run, const float *pixels, uint32_t channels, float *latent) {
    const size_t plane = (size_t)run->latent_height * run->latent_width;
    for (uint32_t f = 0; f < run->latent_frames; ++f) {
        for (uint32_t c = 0; c < run->pipeline->vae.config.latent_channels; ++c) {
            float *out = latent + ht_latent_plane(run, c, f);
            for (size_t i = 0; i < plane; ++i) {
                out[i] = pixels[(f * plane + i) * channels + c];
            }
        }
    }
}

// Inputs of all pictures, for each text, into the latent's tensor.
static ht_status write_latents(ht_run *run, const float *inputs) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    uint32_t in = p->shape.in_channels, latent = p->vae.config.latent_channels;
    size_t positions = (size_t)s->height * s->width, item = positions * in;
    for (uint32_t b = 0; b < s->batch; ++b) {
        uint32_t i = b % s->pictures;
        float *pixels = s->host + b * item;
        put_latent(run, inputs + i * run->latent_count, in, pixels);
        const float *beside = run->condition ? run->condition : run->items[i].inpaint.beside;
        put_planes(beside, in - latent, positions, in, pixels + latent);
    }
    return ht_tensor_write_f32(s->latent, s->host, s->batch * item);
}

// Guided predictions of all pictures, from s->host.
static void take_predictions(ht_run *run, float *predictions) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    uint32_t out = p->shape.out_channels;
    size_t positions = (size_t)s->height * s->width, item = positions * out;
    for (uint32_t i = 0; i < s->pictures; ++i) {
        float *pixels = s->host + i * item;
        if (s->batch > s->pictures) { // the negative prompts first
            const float *positive = pixels + s->pictures * item;
            ht_guidance(pixels, positive, run->cfg_scale, item, pixels);
            ht_guidance_rescale(positive, run->params->cfg_rescale, item, pixels);
        }
        // Of a model that learned the variance too, the first channels are the prediction.
        take_latent(run, pixels, out, predictions + i * run->latent_count);
    }
}

ht_status ht_denoise_predict(ht_run *run, uint32_t step, const float *inputs, float *predictions) {
    ht_pipeline *p = run->pipeline;
    ht_denoise_stage *s = &p->denoise;
    size_t positions = (size_t)s->height * s->width;
    ht_status status = write_latents(run, inputs);
    if (status == HT_OK) {
        status = write_step(p, step);
    }
    if (status == HT_OK) {
        status = write_scales(p, run->timesteps[step]);
    }
    if (status == HT_OK) {
        status = ht_control_run(run, step);
    }
    if (status == HT_OK) {
        const ht_stats_place place = {.stage = HT_STATS_STEP,
                                      .step = step,
                                      .steps = s->rows,
                                      .timestep = run->timesteps[step],
                                      .frames = s->frames,
                                      .height = s->height / s->frames,
                                      .width = s->width};
        status = run_graph(p, s->step_graph, step == run->first, &place);
    }
    if (status == HT_OK) {
        status = ht_tensor_read_f32(s->prediction, s->host,
                                    s->batch * positions * p->shape.out_channels);
    }
    if (status == HT_OK) {
        take_predictions(run, predictions);
    }
    return status;
}

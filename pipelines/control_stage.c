// A ControlNet beside the denoiser: its own graphs over the denoiser's latent, timesteps and text. A
// step's graph writes what it adds into tensors, which the denoiser's graph reads.
#include "pipeline_internal.h"

void ht_control_release(ht_pipeline *p) {
    ht_control_stage *s = &p->control;
    ht_graph_destroy(&s->hint_graph);
    ht_graph_destroy(&s->time_graph);
    ht_graph_destroy(&s->context_graph);
    ht_graph_destroy(&s->step_graph);
    ht_tensor_destroy(&s->picture);
    ht_tensor_destroy(&s->hint);
    ht_tensor_destroy(&s->table);
    for (uint32_t i = 0; i < HT_MAX_TEXT_LAYERS; ++i) {
        ht_tensor_destroy(&s->keys[i]);
        ht_tensor_destroy(&s->values[i]);
    }
    for (uint32_t i = 0; i < s->count; ++i) {
        ht_tensor_destroy(&s->residuals[i]);
    }
    *s = (ht_control_stage){0};
}

ht_status ht_control_read(ht_pipeline *p) {
    ht_part *part = &p->parts[PART_CONTROL];
    if (!part->name) {
        return HT_OK;
    }
    if (p->family->denoiser != &ht_denoiser_unet) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "'%s': a ControlNet serves Stable Diffusion and SDXL, not a '%s'",
                       part->path, p->info.class_name);
    }
    ht_weights_desc desc = {.path = part->path, .format = part->format};
    ht_status status = ht_weights_open(p->context, &desc, &part->weights);
    if (status == HT_OK) {
        status = ht_controlnet_config_read(p->context, part->path, part->weights, &p->unet,
                                           &p->controlnet);
    }
    ht_part_close(p, PART_CONTROL);
    uint32_t factor = 1u << (p->controlnet.hints ? p->controlnet.hints - 1 : 0);
    if (status == HT_OK && factor != ht_vae_factor(&p->vae.config)) {
        status = ht_fail(p->context, HT_ERR_INVALID,
                         "'%s' is a ControlNet for another model: its picture has %u pixels per "
                         "latent, the model's %u",
                         part->path, factor, ht_vae_factor(&p->vae.config));
    }
    if (status == HT_OK) {
        p->control_plan = ht_alloc(p->context, sizeof(*p->control_plan));
        status = p->control_plan ? HT_OK : HT_ERR_NO_MEMORY;
    }
    if (status == HT_OK) {
        ht_unet_plan_make(&p->controlnet.net, p->control_plan);
    }
    return status;
}

ht_status ht_control_check(ht_run *run) {
    ht_context *context = run->pipeline->context;
    const ht_generate_params *params = run->params;
    if (!params->control) {
        return HT_OK;
    }
    if (!run->pipeline->parts[PART_CONTROL].name) {
        return ht_fail(context, HT_ERR_INVALID,
                       "a control picture needs a ControlNet, which this model has not");
    }
    if (!(params->control_strength >= 0 && params->control_strength <= 100)) {
        return ht_fail(context, HT_ERR_INVALID, "a control strength of %g, expected 0 to 100",
                       params->control_strength);
    }
    if (!(params->control_start >= 0 && params->control_end <= 1 &&
          params->control_start < params->control_end)) {
        return ht_fail(context, HT_ERR_INVALID,
                       "control from %g to %g of the steps, expected a start below the end, both "
                       "from 0 to 1",
                       params->control_start, params->control_end);
    }
    return HT_OK;
}

static float wanted(const ht_run *run) {
    return run->params->control ? run->params->control_strength : 0;
}

bool ht_control_same(const ht_run *run) {
    return run->pipeline->control.strength == wanted(run);
}

static ht_status make_tensors(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    ht_control_stage *s = &p->control;
    const ht_denoise_stage *d = &p->denoise;
    uint32_t pixels[6] = {1, run->height, run->width, 3};
    uint32_t hint[6] = {d->height, d->width, p->controlnet.net.channels[0]};
    uint32_t table[6] = {ht_tensor_get_desc(d->table)->dims[0], p->control_plan->rows};
    ht_status status = ht_stage_tensor(p, HT_FORMAT_F32, pixels, "control picture", &s->picture);
    if (status == HT_OK) {
        status = ht_stage_tensor(p, p->activations, hint, "control hint", &s->hint);
    }
    if (status == HT_OK) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, table, "control time table", &s->table);
    }
    for (uint32_t i = 0; i < p->control_plan->layers && status == HT_OK; ++i) {
        uint32_t wide[6] = {d->batch, d->length, ht_unet_layer_width(p->control_plan, i)};
        status = ht_stage_tensor(p, p->activations, wide, "control keys", &s->keys[i]);
        if (status == HT_OK) {
            status = ht_stage_tensor(p, p->activations, wide, "control values", &s->values[i]);
        }
    }
    return status;
}

static ht_status build_hint(ht_pipeline *p) {
    ht_control_stage *s = &p->control;
    ht_status status = ht_stage_graph(p, "control hint", p->activations, &s->hint_graph);
    if (status != HT_OK) {
        return status;
    }
    ht_value picture = ht_graph_tensor(s->hint_graph, s->picture);
    ht_weights *weights = p->parts[PART_CONTROL].weights;
    ht_graph_output(s->hint_graph,
                    ht_controlnet_hint(s->hint_graph, &p->controlnet, weights, picture), s->hint);
    return ht_graph_finish(s->hint_graph);
}

static ht_status build_time(ht_pipeline *p) {
    ht_control_stage *s = &p->control;
    const ht_denoise_stage *d = &p->denoise;
    ht_status status = ht_stage_graph(p, "control timesteps", HT_FORMAT_F32, &s->time_graph);
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = s->time_graph;
    bool added = p->controlnet.net.time_ids_dim > 0;
    ht_unet_conditions in = {
        .timesteps = ht_graph_tensor(g, d->timesteps),
        .guidance = HT_NO_VALUE,
        .pooled = added ? ht_graph_tensor(g, p->text.pooled) : HT_NO_VALUE,
        .time_ids = added ? ht_graph_tensor(g, d->extras[1]) : HT_NO_VALUE,
    };
    ht_weights *weights = p->parts[PART_CONTROL].weights;
    ht_graph_output(g, ht_unet_time(g, &p->controlnet.net, weights, &in), s->table);
    return ht_graph_finish(g);
}

static ht_status build_context(ht_pipeline *p) {
    ht_control_stage *s = &p->control;
    ht_value keys[HT_MAX_TEXT_LAYERS], values[HT_MAX_TEXT_LAYERS];
    ht_status status = ht_stage_graph(p, "control context", p->activations, &s->context_graph);
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = s->context_graph;
    ht_unet_context(g, &p->controlnet.net, p->parts[PART_CONTROL].weights,
                    ht_graph_tensor(g, p->text.embeds), keys, values);
    for (uint32_t i = 0; i < p->control_plan->layers; ++i) {
        ht_graph_output(g, ht_denoise_spread(p, g, keys[i]), s->keys[i]);
        ht_graph_output(g, ht_denoise_spread(p, g, values[i]), s->values[i]);
    }
    return ht_graph_finish(g);
}

static ht_status build_step(ht_pipeline *p) {
    ht_control_stage *s = &p->control;
    const ht_denoise_stage *d = &p->denoise;
    ht_value keys[HT_MAX_TEXT_LAYERS], values[HT_MAX_TEXT_LAYERS];
    ht_value residuals[HT_CONTROLNET_MAX_RESIDUALS];
    ht_status status = ht_stage_graph(p, "control step", p->activations, &s->step_graph);
    if (status != HT_OK) {
        return status;
    }
    ht_graph *g = s->step_graph;
    ht_denoise_inputs(g, s->keys, p->control_plan->layers, keys);
    ht_denoise_inputs(g, s->values, p->control_plan->layers, values);
    ht_value latent = ht_graph_tensor(g, d->latent);
    if (p->controlnet.net.in_channels < p->shape.in_channels) { // without mask and masked latent
        latent = ht_op_slice(g, latent, 3, 0, p->controlnet.net.in_channels);
    }
    ht_unet_inputs in = {.latent = latent,
                         .table = ht_graph_tensor(g, s->table),
                         .step = ht_graph_tensor(g, d->step),
                         .keys = keys,
                         .values = values};
    uint32_t count = ht_controlnet_step(g, &p->controlnet, p->parts[PART_CONTROL].weights, &in,
                                        ht_graph_tensor(g, s->hint), s->strength, residuals);
    status = ht_graph_status(g);
    for (uint32_t i = 0; i < count && status == HT_OK; ++i) {
        ht_tensor_desc desc = ht_graph_value_desc(g, residuals[i]);
        status = ht_stage_tensor(p, p->activations, desc.dims, "control", &s->residuals[i]);
        s->count = status == HT_OK ? i + 1 : s->count;
        if (status == HT_OK) {
            ht_graph_output(g, residuals[i], s->residuals[i]);
        }
    }
    return status == HT_OK ? ht_graph_finish(g) : status;
}

static ht_status build(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    p->control.strength = wanted(run);
    ht_status status = make_tensors(run);
    if (status == HT_OK) {
        status = build_hint(p);
    }
    if (status == HT_OK) {
        status = build_time(p);
    }
    if (status == HT_OK) {
        status = build_context(p);
    }
    return status == HT_OK ? build_step(p) : status;
}

// The control picture at the run's size, 0..1.
static ht_status write_picture(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    ht_image resized;
    size_t count = (size_t)run->width * run->height * 3;
    float *pixels = ht_alloc(p->context, count * sizeof(*pixels));
    ht_status status = ht_image_create(p->context, run->width, run->height, &resized);
    status = pixels ? status : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_image_resize(p->context, run->params->control, &resized);
    }
    for (size_t i = 0; i < count && status == HT_OK; ++i) {
        pixels[i] = (float)resized.rgb[i] / 255.0f;
    }
    if (status == HT_OK) {
        status = ht_tensor_write_f32(p->control.picture, pixels, count);
    }
    ht_image_clear(p->context, &resized);
    ht_free(p->context, pixels);
    return status;
}

ht_status ht_control_prepare(ht_run *run, bool new_text) {
    ht_pipeline *p = run->pipeline;
    ht_control_stage *s = &p->control;
    if (wanted(run) == 0) {
        return HT_OK;
    }
    ht_status status = ht_part_open(p, PART_CONTROL);
    bool first = s->step_graph == NULL;
    if (status == HT_OK && first) {
        status = build(run);
    }
    if (status == HT_OK) {
        status = write_picture(run);
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, s->hint_graph, first);
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, s->time_graph, first);
    }
    if (status == HT_OK && (first || new_text)) {
        status = ht_stage_run(p, s->context_graph, first);
    }
    if (status == HT_OK) {
        ht_part_account(p, PART_CONTROL, s->step_graph, run->report);
    }
    return status;
}

// Is it used at this step? As diffusers counts: of the steps that are run.
static bool is_active(const ht_run *run, uint32_t step) {
    double count = run->steps - run->first, index = step - run->first;
    return index / count >= run->params->control_start &&
           (index + 1) / count <= run->params->control_end;
}

static ht_status silence(ht_pipeline *p) {
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < p->control.count && status == HT_OK; ++i) {
        size_t count = ht_desc_count(ht_tensor_get_desc(p->control.residuals[i]));
        float *zeros = ht_alloc(p->context, count * sizeof(*zeros));
        status =
            zeros ? ht_tensor_write_f32(p->control.residuals[i], zeros, count) : HT_ERR_NO_MEMORY;
        ht_free(p->context, zeros);
    }
    return status;
}

ht_status ht_control_run(ht_run *run, uint32_t step) {
    ht_pipeline *p = run->pipeline;
    ht_control_stage *s = &p->control;
    if (s->count == 0) {
        return HT_OK;
    }
    if (is_active(run, step)) {
        s->idle = false;
        return ht_stage_run(p, s->step_graph, step == run->first);
    }
    ht_status status = s->idle ? HT_OK : silence(p);
    s->idle = status == HT_OK;
    return status;
}

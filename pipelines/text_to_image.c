// One picture: check, encode the text, schedule and noise, denoise, decode.
#include "pipeline_internal.h"

#include <math.h>
#include <stdio.h>

static uint64_t bytes_needed(const ht_pipeline *p, uint64_t width, uint64_t height) {
    uint64_t factor = ht_vae_factor(&p->vae.config), tile = p->vae.config.sample_size / factor;
    uint64_t h = height / factor, w = width / factor;
    uint64_t denoise = p->family->denoiser->bytes(p, h, w);
    uint64_t decode = ht_vae_decode_bytes(&p->vae.config, (uint32_t)(h < tile ? h : tile),
                                          (uint32_t)(w < tile ? w : tile), HT_FORMAT_F32);
    return denoise + decode + width * height * 3 * sizeof(float);
}

ht_status ht_pipeline_size(ht_pipeline *p, uint32_t *width, uint32_t *height) {
    uint32_t grid = p->info.grid, w = *width ? *width : p->info.width;
    uint32_t h = *height ? *height : p->info.height;
    uint64_t limit = p->options.max_device_bytes;
    limit = limit ? limit : ht_context_device(p->context)->memory_bytes;
    double mib = (double)bytes_needed(p, w, h) / (1 << 20);
    if (w < grid || h < grid) {
        return ht_fail(p->context, HT_ERR_INVALID, "%u x %u pixels: each edge needs at least %u", w,
                       h, grid);
    }
    if (w > HT_MAX_EDGE || h > HT_MAX_EDGE || mib * (1 << 20) > (double)limit) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "%u x %u pixels would need about %.0f MiB of device memory, of %.0f MiB; "
                       "edges may have %u pixels at most",
                       w, h, mib, (double)limit / (1 << 20), HT_MAX_EDGE);
    }
    *width = w / grid * grid;
    *height = h / grid * grid;
    if (*width != w || *height != h) {
        ht_log(p->context, HT_LOG_WARN, "size %u x %u rounded to %u x %u, multiples of %u", w, h,
               *width, *height, grid);
    }
    return HT_OK;
}

static ht_status check(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    const ht_generate_params *params = run->params;
    run->steps = params->steps ? params->steps : p->info.steps;
    run->cfg_scale = params->cfg_scale < 0 ? p->info.cfg_scale : params->cfg_scale;
    run->guided = ht_guidance_needed(run->cfg_scale) && !p->shape.embeds_guidance;
    run->width = params->width;
    run->height = params->height;
    if (!params->prompt) {
        return ht_fail(p->context, HT_ERR_INVALID, "there is no prompt");
    }
    if (run->steps > HT_MAX_STEPS) {
        return ht_fail(p->context, HT_ERR_INVALID, "%u steps, expected 1 to %d", run->steps,
                       HT_MAX_STEPS);
    }
    if (!isfinite(run->cfg_scale) || run->cfg_scale > 1000) {
        return ht_fail(p->context, HT_ERR_INVALID, "guidance scale %g, expected 0 to 1000",
                       run->cfg_scale);
    }
    if (!(params->cfg_rescale >= 0 && params->cfg_rescale <= 1)) {
        return ht_fail(p->context, HT_ERR_INVALID, "guidance rescale %g, expected 0 to 1",
                       params->cfg_rescale);
    }
    if (params->init && !(params->strength >= 0 && params->strength <= 1)) {
        return ht_fail(p->context, HT_ERR_INVALID, "strength %g, expected 0 to 1",
                       params->strength);
    }
    ht_status status = params->init ? ht_vae_stage_check(p) : HT_OK;
    if (status == HT_OK) {
        status = ht_inpaint_check(run);
    }
    if (status == HT_OK) {
        status = ht_control_check(run);
    }
    if (status == HT_OK) {
        status = ht_pipeline_size(p, &run->width, &run->height);
    }
    uint32_t factor = ht_vae_factor(&p->vae.config);
    run->latent_height = run->height / factor;
    run->latent_width = run->width / factor;
    run->latent_count = (size_t)p->vae.config.latent_channels * run->latent_height * run->latent_width;
    return status;
}

static ht_status make_sampler(ht_run *run, ht_sampler **out) {
    ht_pipeline *p = run->pipeline;
    ht_sampler_config config = p->sampler;
    ht_status status =
        ht_sampler_config_choose(p->context, run->params->sampler, run->params->schedule, &config);
    if (status == HT_OK && run->params->eta) {
        status = ht_sampler_config_eta(p->context, *run->params->eta, &config);
    }
    if (status != HT_OK) {
        return status;
    }
    ht_report *report = run->report;
    snprintf(report->sampler, sizeof(report->sampler), "%s", ht_sampler_name(config.kind));
    snprintf(report->sampler_label, sizeof(report->sampler_label), "%s",
             ht_sampler_label(config.kind));
    snprintf(report->schedule, sizeof(report->schedule), "%s", ht_schedule_name(&config));
    ht_sampler_desc desc = {.config = &config,
                            .steps = run->steps,
                            .count = run->latent_count,
                            .image_tokens =
                                run->latent_height * run->latent_width / p->shape.token_area,
                            .random = &run->random};
    status = ht_sampler_create(p->context, &desc, out);
    if (status == HT_OK && ht_sampler_steps(*out) > HT_MAX_STEPS) {
        status = ht_fail(p->context, HT_ERR_INVALID,
                         "%u steps take sampler %s %u evaluations; at most %d are possible",
                         run->steps, report->sampler, ht_sampler_steps(*out), HT_MAX_STEPS);
    }
    if (status == HT_OK) {
        report->schedule_steps = run->steps;
        run->steps = ht_sampler_steps(*out);
    }
    return status;
}

// The initial picture at the run's size, as a latent.
static ht_status encode_picture(ht_run *run) {
    ht_context *context = run->pipeline->context;
    ht_image resized;
    float *pixels = ht_alloc(context, (size_t)run->width * run->height * 3 * sizeof(*pixels));
    ht_status status = ht_image_create(context, run->width, run->height, &resized);
    status = pixels ? status : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_image_resize(context, run->params->init, &resized);
    }
    if (status == HT_OK) {
        ht_image_to_floats(&resized, pixels);
        status = ht_vae_stage_encode(run, pixels, run->latent);
    }
    ht_image_clear(context, &resized);
    ht_free(context, pixels);
    return status;
}

// What step `first` starts from, made of the initial picture.
static ht_status start_picture(ht_run *run, const ht_sampler *sampler, float *noise,
                               uint32_t first) {
    if (run->params->mask) {
        return ht_inpaint_start(run, sampler, first);
    }
    ht_status status = encode_picture(run);
    if (status == HT_OK && first < run->steps) {
        ht_random_normal(&run->random, noise, run->latent_count);
        ht_sampler_add_noise(sampler, first, noise, run->latent);
    }
    return status;
}

// Noise, or a noised picture; *first is where the schedule is entered.
static ht_status start(ht_run *run, const ht_sampler *sampler, float *noise, uint32_t *first) {
    *first = 0;
    if (!run->params->init) {
        float scale = ht_sampler_initial_scale(sampler);
        ht_random_normal(&run->random, run->latent, run->latent_count);
        for (size_t i = 0; i < run->latent_count; ++i) {
            run->latent[i] *= scale;
        }
        return HT_OK;
    }
    *first = ht_sampler_first(sampler, run->params->strength);
    ht_status status = ht_run_phase(run, HT_PHASE_PICTURE, 0);
    if (status == HT_OK) {
        status = start_picture(run, sampler, noise, *first);
    }
    if (!run->pipeline->options.keep_loaded) {
        ht_vae_stage_release(&run->pipeline->vae);
        ht_part_close(run->pipeline, PART_VAE);
    }
    return status;
}

static bool all_finite(const float *values, size_t count, float *low, float *high) {
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < count; ++i) {
        if (!isfinite(values[i])) {
            return false;
        }
        *low = values[i] < *low ? values[i] : *low;
        *high = values[i] > *high ? values[i] : *high;
    }
    return true;
}

// Values in f16 may leave its range in a VAE that was not made for it: then f32, for good.
static ht_status decode_pixels(ht_run *run, ht_vae_stage *vae, const float *latent, float *pixels,
                               size_t count) {
    ht_pipeline *p = run->pipeline;
    float low, high;
    ht_status status = ht_vae_stage_decode(run, vae, latent, pixels);
    if (status != HT_OK || all_finite(pixels, count, &low, &high)) {
        if (status == HT_OK && !(high > low)) {
            status = ht_fail(p->context, HT_ERR_UNSUPPORTED,
                             "the VAE gave a picture of one colour (%g everywhere)", low);
        }
        return status;
    }
    if (vae->activations == HT_FORMAT_F16 && p->options.activations == HT_FORMAT_NONE) {
        ht_log(p->context, HT_LOG_INFO, "the VAE leaves the range of f16; again in f32");
        vae->activations = HT_FORMAT_F32;
        ht_vae_stage_release(vae);
        return decode_pixels(run, vae, latent, pixels, count);
    }
    return ht_fail(p->context, HT_ERR_UNSUPPORTED, "the VAE gave values that are not numbers%s",
                   vae->activations == HT_FORMAT_F16 ? "; f32 has more range" : "");
}

static ht_status decode(ht_run *run, ht_vae_stage *vae, const float *latent, ht_image *image) {
    ht_context *context = run->pipeline->context;
    size_t count = (size_t)run->width * run->height * 3;
    float *pixels = ht_alloc(context, count * sizeof(*pixels));
    ht_status status = pixels ? decode_pixels(run, vae, latent, pixels, count) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_image_create(context, run->width, run->height, image);
        if (status == HT_OK) {
            ht_image_from_floats(pixels, image);
        }
    }
    ht_free(context, pixels);
    return status;
}

// The clean picture this step amounts to.
static ht_status show_preview(ht_run *run, const ht_sampler *sampler, uint32_t step,
                              const float *prediction, float *clean, ht_image *image) {
    uint32_t every = run->params->preview_every;
    *image = (ht_image){0};
    if (every == 0 || (step + 1) % every != 0) {
        return HT_OK;
    }
    ht_pipeline *p = run->pipeline;
    ht_sampler_denoised(sampler, step, run->latent, prediction, clean);
    return decode(run, p->parts[PART_PREVIEW].name ? &p->preview : &p->vae, clean, image);
}

// `work` holds three latents.
static ht_status loop(ht_run *run, ht_sampler *sampler, uint32_t first, float *work) {
    float *input = work, *prediction = work + run->latent_count;
    float *clean = prediction + run->latent_count;
    uint32_t count = run->steps - first;
    ht_status status = HT_OK;
    for (uint32_t i = first; i < run->steps && status == HT_OK; ++i) {
        double began = ht_seconds();
        ht_image preview = {0};
        ht_sampler_input(sampler, i, run->latent, input);
        status = ht_denoise_predict(run, i, input, prediction);
        if (status == HT_OK) {
            status = show_preview(run, sampler, i, prediction, clean, &preview);
        }
        if (status == HT_OK) {
            ht_sampler_step(sampler, i, prediction, run->latent);
            ht_inpaint_step(run, sampler, i + 1, input);
            run->report->step_seconds[i - first] = ht_seconds() - began;
            run->report->steps = i - first + 1;
            status = ht_run_step(run, i - first + 1, count, preview.rgb ? &preview : NULL);
        }
        ht_image_clear(run->pipeline->context, &preview);
    }
    float low, high;
    if (status == HT_OK && !all_finite(run->latent, run->latent_count, &low, &high)) {
        status = ht_fail(run->pipeline->context, HT_ERR_UNSUPPORTED,
                         "the denoiser gave values that are not numbers%s",
                         run->pipeline->activations == HT_FORMAT_F16 ? "; f32 has more range" : "");
    }
    return status;
}

static ht_status denoise(ht_run *run, ht_sampler *sampler, float *work) {
    ht_pipeline *p = run->pipeline;
    uint32_t first = 0;
    ht_status status = start(run, sampler, work, &first);
    run->first = first;
    if (status == HT_OK && first < run->steps) {
        status = ht_run_phase(run, HT_PHASE_LOAD, 0);
        if (status == HT_OK) {
            status = ht_denoise_prepare(run, ht_sampler_timesteps(sampler), run->steps);
        }
        if (status == HT_OK) {
            status = ht_run_phase(run, HT_PHASE_SAMPLE, run->steps - first);
        }
        if (status == HT_OK) {
            status = loop(run, sampler, first, work);
        }
    }
    if (!p->options.keep_loaded) {
        ht_denoise_release(p);
        ht_part_close(p, PART_DENOISER);
        ht_part_close(p, PART_CONTROL);
        ht_vae_stage_release(&p->preview);
        ht_part_close(p, PART_PREVIEW);
    }
    return status;
}

void ht_run_begin(ht_run *run, ht_pipeline *p, const ht_generate_params *params,
                  const ht_callbacks *callbacks, ht_report *report) {
    *report = (ht_report){0};
    for (uint32_t i = 0; i < HT_REPORT_PARTS; ++i) {
        snprintf(report->parts[i].name, sizeof(report->parts[i].name), "%s",
                 p->parts[i].name ? p->parts[i].name : "");
    }
    snprintf(report->recipe, sizeof(report->recipe), "%s",
             p->recipe ? ht_recipe_name(p->recipe) : "");
    *run = (ht_run){.pipeline = p,
                    .params = params,
                    .callbacks = callbacks,
                    .report = report,
                    .phase = HT_PHASE_LOAD};
    run->start = run->phase_start = ht_seconds();
    ht_random_seed(&run->random, params->seed);
    ht_context_memory_restart(p->context);
}

ht_status ht_run_sample(ht_run *run) {
    ht_context *context = run->pipeline->context;
    ht_sampler *sampler = NULL;
    ht_status status = check(run);
    if (status == HT_OK) {
        status = make_sampler(run, &sampler);
    }
    if (status == HT_OK) {
        run->latent = ht_alloc(context, 4 * run->latent_count * sizeof(*run->latent));
        status = run->latent ? ht_run_phase(run, HT_PHASE_TEXT, 0) : HT_ERR_NO_MEMORY;
    }
    if (status == HT_OK) {
        status = ht_text_encode(run);
    }
    if (status == HT_OK) {
        status = denoise(run, sampler, run->latent + run->latent_count);
    }
    ht_sampler_destroy(&sampler);
    return status;
}

void ht_run_end(ht_run *run) {
    ht_report *report = run->report;
    double end = ht_seconds();
    ht_memory_use use;
    ht_inpaint_clear(run);
    ht_free(run->pipeline->context, run->latent);
    run->latent = NULL;
    report->phase_seconds[run->phase] += end - run->phase_start;
    report->total_seconds = end - run->start;
    report->width = run->width;
    report->height = run->height;
    report->cfg_scale = run->cfg_scale;
    ht_context_memory(run->pipeline->context, &use);
    report->peak_device_bytes = use.allocated_peak;
    report->planned_peak_bytes = use.planned_peak;
}

ht_status ht_pipeline_generate(ht_pipeline *pipeline, const ht_generate_params *params,
                               const ht_callbacks *callbacks, ht_image *image, ht_report *report) {
    ht_report *filled = report;
    *image = (ht_image){0};
    if (!filled && !(filled = ht_alloc(pipeline->context, sizeof(*filled)))) {
        return HT_ERR_NO_MEMORY;
    }
    ht_run run;
    ht_run_begin(&run, pipeline, params, callbacks, filled);
    ht_status status = ht_run_sample(&run);
    if (status == HT_OK) {
        status = ht_run_phase(&run, HT_PHASE_DECODE, 0);
    }
    if (status == HT_OK && callbacks && callbacks->latent) {
        uint32_t dims[3] = {pipeline->vae.config.latent_channels, run.latent_height, run.latent_width};
        callbacks->latent(callbacks->user, run.latent, dims);
    }
    if (status == HT_OK && !params->latent_only) {
        status = decode(&run, &pipeline->vae, run.latent, image);
    }
    if (status == HT_OK && !params->latent_only) {
        ht_inpaint_paste(&run, image);
    }
    if (!pipeline->options.keep_loaded) {
        ht_vae_stage_release(&pipeline->vae);
        ht_part_close(pipeline, PART_VAE);
    }
    ht_run_end(&run);
    if (status == HT_ERR_CANCELLED) {
        ht_log(pipeline->context, HT_LOG_INFO, "cancelled after %u steps", filled->steps);
    }
    if (!report) {
        ht_free(pipeline->context, filled);
    }
    return status;
}

// One picture, or several at once: check, encode the text, schedule and noise, denoise (twice with
// a second pass), decode.
#include "pipeline_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t bytes_needed(const ht_pipeline *p, uint64_t width, uint64_t height,
                             uint32_t frames) {
    uint64_t factor = ht_vae_factor(&p->vae.config), tile = p->vae.config.sample_size / factor;
    uint64_t h = height / factor, w = width / factor;
    uint64_t denoise = p->family->denoiser->bytes(p, h * ht_clip_latent_frames(frames), w);
    uint64_t decode = ht_vae_decode_bytes(&p->vae.config, (uint32_t)(h < tile ? h : tile),
                                          (uint32_t)(w < tile ? w : tile), HT_FORMAT_F32);
    return denoise + decode + width * height * 3 * sizeof(float);
}

static ht_status need_device(const ht_pipeline *p) {
    return ht_context_device(p->context)
               ? HT_OK
               : ht_fail(p->context, HT_ERR_INVALID,
                         "the model was opened in a context without a device, which is enough to "
                         "see what it is; to make pictures open it in one with a device");
}

ht_status ht_pipeline_size(ht_pipeline *p, uint32_t *width, uint32_t *height) {
    uint32_t grid = p->info.grid, w = *width ? *width : p->info.width;
    uint32_t h = *height ? *height : p->info.height;
    uint64_t limit = p->options.max_device_bytes;
    ht_status status = need_device(p);
    if (status != HT_OK) {
        return status;
    }
    limit = limit ? limit : ht_context_device(p->context)->memory_bytes;
    double mib = (double)bytes_needed(p, w, h, 1) / (1 << 20);
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

// Does a step of all pictures of the batch fit?
static ht_status check_batch(ht_run *run, uint32_t width, uint32_t height) {
    ht_pipeline *p = run->pipeline;
    uint64_t limit = p->options.max_device_bytes, factor = ht_vae_factor(&p->vae.config);
    limit = limit ? limit : ht_context_device(p->context)->memory_bytes;
    uint64_t tall = height / factor * ht_clip_latent_frames(run->frames);
    uint64_t one = p->family->denoiser->bytes(p, tall, width / factor);
    if (run->frames > 1 && one > limit) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "%u frames of %u x %u pixels would need about %.0f MiB of device memory, of "
                       "%.0f MiB; fewer frames or smaller ones need less",
                       run->frames, width, height, (double)one / (1 << 20),
                       (double)limit / (1 << 20));
    }
    if (run->count > 1 && one * run->count > limit) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "%u pictures of %u x %u pixels at once would need about %.0f MiB of device "
                       "memory, of %.0f MiB; %.0f MiB are for one",
                       run->count, width, height, (double)(one * run->count) / (1 << 20),
                       (double)limit / (1 << 20), (double)one / (1 << 20));
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
    if (params->batch > HT_MAX_BATCH) {
        return ht_fail(p->context, HT_ERR_INVALID, "%u pictures at once, expected 1 to %d",
                       params->batch, HT_MAX_BATCH);
    }
    run->frames = params->frames;
    ht_status status = ht_pipeline_frames(p, &run->frames);
    if (status == HT_OK && p->info.frames > 0) {
        status = ht_clip_check(run);
    }
    if (status == HT_OK && params->init) {
        status = ht_vae_stage_check(p);
    }
    if (status == HT_OK) {
        status = ht_inpaint_check(run);
    }
    if (status == HT_OK) {
        status = ht_control_check(run);
    }
    if (status == HT_OK) {
        status = ht_pipeline_size(p, &run->width, &run->height);
    }
    return status == HT_OK ? check_batch(run, run->width, run->height) : status;
}

ht_status ht_run_resize(ht_run *run, uint32_t width, uint32_t height) {
    ht_pipeline *p = run->pipeline;
    uint32_t factor = ht_vae_factor(&p->vae.config);
    run->width = width;
    run->height = height;
    run->latent_frames = ht_clip_latent_frames(run->frames);
    run->latent_height = height / factor;
    run->latent_width = width / factor;
    run->latent_count = (size_t)p->vae.config.latent_channels * run->latent_frames *
                        run->latent_height * run->latent_width;
    ht_free(p->context, run->latents);
    run->latents =
        ht_alloc(p->context, (3 * run->count + 1) * run->latent_count * sizeof(*run->latents));
    if (!run->latents) {
        return HT_ERR_NO_MEMORY;
    }
    run->work = run->latents + run->count * run->latent_count;
    for (uint32_t i = 0; i < run->count; ++i) {
        run->items[i].latent = run->latents + i * run->latent_count;
    }
    return HT_OK;
}

// A sampler for each item: they draw from generators of their own.
static ht_status make_samplers(ht_run *run, uint32_t steps) {
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
    for (uint32_t i = 0; i < run->count && status == HT_OK; ++i) {
        ht_sampler_desc desc = {.config = &config,
                                .steps = steps,
                                .count = run->latent_count,
                                .image_tokens =
                                    run->latent_frames * run->latent_height * run->latent_width /
                                    p->shape.token_area,
                                .random = &run->items[i].random};
        ht_sampler_destroy(&run->items[i].sampler);
        status = ht_sampler_create(p->context, &desc, &run->items[i].sampler);
    }
    if (status == HT_OK) {
        run->steps = ht_sampler_steps(run->items[0].sampler);
    }
    if (status == HT_OK && run->steps + report->steps > HT_MAX_STEPS) {
        status = ht_fail(p->context, HT_ERR_INVALID,
                         "%u steps take sampler %s %u evaluations; at most %d are possible", steps,
                         report->sampler, run->steps + report->steps, HT_MAX_STEPS);
    }
    return status;
}

// The initial picture at the run's size, as a latent of each item.
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
    }
    for (uint32_t i = 0; i < run->count && status == HT_OK; ++i) {
        ht_item *item = &run->items[i];
        status = ht_vae_stage_encode(run, &item->random, pixels, item->latent);
    }
    ht_image_clear(context, &resized);
    ht_free(context, pixels);
    return status;
}

// Noise the items' latents to where step `first` starts.
static void add_noise(ht_run *run, uint32_t first) {
    for (uint32_t i = 0; i < run->count && first < run->steps; ++i) {
        ht_item *item = &run->items[i];
        ht_random_normal(&item->random, run->work, run->latent_count);
        ht_sampler_add_noise(item->sampler, first, run->work, item->latent);
    }
}

// What step `first` starts from, made of the initial picture.
static ht_status start_picture(ht_run *run, uint32_t first) {
    ht_status status = HT_OK;
    if (!run->params->mask) {
        status = encode_picture(run);
        if (status == HT_OK) {
            add_noise(run, first);
        }
        return status;
    }
    for (uint32_t i = 0; i < run->count && status == HT_OK; ++i) {
        status = ht_inpaint_start(run, &run->items[i], first);
    }
    return status;
}

static void start_noise(ht_item *item, size_t count) {
    float scale = ht_sampler_initial_scale(item->sampler);
    ht_random_normal(&item->random, item->latent, count);
    for (size_t i = 0; i < count; ++i) {
        item->latent[i] *= scale;
    }
}

// Noise, beside which the initial picture stands that a clip begins with.
static ht_status start_clip(ht_run *run) {
    for (uint32_t i = 0; i < run->count; ++i) {
        start_noise(&run->items[i], run->latent_count);
    }
    if (!run->params->init) {
        return HT_OK;
    }
    ht_status status = ht_run_phase(run, HT_PHASE_PICTURE, 0);
    return status == HT_OK ? ht_clip_picture_start(run) : status;
}

static void close_vae(ht_run *run) {
    if (!run->pipeline->options.keep_loaded) {
        ht_vae_stage_release(&run->pipeline->vae);
        ht_part_close(run->pipeline, PART_VAE);
    }
}

// Noise, or a noised picture; run->first is where the schedule is entered.
static ht_status start(ht_run *run) {
    const ht_sampler *sampler = run->items[0].sampler;
    run->first = 0;
    if (run->enlarged) {
        run->first = ht_sampler_first(sampler, run->params->hires.strength);
        add_noise(run, run->first);
        return HT_OK;
    }
    if (!run->params->init || run->pipeline->info.frames > 0) {
        const ht_status started = start_clip(run);
        close_vae(run);
        return started;
    }
    run->first = ht_sampler_first(sampler, run->params->strength);
    ht_status status = ht_run_phase(run, HT_PHASE_PICTURE, 0);
    if (status == HT_OK) {
        status = start_picture(run, run->first);
    }
    close_vae(run);
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

ht_status ht_run_decode(ht_run *run, ht_vae_stage *vae, const float *latent, ht_image *image) {
    ht_context *context = run->pipeline->context;
    size_t count = (size_t)run->width * run->height * 3;
    if (vae->config.video) {
        return ht_clip_preview(run, vae, latent, image);
    }
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

// The clean picture this step amounts to, of the first item.
static ht_status show_preview(ht_run *run, uint32_t step, const float *prediction, float *clean,
                              ht_image *image) {
    ht_pipeline *p = run->pipeline;
    uint32_t every = run->params->preview_every;
    *image = (ht_image){0};
    if (every == 0 || (step + 1) % every != 0) {
        return HT_OK;
    }
    ht_sampler_denoised(run->items[0].sampler, step, run->items[0].latent, prediction, clean);
    return ht_run_decode(run, p->parts[PART_PREVIEW].name ? &p->preview : &p->vae, clean, image);
}

static ht_status check_finite(ht_run *run) {
    float low, high;
    if (all_finite(run->latents, run->count * run->latent_count, &low, &high)) {
        return HT_OK;
    }
    return ht_fail(run->pipeline->context, HT_ERR_UNSUPPORTED,
                   "the denoiser gave values that are not numbers%s",
                   run->pipeline->activations == HT_FORMAT_F16 ? "; f32 has more range" : "");
}

static ht_status loop(ht_run *run) {
    float *inputs = run->work, *predictions = inputs + run->count * run->latent_count;
    float *clean = predictions + run->count * run->latent_count;
    uint32_t count = run->steps - run->first, before = run->report->steps;
    ht_status status = HT_OK;
    for (uint32_t s = run->first; s < run->steps && status == HT_OK; ++s) {
        double began = ht_seconds();
        ht_image preview = {0};
        for (uint32_t i = 0; i < run->count; ++i) {
            ht_sampler_input(run->items[i].sampler, s, run->items[i].latent,
                             inputs + i * run->latent_count);
        }
        status = ht_denoise_predict(run, s, inputs, predictions);
        if (status == HT_OK) {
            status = show_preview(run, s, predictions, clean, &preview);
        }
        for (uint32_t i = 0; i < run->count && status == HT_OK; ++i) {
            ht_item *item = &run->items[i];
            ht_sampler_step(item->sampler, s, predictions + i * run->latent_count, item->latent);
            ht_inpaint_step(run, item, s + 1, clean);
        }
        if (status == HT_OK) {
            uint32_t done = s - run->first + 1;
            run->report->step_seconds[before + done - 1] = ht_seconds() - began;
            run->report->steps = before + done;
            status = ht_run_step(run, done, count, preview.rgb ? &preview : NULL);
        }
        ht_image_clear(run->pipeline->context, &preview);
    }
    return status == HT_OK ? check_finite(run) : status;
}

// One pass; `last`: the denoiser is not needed behind it.
static ht_status denoise(ht_run *run, bool last) {
    ht_pipeline *p = run->pipeline;
    ht_status status = start(run);
    if (status == HT_OK && run->first < run->steps) {
        status = ht_run_phase(run, HT_PHASE_LOAD, 0);
        if (status == HT_OK) {
            const float *timesteps = ht_sampler_timesteps(run->items[0].sampler);
            status = ht_denoise_prepare(run, timesteps, run->steps);
        }
        if (status == HT_OK) {
            status = ht_run_phase(run, HT_PHASE_SAMPLE, run->steps - run->first);
        }
        if (status == HT_OK) {
            status = loop(run);
        }
    }
    if (!p->options.keep_loaded && (last || status != HT_OK)) {
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
                    .count = params->batch > 1 ? params->batch : 1,
                    .phase = HT_PHASE_LOAD};
    run->start = run->phase_start = ht_seconds();
    run->count = run->count > HT_MAX_BATCH ? HT_MAX_BATCH : run->count; // which is refused
    for (uint32_t i = 0; i < run->count; ++i) {
        run->items[i].seed = params->seed + i;
        ht_random_seed(&run->items[i].random, run->items[i].seed);
    }
    ht_context_memory_restart(p->context);
}

// The second pass: the same again, larger and from part of its schedule on.
static ht_status sample_again(ht_run *run, uint32_t width, uint32_t height) {
    const ht_hires *hires = &run->params->hires;
    ht_report *report = run->report;
    report->first_width = run->width;
    report->first_height = run->height;
    report->first_steps = report->steps;
    ht_status status = ht_hires_enlarge(run, width, height);
    run->enlarged = true;
    if (status == HT_OK) {
        status = make_samplers(run, hires->steps ? hires->steps : report->schedule_steps);
    }
    return status == HT_OK ? denoise(run, true) : status;
}

ht_status ht_run_sample(ht_run *run) {
    uint32_t width = 0, height = 0; // of the second pass
    ht_status status = check(run);
    if (status == HT_OK) {
        status = ht_hires_check(run, &width, &height);
    }
    if (status == HT_OK && width > 0) {
        status = check_batch(run, width, height);
    }
    if (status == HT_OK) {
        status = ht_run_resize(run, run->width, run->height);
    }
    if (status == HT_OK) {
        run->report->schedule_steps = run->steps;
        status = make_samplers(run, run->steps);
    }
    if (status == HT_OK) {
        status = ht_run_phase(run, HT_PHASE_TEXT, 0);
    }
    if (status == HT_OK) {
        status = ht_text_encode(run);
    }
    if (status == HT_OK) {
        status = denoise(run, width == 0);
    }
    return status == HT_OK && width > 0 ? sample_again(run, width, height) : status;
}

void ht_run_end(ht_run *run) {
    ht_report *report = run->report;
    ht_context *context = run->pipeline->context;
    double end = ht_seconds();
    ht_memory_use use;
    for (uint32_t i = 0; i < run->count; ++i) {
        ht_inpaint_clear(run, &run->items[i]);
        ht_sampler_destroy(&run->items[i].sampler);
    }
    ht_free(context, run->latents);
    ht_free(context, run->condition);
    run->latents = run->condition = NULL;
    report->phase_seconds[run->phase] += end - run->phase_start;
    report->total_seconds = end - run->start;
    report->width = run->width;
    report->height = run->height;
    report->batch = run->count;
    report->frames = run->frames;
    report->cfg_scale = run->cfg_scale;
    ht_context_memory(context, &use);
    report->peak_device_bytes = use.allocated_peak;
    report->planned_peak_bytes = use.planned_peak;
}

// Latents to pictures, one after the other.
static ht_status decode_all(ht_run *run, ht_image *images) {
    ht_pipeline *p = run->pipeline;
    const ht_callbacks *callbacks = run->callbacks;
    ht_status status = ht_run_phase(run, HT_PHASE_DECODE, 0);
    for (uint32_t i = 0; i < run->count && status == HT_OK; ++i) {
        ht_item *item = &run->items[i];
        if (callbacks && callbacks->latent) {
            const uint32_t rows = run->latent_height * run->latent_frames; // one, of a picture
            uint32_t dims[3] = {p->vae.config.latent_channels, rows, run->latent_width};
            callbacks->latent(callbacks->user, ht_clip_channels_first(run, item->latent), dims);
        }
        if (run->params->latent_only) {
            continue;
        }
        ht_image *first = &images[(size_t)i * run->frames];
        status = p->vae.config.video
                     ? ht_clip_decode(run, &p->vae, item->latent, run->frames, first)
                     : ht_run_decode(run, &p->vae, item->latent, first);
        if (status == HT_OK && !p->vae.config.video) {
            ht_inpaint_paste(run, item, first);
        }
    }
    return status;
}

ht_status ht_pipeline_generate(ht_pipeline *pipeline, const ht_generate_params *params,
                               const ht_callbacks *callbacks, ht_image *images, ht_report *report) {
    ht_context *context = pipeline->context;
    ht_report *filled = report;
    const bool clip = pipeline->info.frames > 0 && params->frames > 0 &&
                      params->frames <= HT_MAX_FRAMES; // other numbers are refused
    const size_t pictures = (size_t)(params->batch > 1 ? params->batch : 1) *
                            (clip ? ht_clip_frames(pipeline, params->frames) : 1);
    memset(images, 0, pictures * sizeof(*images));
    ht_status status = need_device(pipeline);
    if (status != HT_OK) {
        return status;
    }
    if (!filled && !(filled = ht_alloc(context, sizeof(*filled)))) {
        return HT_ERR_NO_MEMORY;
    }
    ht_run *run = ht_alloc(context, sizeof(*run)); // too large for a stack
    status = run ? HT_OK : HT_ERR_NO_MEMORY;
    if (run) {
        ht_run_begin(run, pipeline, params, callbacks, filled);
        status = ht_run_sample(run);
        if (status == HT_OK) {
            status = decode_all(run, images);
        }
        if (!pipeline->options.keep_loaded) {
            ht_vae_stage_release(&pipeline->vae);
            ht_part_close(pipeline, PART_VAE);
        }
        for (size_t i = 0; i < pictures && status != HT_OK; ++i) {
            ht_image_clear(context, &images[i]);
        }
        ht_run_end(run);
    }
    if (status == HT_ERR_CANCELLED) {
        ht_log(context, HT_LOG_INFO, "cancelled after %u steps", filled->steps);
    }
    ht_free(context, run);
    if (!report) {
        ht_free(context, filled);
    }
    return status;
}

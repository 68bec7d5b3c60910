// What is kept inside a PNG: the text block other programs read, and our own exact JSON.
#include "job_output.h"
#include "job_parts.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Last part of a path: a model's name.
static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

const char *ht_job_recipe_name(const ht_job *job, const ht_job_picture *picture) {
    const char *name = picture->report.recipe;
    return *name ? name : job->fp32 ? "fp32" : "fp16";
}

static const char *control_name(const ht_job *job) {
    return job->control ? base_name(job->control) : "of the model";
}

// Values of the block that hold commas are quoted as in JSON.
static void describe_control(const ht_job *job, char *out, size_t bytes) {
    char plain[512];
    snprintf(plain, sizeof(plain),
             "Module: none, Model: %.255s, Weight: %g, Guidance Start: %g, Guidance End: %g",
             control_name(job), job->control_strength, job->control_start, job->control_end);
    json_t *text = json_string(plain);
    char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    if (quoted) {
        snprintf(out, bytes, ", ControlNet 0: %s", quoted);
    }
    free(quoted);
    json_decref(text);
}

// --lora as A1111 has it, in the prompt; a name holds neither : nor >.
static char *prompt_with_loras(const ht_job *job, const char *prompt) {
    size_t bytes = strlen(prompt) + 1;
    ht_job_loras loras = {.prompt = NULL};
    ht_app_log quiet = {.program = "gen", .level = HT_LOG_ERROR};
    if (job->loras.count > 0 && ht_job_loras_read(job, &quiet, prompt, &loras)) {
        for (uint32_t i = 0; i < job->loras.count; ++i) {
            bytes += strlen(loras.files[i].path) + 40;
        }
    }
    char *text = malloc(bytes);
    size_t used = text ? (size_t)snprintf(text, bytes, "%s", prompt) : 0;
    for (uint32_t i = 0; text && loras.prompt && i < job->loras.count; ++i) {
        const char *name = base_name(loras.files[i].path);
        const char *end = strstr(name, ".safetensors");
        used += (size_t)snprintf(text + used, bytes - used, " <lora:%.*s:%g>",
                                 (int)(end ? (size_t)(end - name) : strlen(name)), name,
                                 (double)loras.files[i].scale);
    }
    ht_job_loras_free(&loras);
    return text;
}

// The second pass in A1111's words; its "Hires steps" are those that were run.
static void describe_hires(const ht_job *job, const ht_report *r, char *out, size_t bytes) {
    char size[64];
    ht_upscaler upscaler = HT_UPSCALE_LATENT;
    if (job->hires_upscaler) {
        ht_upscaler_find(job->hires_upscaler, &upscaler);
    }
    if (job->hires_scale > 0) {
        snprintf(size, sizeof(size), "Hires upscale: %g", job->hires_scale);
    } else {
        snprintf(size, sizeof(size), "Hires resize: %ux%u", r->width, r->height);
    }
    snprintf(out, bytes, ", Denoising strength: %g, %s, Hires steps: %u, Hires upscaler: %s",
             job->hires_strength, size, r->steps - r->first_steps, ht_upscaler_label(upscaler));
}

char *ht_job_parameters(const ht_job *job, const ht_job_picture *picture) {
    const ht_report *r = &picture->report;
    const char *negative = job->negative_prompt ? job->negative_prompt : "";
    char more[1024] = "";
    if (r->first_width > 0) {
        describe_hires(job, r, more, sizeof(more));
    } else if (job->init_image && job->fps <= 0) { // of a clip it is the first frame as it is
        snprintf(more, sizeof(more), ", Denoising strength: %g", job->strength);
    }
    if (job->mask) {
        size_t used = strlen(more);
        snprintf(more + used, sizeof(more) - used, ", Mask blur: %u", job->mask_blur);
    }
    if (job->cfg_rescale > 0) {
        size_t used = strlen(more);
        snprintf(more + used, sizeof(more) - used, ", CFG rescale phi: %g", job->cfg_rescale);
    }
    if (job->eta >= 0) {
        size_t used = strlen(more);
        snprintf(more + used, sizeof(more) - used, ", Eta: %g", job->eta);
    }
    if (job->clip_skip > 1) {
        size_t used = strlen(more);
        snprintf(more + used, sizeof(more) - used, ", Clip skip: %u", job->clip_skip);
    }
    if (job->batch_size > 1) {
        size_t used = strlen(more);
        snprintf(more + used, sizeof(more) - used, ", Batch size: %u, Batch pos: %u",
                 job->batch_size, picture->position - 1);
    }
    if (job->attention) {
        size_t used = strlen(more);
        snprintf(more + used, sizeof(more) - used, ", Attention: %.64s", job->attention);
    }
    if (job->fps > 0) { // a clip
        size_t used = strlen(more);
        snprintf(more + used, sizeof(more) - used, ", Frames: %u, FPS: %g", r->frames, job->fps);
    }
    if (job->control_image) {
        size_t used = strlen(more);
        describe_control(job, more + used, sizeof(more) - used);
    }
    static const char format[] =
        "%s%s%s\nSteps: %u, Sampler: %s, Schedule type: %s, CFG scale: %g, "
        "Seed: %llu, Size: %ux%u, Model: %s%s, Recipe: %s, RNG: CPU, Version: "
        "halftone %s";
    uint32_t steps = r->schedule_steps;
    uint32_t width = r->first_width > 0 ? r->first_width : r->width;
    uint32_t height = r->first_width > 0 ? r->first_height : r->height;
    char *prompt = prompt_with_loras(job, picture->prompt);
    if (!prompt) {
        return NULL;
    }
    size_t room = strlen(prompt) + strlen(negative) + strlen(job->model) + strlen(more) + 640;
    char *text = malloc(room);
    if (text) {
        snprintf(text, room, format, prompt, *negative ? "\nNegative prompt: " : "", negative,
                 steps, r->sampler_label, r->schedule, (double)r->cfg_scale,
                 (unsigned long long)picture->seed, width, height, base_name(job->model), more,
                 ht_job_recipe_name(job, picture), HT_VERSION);
    }
    free(prompt);
    return text;
}

// Said elsewhere, as it was used, or of no use on another machine.
static bool is_elsewhere(const ht_flag *field, const char *key) {
    static const char *const keys[] = {"prompt", "model",    "recipe",   "fp32",   "seed",
                                       "hires",  "lora_dir", "embd_dir", "strict", "batch_count"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); ++i) {
        if (strcmp(keys[i], key) == 0) {
            return true;
        }
    }
    return ht_job_is_short_recipe(field);
}

// A setting that counts only beside another one is written with it, though it be the default.
static bool counts(const ht_job *job, const char *key) {
    const bool second = job->hires_scale > 0 || job->hires_width > 0 || job->hires_height > 0;
    const struct {
        const char *prefix;
        bool given;
    } rows[] = {{"strength", job->init_image != NULL && job->fps <= 0},
                {"mask_blur", job->mask != NULL},
                {"control_", job->control_image != NULL},
                {"hires_strength", second},
                {"hires_steps", second}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); ++i) {
        if (rows[i].given && strncmp(key, rows[i].prefix, strlen(rows[i].prefix)) == 0) {
            return true;
        }
    }
    return false;
}

// Files by their names alone: a picture is given to others.
static json_t *shared_value(const ht_job *job, const ht_flag *field) {
    json_t *value = ht_job_field_json(job, field);
    if (!ht_job_field_is_path(field)) {
        return value;
    }
    for (size_t i = 0; i < json_array_size(value); ++i) {
        const char *path = json_string_value(json_array_get(value, i));
        json_array_set_new(value, i, json_string(base_name(path)));
    }
    if (json_is_string(value)) {
        json_string_set(value, base_name(json_string_value(value)));
    }
    return value;
}

void ht_job_settings(const ht_job *job, json_t *json) {
    for (size_t i = 0; i < ht_job_field_count; ++i) {
        const ht_flag *field = &ht_job_fields[i];
        char key[64];
        if (field->kind == HT_FLAG_GROUP || field->kind == HT_FLAG_LATER) {
            continue;
        }
        ht_job_field_key(field, key);
        const bool said = !ht_job_same_field(job, &ht_job_defaults, field) || counts(job, key);
        if (said && !is_elsewhere(field, key) && !json_object_get(json, key)) {
            json_object_set_new(json, key, shared_value(job, field));
        }
    }
}

char *ht_job_metadata(const ht_job *job, const ht_job_picture *picture) {
    const ht_report *r = &picture->report;
    // With a second pass those of the first, as the job says.
    const uint32_t width = r->first_width > 0 ? r->first_width : r->width;
    const uint32_t height = r->first_width > 0 ? r->first_height : r->height;
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:I, s:i, s:s, s:s, s:f, s:i, s:i, s:s, s:s}", "version", HT_VERSION,
        "prompt", picture->prompt, "model", base_name(job->model), "seed",
        (json_int_t)picture->seed, "steps", (int)r->schedule_steps, "sampler", r->sampler,
        "schedule", r->schedule, "cfg_scale", (double)r->cfg_scale, "width", (int)width, "height",
        (int)height, "recipe", ht_job_recipe_name(job, picture), "rng", "torch-cpu");
    if (!json) {
        return strdup("{}"); // a prompt that is not UTF-8 has no place in JSON
    }
    ht_job_settings(job, json);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
    json_decref(json);
    return text;
}

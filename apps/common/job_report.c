// What a picture took: as JSON, and one line for people.
#include "job_output.h"

#include <jansson.h>
#include <stdio.h>

static json_t *part_json(const ht_part_report *part) {
    json_t *formats = json_object();
    for (uint32_t i = 0; i < part->n_formats; ++i) {
        json_object_set_new(formats, ht_format_name(part->formats[i].format),
                            json_integer((json_int_t)part->formats[i].bytes));
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:o, s:I, s:I, s:i}", "name", part->name, "device_bytes",
                     (json_int_t)part->device_bytes, "imported_bytes",
                     (json_int_t)part->imported_bytes, "float_bytes", (json_int_t)part->float_bytes,
                     "weight_bytes", formats, "lora_bytes", (json_int_t)part->lora_bytes,
                     "activation_bytes",
                     (json_int_t)part->activation_bytes, "dispatches", (int)part->dispatches);
}

json_t *ht_job_report_json(const ht_job *job, const ht_job_picture *picture) {
    const ht_report *r = &picture->report;
    json_t *json =
        json_pack("{s:s, s:I, s:i, s:i, s:i, s:s, s:s, s:f, s:i, s:b, s:f, s:I, s:I, s:s}", "path",
                  picture->path, "seed", (json_int_t)picture->seed, "width", (int)r->width,
                  "height", (int)r->height, "steps", (int)r->steps, "sampler", r->sampler,
                  "schedule", r->schedule, "cfg_scale", (double)r->cfg_scale, "prompt_tokens",
                  (int)r->prompt_tokens, "tiled", (int)r->tiled, "total_seconds", r->total_seconds,
                  "planned_peak_bytes", (json_int_t)r->planned_peak_bytes, "peak_device_bytes",
                  (json_int_t)r->peak_device_bytes, "recipe", *r->recipe ? r->recipe : "none");
    json_t *phases = json_object(), *steps = json_array(), *parts = json_array();
    for (int i = 0; i < HT_PHASES; ++i) {
        json_object_set_new(phases, ht_phase_name((ht_phase)i), json_real(r->phase_seconds[i]));
    }
    for (uint32_t i = 0; i < r->steps; ++i) {
        json_array_append_new(steps, json_real(r->step_seconds[i]));
    }
    for (int i = 0; i < HT_REPORT_PARTS; ++i) {
        if (r->parts[i].name[0]) {
            json_array_append_new(parts, part_json(&r->parts[i]));
        }
    }
    if (r->first_width > 0) {
        json_object_set_new(json, "first_width", json_integer(r->first_width));
        json_object_set_new(json, "first_height", json_integer(r->first_height));
        json_object_set_new(json, "first_steps", json_integer(r->first_steps));
    }
    json_object_set_new(json, "prompt", json_string(picture->prompt));
    ht_job_settings(job, json);
    json_object_set_new(json, "phase_seconds", phases);
    json_object_set_new(json, "step_seconds", steps);
    json_object_set_new(json, "parts", parts);
    return json;
}

void ht_job_report_summary(const ht_job_picture *picture, ht_app_log *log) {
    const ht_report *r = &picture->report;
    if (log->level < HT_LOG_WARN) {
        return;
    }
    if (log->bar) {
        fputs("\r\033[K", stderr);
        log->bar = false;
    }
    double sample = r->phase_seconds[HT_PHASE_SAMPLE];
    char others[32] = "";
    if (r->batch > 1) {
        snprintf(others, sizeof(others), " and %u more", r->batch - 1);
    }
    fprintf(stderr,
            "%ux%u, seed %llu%s, %u steps of %s: %.2f s (text %.2f, load %.2f, sample %.2f, decode "
            "%.2f; %.2f it/s), device memory %.0f MiB\n",
            r->width, r->height, (unsigned long long)picture->seed, others, r->steps, r->sampler,
            r->total_seconds, r->phase_seconds[HT_PHASE_TEXT], r->phase_seconds[HT_PHASE_LOAD],
            sample, r->phase_seconds[HT_PHASE_DECODE], sample > 0 ? r->steps / sample : 0,
            (double)r->peak_device_bytes / (1 << 20));
}

// Settings out of a PNG's texts: our JSON, and A1111's block.
#include "infotext.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ht_infotext_set(const char **field, const char *text) {
    char *copy = text ? strdup(text) : NULL;
    if (copy) {
        free((char *)*field);
        *field = copy;
    }
}

// ---- numbers

static void set_count(uint32_t *field, const char *text) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end != text && value > 0 && value <= 1u << 20) {
        *field = (uint32_t)value;
    }
}

static void set_real(double *field, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end != text && isfinite(value)) {
        *field = value;
    }
}

static void set_seed(int64_t *field, const char *text) {
    char *end;
    long long value = strtoll(text, &end, 10); // a larger one is not a seed of ours
    if (end != text && isdigit((unsigned char)*text) && value < INT64_MAX) {
        *field = value;
    }
}

// ---- "Steps: 20, Sampler: DPM++ 2M, Size: 512x768, ..."

static void take_size(uint32_t *width, uint32_t *height, const char *value) {
    const char *cross = strchr(value, 'x');
    if (cross) {
        set_count(width, value);
        set_count(height, cross + 1);
    }
}

// stable-diffusion.cpp writes "Sampler: euler_a karras"; old A1111 "DPM++ 2M Karras", which is kept.
static void take_field(ht_job *job, const char *key, const char *value) {
    const struct {
        const char *key;
        const char **text;
        uint32_t *count;
        double *real;
    } rows[] = {
        {"Steps", NULL, &job->steps, NULL},
        {"Sampler", &job->sampler, NULL, NULL},
        {"Schedule type", &job->schedule, NULL, NULL},
        {"CFG scale", NULL, NULL, &job->cfg_scale},
        {"Model", &job->model, NULL, NULL},
        {"Unet", &job->model, NULL, NULL},
        {"Recipe", &job->recipe, NULL, NULL},
        {"Attention", &job->attention, NULL, NULL},
        {"Clip skip", NULL, &job->clip_skip, NULL},
        {"Denoising strength", NULL, NULL, &job->strength},
        {"Eta", NULL, NULL, &job->eta},
        {"Hires upscale", NULL, NULL, &job->hires_scale},
        {"Hires upscaler", &job->hires_upscaler, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); ++i) {
        if (strcmp(rows[i].key, key) != 0) {
            continue;
        }
        if (rows[i].text) {
            ht_infotext_set(rows[i].text, value);
        } else if (rows[i].count) {
            set_count(rows[i].count, value);
        } else {
            set_real(rows[i].real, value);
        }
    }
    if (strcmp(key, "Seed") == 0) {
        set_seed(&job->seed, value);
    } else if (strcmp(key, "Size") == 0) {
        take_size(&job->width, &job->height, value);
    } else if (strcmp(key, "Hires resize") == 0) {
        take_size(&job->hires_width, &job->hires_height, value);
    }
}

// A quoted value of JSON, or everything up to the next comma; returns where it ends.
static const char *read_value(const char *at, char **value) {
    if (*at == '"') {
        json_error_t error;
        json_t *json = json_loads(at, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
        if (json_is_string(json)) {
            *value = strdup(json_string_value(json));
            json_decref(json);
            return at + error.position;
        }
        json_decref(json);
    }
    size_t length = strcspn(at, ",\n");
    *value = strndup(at, length);
    return at + length;
}

static bool is_key_char(char c) {
    return isalnum((unsigned char)c) || strchr("_ -/", c) != NULL;
}

// "Key: value, Key: value"; returns how many there are. `out` may be NULL.
static size_t read_fields(const char *line, ht_job *out) {
    size_t count = 0;
    for (const char *at = line; *at && *at != '\n';) {
        char key[64], *value = NULL;
        size_t length = 0;
        at += strspn(at, ", ");
        while (at[length] && is_key_char(at[length])) {
            ++length;
        }
        if (length == 0 || length >= sizeof(key) || at[length] != ':') {
            at += strcspn(at, ",\n");
            continue;
        }
        snprintf(key, sizeof(key), "%.*s", (int)length, at);
        at += length + 1;
        at = read_value(at + strspn(at, " "), &value);
        if (out && value) {
            take_field(out, key, value);
        }
        free(value);
        ++count;
    }
    return count;
}

// A copy of the lines from `from` up to `end`, without the newline before `end`.
static char *copy_lines(const char *from, const char *end) {
    while (end > from && (end[-1] == '\n' || end[-1] == '\r')) {
        --end;
    }
    return strndup(from, (size_t)(end - from));
}

// With a second pass the strength is that pass's. Its "Hires steps" are those that are run, not the
// schedule's, and stay out.
static void settle_second_pass(ht_job *job) {
    if (job->hires_scale > 0 || job->hires_width > 0) {
        job->hires_strength = job->strength >= 0 ? job->strength : job->hires_strength;
        job->strength = -1;
    }
}

// The last line is the parameters' when it holds three of them; above are prompt and negative prompt.
static bool parse_block(const char *text, ht_job *job) {
    static const char mark[] = "Negative prompt:";
    size_t bytes = strlen(text);
    const char *end = text + bytes;
    while (end > text && isspace((unsigned char)end[-1])) {
        --end;
    }
    char *block = strndup(text, (size_t)(end - text));
    if (!block) {
        return false;
    }
    char *last = strrchr(block, '\n');
    last = last ? last + 1 : block;
    const bool has_fields = read_fields(last, NULL) >= 3;
    if (has_fields) {
        read_fields(last, job);
        settle_second_pass(job);
    }
    const char *stop = has_fields ? last : block + strlen(block);
    const char *negative = block;
    while (negative && strncmp(negative, mark, sizeof(mark) - 1) != 0) {
        negative = strchr(negative, '\n');
        negative = negative ? negative + 1 : NULL;
    }
    if (negative && negative < stop) {
        const char *from = negative + sizeof(mark) - 1;
        free((char *)job->negative_prompt);
        job->negative_prompt = copy_lines(from + strspn(from, " "), stop);
    } else {
        ht_infotext_set(&job->negative_prompt, "");
        negative = stop;
    }
    free((char *)job->prompt);
    job->prompt = copy_lines(block, negative);
    free(block);
    return has_fields || (job->prompt && *job->prompt);
}

// ---- ours

// Keys of older versions.
static const char *key_of(const char *key) {
    return strcmp(key, "loras") == 0 ? "lora" : strcmp(key, "embeddings") == 0 ? "embedding" : key;
}

// The JSON of job_metadata.c: all fields that are not as in ht_job_defaults, and more that is not of the
// job. A value that the table does not allow is passed over.
static bool parse_ours(const char *text, ht_job *out) {
    json_t *json = json_loads(text, 0, NULL), *value;
    ht_job said = ht_job_defaults, own;
    const char *key;
    char why[256];
    said.model = NULL;
    json_object_foreach(json, key, value) {
        const ht_flag *field = ht_job_field_find(key_of(key));
        if (field) {
            ht_job before = said;
            said = ht_job_set_json(&said, key_of(key), value, why, sizeof(why)) ? said : before;
        }
    }
    if (said.recipe &&
        strcmp(said.recipe, "fp32") == 0) { // no recipe, but single floats everywhere
        said.fp32 = true;
        said.recipe = NULL;
    }
    const bool good = said.prompt && ht_job_copy(&said, &own);
    if (good) {
        ht_job_clear(out);
        *out = own;
    }
    json_decref(json);
    return good;
}

bool ht_infotext_parse(const ht_png_texts *texts, ht_infotext *out, char *why, size_t why_bytes) {
    *out = (ht_infotext){.job = ht_job_defaults};
    out->job.model = NULL;
    out->job.strength = -1;
    const char *block = ht_png_texts_find(texts, "parameters");
    const char *ours = ht_png_texts_find(texts, "halftone");
    const char *graph = ht_png_texts_find(texts, "prompt");
    if (block && parse_block(block, &out->job)) {
        out->source = "A1111";
    }
    if (ours && parse_ours(ours, &out->job)) {
        out->source = "halftone";
    }
    if (!out->source && graph && ht_infotext_comfy(graph, out)) {
        out->source = "ComfyUI";
    }
    if (!out->source) {
        ht_infotext_free(out);
        snprintf(why, why_bytes, "it holds no settings that could be read");
    }
    return out->source != NULL;
}

bool ht_infotext_read(const char *path, ht_infotext *out, char *why, size_t why_bytes) {
    ht_png_texts texts;
    char reason[128];
    *out = (ht_infotext){0};
    if (!ht_png_texts_read(path, &texts, why, why_bytes)) {
        return false;
    }
    const bool found = ht_infotext_parse(&texts, out, reason, sizeof(reason));
    ht_png_texts_free(&texts);
    if (!found) {
        snprintf(why, why_bytes, "'%s': %s", path, reason);
    }
    return found;
}

void ht_infotext_free(ht_infotext *info) {
    ht_job_clear(&info->job);
    *info = (ht_infotext){0};
}

// Settings out of a PNG's texts: our JSON, and A1111's block.
#include "infotext.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ht_infotext_set(char **field, const char *text) {
    char *copy = text ? strdup(text) : NULL;
    if (copy) {
        free(*field);
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

static void set_seed(ht_infotext *out, const char *text) {
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (end != text && isdigit((unsigned char)*text)) {
        out->seed = value;
        out->has_seed = true;
    }
}

// ---- "Steps: 20, Sampler: DPM++ 2M, Size: 512x768, ..."

static void take_size(ht_infotext *out, const char *value) {
    const char *cross = strchr(value, 'x');
    if (cross) {
        set_count(&out->width, value);
        set_count(&out->height, cross + 1);
    }
}

// stable-diffusion.cpp writes "Sampler: euler_a karras"; old A1111 "DPM++ 2M Karras", which is kept.
static void take_field(ht_infotext *out, const char *key, const char *value) {
    const struct {
        const char *key;
        char **text;
        uint32_t *count;
        double *real;
    } rows[] = {
        {"Steps", NULL, &out->steps, NULL},
        {"Sampler", &out->sampler, NULL, NULL},
        {"Schedule type", &out->schedule, NULL, NULL},
        {"CFG scale", NULL, NULL, &out->cfg_scale},
        {"Model", &out->model, NULL, NULL},
        {"Unet", &out->model, NULL, NULL},
        {"Recipe", &out->recipe, NULL, NULL},
        {"Clip skip", NULL, &out->clip_skip, NULL},
        {"Denoising strength", NULL, NULL, &out->strength},
        {"Eta", NULL, NULL, &out->eta},
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
        set_seed(out, value);
    } else if (strcmp(key, "Size") == 0) {
        take_size(out, value);
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
static size_t read_fields(const char *line, ht_infotext *out) {
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

// The last line is the parameters' when it holds three of them; above are prompt and negative prompt.
static bool parse_block(const char *text, ht_infotext *out) {
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
        read_fields(last, out);
    }
    const char *stop = has_fields ? last : block + strlen(block);
    const char *negative = block;
    while (negative && strncmp(negative, mark, sizeof(mark) - 1) != 0) {
        negative = strchr(negative, '\n');
        negative = negative ? negative + 1 : NULL;
    }
    if (negative && negative < stop) {
        const char *from = negative + sizeof(mark) - 1;
        free(out->negative);
        out->negative = copy_lines(from + strspn(from, " "), stop);
    } else {
        ht_infotext_set(&out->negative, "");
        negative = stop;
    }
    free(out->prompt);
    out->prompt = copy_lines(block, negative);
    free(block);
    return has_fields || *out->prompt;
}

// ---- ours

static void take_json_counts(const json_t *json, ht_infotext *out) {
    const struct {
        const char *key;
        uint32_t *count;
    } rows[] = {{"steps", &out->steps},
                {"width", &out->width},
                {"height", &out->height},
                {"clip_skip", &out->clip_skip}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); ++i) {
        json_int_t value = json_integer_value(json_object_get(json, rows[i].key));
        if (value > 0 && value <= 1 << 20) {
            *rows[i].count = (uint32_t)value;
        }
    }
}

static bool parse_ours(const char *text, ht_infotext *out) {
    json_t *json = json_loads(text, 0, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return false;
    }
    const struct {
        const char *key;
        char **text;
    } texts[] = {{"prompt", &out->prompt},   {"negative_prompt", &out->negative},
                 {"sampler", &out->sampler}, {"schedule", &out->schedule},
                 {"model", &out->model},     {"recipe", &out->recipe}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); ++i) {
        ht_infotext_set(texts[i].text, json_string_value(json_object_get(json, texts[i].key)));
    }
    const struct {
        const char *key;
        double *real;
    } reals[] = {{"cfg_scale", &out->cfg_scale}, {"strength", &out->strength}, {"eta", &out->eta}};
    for (size_t i = 0; i < sizeof(reals) / sizeof(*reals); ++i) {
        const json_t *value = json_object_get(json, reals[i].key);
        *reals[i].real = json_is_number(value) ? json_number_value(value) : *reals[i].real;
    }
    take_json_counts(json, out);
    const json_t *seed = json_object_get(json, "seed");
    if (json_is_integer(seed)) {
        out->seed = (uint64_t)json_integer_value(seed);
        out->has_seed = true;
    }
    json_decref(json);
    return out->prompt != NULL;
}

bool ht_infotext_parse(const ht_png_texts *texts, ht_infotext *out, char *why, size_t why_bytes) {
    *out = (ht_infotext){.cfg_scale = NAN, .strength = NAN, .eta = NAN};
    const char *block = ht_png_texts_find(texts, "parameters");
    const char *ours = ht_png_texts_find(texts, "halftone");
    const char *graph = ht_png_texts_find(texts, "prompt");
    if (block && parse_block(block, out)) {
        out->source = "A1111";
    }
    if (ours && parse_ours(ours, out)) {
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
    char *texts[] = {info->prompt,   info->negative, info->sampler,
                     info->schedule, info->model,    info->recipe};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); ++i) {
        free(texts[i]);
    }
    *info = (ht_infotext){0};
}

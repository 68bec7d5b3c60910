// The LoRAs of a picture: those of --lora, and A1111's tags <lora:NAME:SCALE> in its prompt.
#include "job_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

static bool read_scale(const char *text, size_t length, float *scale) {
    char number[64], *end;
    if (length == 0 || length >= sizeof(number)) {
        return false;
    }
    snprintf(number, sizeof(number), "%.*s", (int)length, text);
    *scale = strtof(number, &end);
    return !*end && isfinite(*scale) && fabsf(*scale) <= HT_MAX_LORA_SCALE;
}

static bool put(ht_job_loras *out, ht_app_log *log, const char *path, size_t length, float scale,
                float text_scale) {
    if (out->count == HT_JOB_LORAS) {
        ht_app_say(log, HT_LOG_ERROR, "more than %d LoRAs for one picture", HT_JOB_LORAS);
        return false;
    }
    char *own = strndup(path, length);
    if (!own) {
        ht_app_say(log, HT_LOG_ERROR, "out of memory");
        return false;
    }
    out->files[out->count++] =
        (ht_lora_file){.path = own, .scale = scale, .text_scale = text_scale};
    return true;
}

size_t ht_job_lora_path(const char *text, float *scale) {
    const char *colon = strrchr(text, ':');
    const bool scaled =
        colon && colon > text && !exists(text) && read_scale(colon + 1, strlen(colon + 1), scale);
    if (!scaled) {
        *scale = 1;
    }
    return scaled ? (size_t)(colon - text) : strlen(text);
}

static bool put_flag(ht_job_loras *out, ht_app_log *log, const char *text) {
    float scale;
    const size_t length = ht_job_lora_path(text, &scale);
    return put(out, log, text, length, scale, scale);
}

// Tags name files of one folder, and none outside of it.
static bool find_named(const ht_job *job, ht_app_log *log, const char *name, size_t length,
                       char path[PATH_MAX]) {
    static const char *const endings[] = {".safetensors", ""};
    if (!job->lora_dir) {
        ht_app_say(log, HT_LOG_ERROR,
                   "the prompt has <lora:%.*s>: --lora-dir says in which folder it is", (int)length,
                   name);
        return false;
    }
    char plain[256];
    snprintf(plain, sizeof(plain), "%.*s", (int)length, name);
    const bool inside =
        length > 0 && length < sizeof(plain) && *plain != '/' && !strstr(plain, "..");
    for (size_t i = 0; inside && i < sizeof(endings) / sizeof(*endings); ++i) {
        const int n = snprintf(path, PATH_MAX, "%s/%s%s", job->lora_dir, plain, endings[i]);
        if (n < PATH_MAX && exists(path)) {
            return true;
        }
    }
    ht_app_say(log, HT_LOG_ERROR, "there is no '%s.safetensors' in '%s' for <lora:%s>", plain,
               job->lora_dir, plain);
    return false;
}

// NAME, NAME:SCALE, or NAME:SCALE of text encoders:SCALE of the denoiser.
static bool put_tag(ht_job_loras *out, const ht_job *job, ht_app_log *log, const char *text,
                    size_t length) {
    char path[PATH_MAX];
    const char *end = text + length, *first = memchr(text, ':', length);
    const size_t name = first ? (size_t)(first - text) : length;
    const char *second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;
    float scale = 1, text_scale = 1;
    bool good = true;
    if (first) {
        good = read_scale(first + 1, (size_t)((second ? second : end) - first - 1), &text_scale);
        scale = text_scale;
    }
    if (good && second) {
        good = read_scale(second + 1, (size_t)(end - second - 1), &scale);
    }
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "<lora:%.*s>: expected <lora:NAME:SCALE>", (int)length, text);
        return false;
    }
    return find_named(job, log, text, name, path) &&
           put(out, log, path, strlen(path), scale, text_scale);
}

bool ht_job_loras_read(const ht_job *job, ht_app_log *log, const char *prompt, ht_job_loras *out) {
    static const char open[] = "<lora:";
    *out = (ht_job_loras){.prompt = calloc(strlen(prompt) + 1, 1)};
    char *rest = out->prompt;
    bool good = rest != NULL;
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "out of memory");
    }
    for (uint32_t i = 0; good && i < job->loras.count; ++i) {
        good = put_flag(out, log, job->loras.items[i]);
    }
    while (good && *prompt) {
        const char *tag = strstr(prompt, open), *close = tag ? strchr(tag, '>') : NULL;
        const size_t before = close ? (size_t)(tag - prompt) : strlen(prompt);
        memcpy(rest, prompt, before);
        rest += before;
        prompt += before;
        if (close) {
            tag += sizeof(open) - 1;
            good = put_tag(out, job, log, tag, (size_t)(close - tag));
            prompt = close + 1;
        }
    }
    if (!good) {
        ht_job_loras_free(out);
    }
    return good;
}

void ht_job_loras_free(ht_job_loras *loras) {
    for (uint32_t i = 0; i < loras->count; ++i) {
        free((char *)loras->files[i].path); // our copy
    }
    free(loras->prompt);
    *loras = (ht_job_loras){0};
}

// Jobs: the table of fields, defaults, and what contradicts itself.
#include "job.h"

#include "job_output.h"
#include "progress.h"

#include <common/attention_table.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

const ht_job ht_job_defaults = {
#define HT_JOB_GROUP(heading)
#define HT_JOB_LATER(name, what)
#define HT_JOB_FIELD(scope, member, kind, preset, ...) .member = preset,
#include "job_fields.def"
#undef HT_JOB_FIELD
#undef HT_JOB_LATER
#undef HT_JOB_GROUP
};

typedef struct only_job {
    ht_job job;
} only_job;

const ht_flag ht_job_fields[] = {
#define HT_JOB_OPTIONS only_job
#include "job_flags.h"
};

static const ht_job_scope scopes[] = {
#define HT_JOB_GROUP(heading) HT_JOB_SCOPE_PICTURE,
#define HT_JOB_LATER(name, what) HT_JOB_SCOPE_PICTURE,
#define HT_JOB_FIELD(scope, ...) HT_JOB_SCOPE_##scope,
#include "job_fields.def"
#undef HT_JOB_FIELD
#undef HT_JOB_LATER
#undef HT_JOB_GROUP
};

const size_t ht_job_field_count = sizeof(ht_job_fields) / sizeof(*ht_job_fields);

ht_job_scope ht_job_field_scope(size_t index) {
    return scopes[index];
}

void ht_job_field_key(const ht_flag *field, char key[64]) {
    snprintf(key, 64, "%s", field->name);
    for (char *c = key; *c; ++c) {
        *c = *c == '-' ? '_' : *c;
    }
}

const ht_flag *ht_job_field_find(const char *key) {
    char name[64];
    const size_t length = strlen(key);
    if (length >= sizeof(name) || strchr(key, '-') || strchr(key, ' ')) {
        return NULL;
    }
    for (size_t i = 0; i <= length; ++i) {
        name[i] = key[i];
        if (key[i] == '_') {
            name[i] = '-';
        }
    }
    for (size_t i = 0; i < ht_job_field_count; ++i) {
        if (ht_flag_is(&ht_job_fields[i], name, length)) {
            return &ht_job_fields[i];
        }
    }
    return NULL;
}

bool ht_job_field_is_path(const ht_flag *field) {
    return (field->kind == HT_FLAG_TEXT || field->kind == HT_FLAG_LIST) && field->value &&
           (strstr(field->value, "FILE") || strstr(field->value, "DIR"));
}

static bool refuse(char *why, size_t why_bytes, const char *sentence) {
    snprintf(why, why_bytes, "%s", sentence);
    return false;
}

// --w8a8 and the like are short for --recipe with the same name.
static const char *const short_recipes[] = {"w8a8", "w4a8", "w4a4", "fp16"};

bool ht_job_is_short_recipe(const ht_flag *field) {
    for (size_t i = 0; i < sizeof(short_recipes) / sizeof(*short_recipes); ++i) {
        if (field->kind == HT_FLAG_BOOL && strcmp(field->name, short_recipes[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool choose_recipe(ht_job *job, char *why, size_t why_bytes) {
    if (job->fp16 && job->fp32) {
        return refuse(why, why_bytes, "--fp16 and --fp32 exclude each other");
    }
    for (size_t i = 0; i < ht_job_field_count; ++i) {
        const ht_flag *field = &ht_job_fields[i];
        if (!ht_job_is_short_recipe(field) || !*(bool *)((char *)job + field->offset)) {
            continue;
        }
        if (job->recipe && strcmp(job->recipe, field->name) != 0) {
            snprintf(why, why_bytes, "--%s and --recipe %s exclude each other", field->name,
                     job->recipe);
            return false;
        }
        job->recipe = field->name;
    }
    if (job->recipe && job->fp32) {
        return refuse(why, why_bytes, "--fp32 leaves nothing to a recipe; give one of the two");
    }
    return true;
}

static bool check_attention(const ht_job *job, char *why, size_t why_bytes) {
    ht_attention_choice choice;
    return !job->attention || ht_attention_choice_parse(job->attention, &choice) ||
           refuse(why, why_bytes, "--attention: expected " HT_ATTENTION_CHOICES);
}

bool ht_job_finish(ht_job *job, bool need_prompt, char *why, size_t why_bytes) {
    ht_upscaler upscaler;
    const bool sized = job->hires_width > 0 || job->hires_height > 0;
    ht_job_choose_model(job, NULL);
    if (need_prompt && !job->prompt) {
        return refuse(why, why_bytes, "there is no --prompt; see --help");
    }
    if (job->mask && !job->init_image) {
        return refuse(why, why_bytes,
                      "--mask needs --init-image, the picture of which it says what is repainted");
    }
    if (job->control && !job->control_image) {
        return refuse(why, why_bytes,
                      "--control needs --control-image, the picture that the ControlNet reads");
    }
    if (job->hires_scale > 0 && sized) {
        return refuse(why, why_bytes,
                      "--hires-scale and --hires-width, --hires-height exclude each other");
    }
    if (job->hires && job->hires_scale == 0 && !sized) {
        job->hires_scale = 2;
    }
    if (job->hires_upscaler && !ht_upscaler_find(job->hires_upscaler, &upscaler)) {
        return refuse(why, why_bytes,
                      "--hires-upscaler: expected latent, latent-nearest, lanczos or bicubic");
    }
    if (job->taesd_preview_only && !job->taesd) {
        return refuse(why, why_bytes,
                      "--taesd-preview-only needs --taesd, the autoencoder that makes previews");
    }
    if (job->crf < -1 || job->crf > 63) {
        return refuse(why, why_bytes, "--crf needs a whole number from 0 to 63");
    }
    return check_attention(job, why, why_bytes) && choose_recipe(job, why, why_bytes);
}

uint64_t ht_job_first_seed(int64_t asked) {
    uint32_t random;
    if (asked >= 0) {
        return (uint64_t)asked;
    }
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        random = (uint32_t)(ht_app_seconds() * 1e6);
    }
    return random;
}

static bool copy_text(const char **text) {
    char *own = *text ? strdup(*text) : NULL;
    const bool good = own || !*text;
    *text = own;
    return good;
}

bool ht_job_copy(const ht_job *job, ht_job *out) {
    bool good = true;
    *out = *job;
    for (size_t i = 0; i < ht_job_field_count; ++i) {
        const ht_flag *field = &ht_job_fields[i];
        void *where = (char *)out + field->offset;
        if (field->kind == HT_FLAG_TEXT) {
            good = copy_text(where) && good;
        }
        ht_flag_list *list = field->kind == HT_FLAG_LIST ? where : NULL;
        for (uint32_t k = 0; list && k < list->count; ++k) {
            good = copy_text(&list->items[k]) && good;
        }
    }
    if (!good) {
        ht_job_clear(out);
    }
    return good;
}

void ht_job_clear(ht_job *job) {
    for (size_t i = 0; i < ht_job_field_count; ++i) {
        void *where = (char *)job + ht_job_fields[i].offset;
        if (ht_job_fields[i].kind == HT_FLAG_TEXT) {
            free(*(char **)where);
        }
        ht_flag_list *list = ht_job_fields[i].kind == HT_FLAG_LIST ? where : NULL;
        for (uint32_t k = 0; list && k < list->count; ++k) {
            free((char *)list->items[k]);
        }
    }
    *job = (ht_job){0};
}

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_value(ht_flag_kind kind, const void *a, const void *b) {
    const ht_flag_list *x = a, *y = b;
    switch (kind) {
    case HT_FLAG_BOOL: return *(const bool *)a == *(const bool *)b;
    case HT_FLAG_TEXT: return same_text(*(const char *const *)a, *(const char *const *)b);
    case HT_FLAG_U32: return *(const uint32_t *)a == *(const uint32_t *)b;
    case HT_FLAG_I64: return *(const int64_t *)a == *(const int64_t *)b;
    case HT_FLAG_REAL: return *(const double *)a == *(const double *)b;
    case HT_FLAG_LIST:
        for (uint32_t i = 0; x->count == y->count && i < x->count; ++i) {
            if (!same_text(x->items[i], y->items[i])) {
                return false;
            }
        }
        return x->count == y->count;
    default: return true; // headings
    }
}

bool ht_job_same_field(const ht_job *a, const ht_job *b, const ht_flag *field) {
    return same_value(field->kind, (const char *)a + field->offset,
                      (const char *)b + field->offset);
}

// After ht_job_finish a short form says nothing that `recipe` does not; but --fp16 is also of the other
// parts of a model.
static bool says_nothing_more(const ht_flag *field) {
    return ht_job_is_short_recipe(field) && field->offset != offsetof(ht_job, fp16);
}

bool ht_job_same_model(const ht_job *a, const ht_job *b) {
    for (size_t i = 0; i < ht_job_field_count; ++i) {
        if (scopes[i] == HT_JOB_SCOPE_MODEL && !says_nothing_more(&ht_job_fields[i]) &&
            !ht_job_same_field(a, b, &ht_job_fields[i])) {
            return false;
        }
    }
    return true;
}

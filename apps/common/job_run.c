// Making the pictures of jobs: device, model, and the call of the pipeline.
#include "job_run.h"

#include "cache.h"
#include "job_parts.h"
#include "models.h"
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ht_job_session {
    ht_job_session_desc desc;
    ht_context *context;
    ht_pipeline *pipeline;
    ht_job open;                  // what the pipeline was opened for; a copy
    ht_job_embeddings embeddings; // of the pipeline
    ht_job_pictures pictures;
    ht_job_check check;
    char model_path[PATH_MAX], recipe_path[PATH_MAX], vae_recipe_path[PATH_MAX], cache[PATH_MAX];
    double open_seconds;
};

static void note_check(void *user, const ht_node_check *check) {
    ht_job_check *state = user;
    ++state->nodes;
    bool bad = !check->finite || check->rel_l2 > state->limit;
    if (bad) {
        ++state->bad;
        ht_app_say(state->log, HT_LOG_ERROR, "%s (%s): differs by %.3g, at most %.3g at %llu%s",
                   check->label, check->op, check->rel_l2, check->max_abs,
                   (unsigned long long)check->worst, check->finite ? "" : ", not finite");
    } else {
        ht_app_say(state->log, HT_LOG_INFO, "%s (%s): %.3g", check->label, check->op,
                   check->rel_l2);
    }
    if (check->rel_l2 > state->worst) {
        state->worst = check->rel_l2;
        snprintf(state->label, sizeof(state->label), "%s (%s)", check->label, check->op);
    }
}

ht_job_session *ht_job_session_create(const ht_job_session_desc *desc) {
    ht_job_session *s = calloc(1, sizeof(*s));
    if (s) {
        s->desc = *desc;
    } else {
        ht_app_say(desc->log, HT_LOG_ERROR, "out of memory");
    }
    return s;
}

static void close_model(ht_job_session *s) {
    ht_pipeline_destroy(&s->pipeline);
    ht_job_clear(&s->open);
    ht_job_embeddings_free(&s->embeddings);
}

void ht_job_session_destroy(ht_job_session **session) {
    ht_job_session *s = *session;
    if (s) {
        close_model(s);
        ht_context_destroy(&s->context);
        ht_job_pictures_free(&s->pictures);
        free(s);
    }
    *session = NULL;
}

// HT_TIER=portable|cpu|dot|matrix chooses the kernels, for tests.
static ht_tier asked_tier(void) {
    const char *text = getenv("HT_TIER");
    ht_tier tier;
    return text && ht_tier_find(text, &tier) ? tier : HT_TIER_AUTO;
}

static ht_status open_device(ht_job_session *s) {
    const ht_context_desc desc = {
        .device = s->desc.device,
        .tier = asked_tier(),
        .max_device_bytes = s->desc.max_memory,
        .log = {.write = ht_app_log_write, .user = s->desc.log, .level = s->desc.log->level},
    };
    return s->context ? HT_OK : ht_context_create(&desc, &s->context);
}

static bool find_files(ht_job_session *s, const ht_job *job) {
    char why[PATH_MAX * 2];
    const bool found =
        ht_model_find(job->model, s->model_path, sizeof(s->model_path), why, sizeof(why)) &&
        (!job->recipe ||
         ht_recipe_path(job->recipe, s->recipe_path, sizeof(s->recipe_path), why, sizeof(why))) &&
        (!job->vae_recipe || ht_recipe_path(job->vae_recipe, s->vae_recipe_path,
                                            sizeof(s->vae_recipe_path), why, sizeof(why)));
    if (!found) {
        ht_app_say(s->desc.log, HT_LOG_ERROR, "%s", why);
    }
    return found;
}

static ht_status open_model(ht_job_session *s, const ht_job *job) {
    const ht_job_session_desc *d = &s->desc;
    ht_format format = job->fp32   ? HT_FORMAT_F32
                       : job->fp16 ? HT_FORMAT_F16
                                   : HT_FORMAT_NONE;
    const bool preview_only = job->taesd_preview_only || job->vae || !job->taesd;
    // One rounding to half floats per value and op; several roundings inside of one op.
    s->check = (ht_job_check){.log = d->log, .limit = job->fp32 ? 1e-5 : 4e-3};
    ht_pipeline_options options = {
        .weights = format,
        .activations = format,
        .recipe = job->recipe ? s->recipe_path : NULL,
        .denoiser = job->denoiser,
        .attention = job->attention,
        .control = job->control,
        .vae = preview_only ? job->vae : job->taesd,
        .vae_recipe = job->vae_recipe ? s->vae_recipe_path : NULL,
        .preview_vae = preview_only ? job->taesd : NULL,
        .embeddings = s->embeddings.files,
        .n_embeddings = s->embeddings.count,
        .config = job->config,
        .tokenizer = job->tokenizer,
        .prediction = job->prediction,
        .cache = !d->no_cache && ht_cache_folder(s->cache) ? s->cache : NULL,
        .cache_bytes = ht_cache_limit(),
        .progress = d->progress,
        .progress_user = d->user,
        .keep_loaded = d->keep_loaded,
        .profile = d->profile,
        .max_device_bytes = d->max_memory,
        .weights_budget = d->weights_budget,
        .check = d->check ? note_check : NULL,
        .check_user = &s->check,
    };
    char **tokenizers = ht_tokenizer_folders(s->model_path);
    options.tokenizers = (const char *const *)tokenizers;
    const double began = ht_app_seconds();
    ht_status status = ht_pipeline_open(s->context, s->model_path, &options, &s->pipeline);
    s->open_seconds = ht_app_seconds() - began;
    ht_tokenizer_folders_free(tokenizers);
    return status;
}

bool ht_job_session_check(ht_job_session *s, const ht_job *job, const char *const *prompts,
                          size_t n_prompts) {
    const char *const *texts = prompts ? prompts : &job->prompt;
    const size_t count = prompts ? n_prompts : 1;
    ht_app_log *log = s->desc.log;
    ht_job_loras loras;
    ht_job_embeddings embeddings;
    for (size_t i = 0; i < count; ++i) {
        if (!ht_job_loras_read(job, log, texts[i], &loras)) {
            return false;
        }
        ht_job_loras_free(&loras);
    }
    bool good = ht_job_pictures_read(job, log, &s->pictures) &&
                ht_job_embeddings_read(job, texts, count, log, &embeddings);
    if (good) {
        ht_job_embeddings_free(&embeddings);
    }
    return good && find_files(s, job);
}

static bool same_embeddings(const ht_job_embeddings *a, const ht_job_embeddings *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; i < a->count && same; ++i) {
        const char *x = a->files[i].token, *y = b->files[i].token;
        same = strcmp(a->files[i].path, b->files[i].path) == 0 && !x == !y &&
               (!x || strcmp(x, y) == 0);
    }
    return same;
}

ht_status ht_job_session_open(ht_job_session *s, const ht_job *job, const char *const *prompts,
                              size_t n_prompts) {
    ht_job_embeddings wanted;
    if (!ht_job_embeddings_read(job, prompts ? prompts : &job->prompt, prompts ? n_prompts : 1,
                                s->desc.log, &wanted)) {
        return HT_ERR_INVALID;
    }
    if (s->pipeline && ht_job_same_model(&s->open, job) && same_embeddings(&s->embeddings, &wanted)) {
        ht_job_embeddings_free(&wanted);
        return HT_OK;
    }
    close_model(s);
    s->embeddings = wanted;
    ht_status status = find_files(s, job) ? open_device(s) : HT_ERR_IO;
    if (status == HT_OK && !ht_job_copy(job, &s->open)) {
        ht_app_say(s->desc.log, HT_LOG_ERROR, "out of memory");
        status = HT_ERR_NO_MEMORY;
    }
    if (status == HT_OK) {
        status = open_model(s, &s->open);
    }
    if (status != HT_OK) {
        close_model(s);
    }
    return status;
}

static ht_hires hires_of(const ht_job *job) {
    ht_hires hires = {.scale = (float)job->hires_scale,
                      .width = job->hires_width,
                      .height = job->hires_height,
                      .steps = job->hires_steps,
                      .strength = (float)job->hires_strength};
    if (job->hires_upscaler) {
        ht_upscaler_find(job->hires_upscaler, &hires.upscaler);
    }
    return hires;
}

static ht_generate_params params_of(const ht_job_session *s, const ht_job *job, const char *prompt,
                                    const float *eta) {
    return (ht_generate_params){
        .prompt = prompt,
        .negative_prompt = job->negative_prompt,
        .width = job->width,
        .height = job->height,
        .steps = job->steps,
        .cfg_scale = (float)job->cfg_scale,
        .cfg_rescale = (float)job->cfg_rescale,
        .eta = job->eta >= 0 ? eta : NULL,
        .seed = (uint64_t)job->seed,
        .batch = job->batch_size,
        .frames = job->frames,
        .hires = hires_of(job),
        .sampler = job->sampler,
        .schedule = job->schedule,
        .init = job->init_image ? &s->pictures.init.image : NULL,
        .strength = (float)job->strength,
        .mask = job->mask ? &s->pictures.mask.image : NULL,
        .mask_blur = job->mask_blur,
        .no_paste = job->no_paste,
        .control = job->control_image ? &s->pictures.control.image : NULL,
        .control_strength = (float)job->control_strength,
        .control_start = (float)job->control_start,
        .control_end = (float)job->control_end,
        .clip_skip = job->clip_skip,
        .strict = job->strict,
        .preview_every = s->desc.preview_every,
    };
}

ht_status ht_job_session_run(ht_job_session *s, const ht_job *job, ht_image *images,
                             ht_report *report) {
    const float eta = (float)job->eta;
    ht_job_loras loras;
    if (job->frames > 1 && !s->desc.clips) {
        ht_app_say(s->desc.log, HT_LOG_ERROR, "a clip of %u frames: only gen makes clips",
                   job->frames);
        return HT_ERR_INVALID;
    }
    if (!ht_job_pictures_read(job, s->desc.log, &s->pictures) ||
        !ht_job_loras_read(job, s->desc.log, job->prompt, &loras)) {
        return HT_ERR_INVALID;
    }
    const ht_generate_params params = params_of(s, job, loras.prompt, &eta);
    const ht_callbacks callbacks = {.progress = s->desc.progress, .user = s->desc.user};
    ht_status status = ht_pipeline_set_loras(s->pipeline, loras.files, loras.count);
    if (status == HT_OK) {
        status = ht_pipeline_generate(s->pipeline, &params, &callbacks, images, report);
    }
    ht_job_loras_free(&loras);
    return status;
}

ht_status ht_job_session_clip(ht_job_session *s, ht_job *job) {
    const ht_pipeline_info *info = ht_pipeline_get_info(s->pipeline);
    job->frames = job->frames > 0 ? job->frames : info->frames > 0 ? info->frames : 2;
    job->fps = job->fps > 0 ? job->fps : info->fps > 0 ? info->fps : 16;
    return ht_pipeline_frames(s->pipeline, &job->frames);
}

ht_context *ht_job_session_context(const ht_job_session *s) {
    return s->context;
}

const ht_pipeline_info *ht_job_session_info(const ht_job_session *s) {
    return s->pipeline ? ht_pipeline_get_info(s->pipeline) : NULL;
}

const char *ht_job_session_model_path(const ht_job_session *s) {
    return s->model_path;
}

double ht_job_session_open_seconds(const ht_job_session *s) {
    return s->open_seconds;
}

const ht_job_check *ht_job_session_check_result(const ht_job_session *s) {
    return &s->check;
}

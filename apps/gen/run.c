// One call of gen: device, model, and a picture for every prompt and seed.
#include "gen.h"

#include "common/cache.h"
#include "common/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

// Worst difference between device and reference, for --check.
typedef struct check_state {
    ht_app_log *log;
    double worst, limit;
    char label[128];
    uint32_t nodes, bad;
} check_state;

typedef struct session {
    const gen_options *options;
    ht_app_log *log;
    const volatile int *stop;
    ht_context *context;
    ht_pipeline *pipeline;
    gen_prompts prompts;
    ht_app_progress progress;
    gen_pictures given;
    gen_embeddings embeddings;
    check_state check;
    gen_picture *pictures;
    size_t made;
    char model_path[PATH_MAX], recipe_path[PATH_MAX], cache[PATH_MAX];
    double open_seconds, start;
} session;

static void note_check(void *user, const ht_node_check *check) {
    check_state *state = user;
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

static bool on_progress(void *user, const ht_progress *now) {
    session *s = user;
    ht_app_progress_show(&s->progress, now);
    if (now->preview && s->options->preview) {
        gen_preview_write(s->options, s->log, now->preview);
    }
    return *s->stop == 0;
}

static uint64_t first_seed(int64_t asked) {
    uint32_t random;
    if (asked >= 0) {
        return (uint64_t)asked;
    }
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        random = (uint32_t)(ht_app_seconds() * 1e6);
    }
    return random;
}

// HT_TIER=portable|cpu|dot|matrix chooses the kernels, for tests.
static ht_tier asked_tier(void) {
    const char *text = getenv("HT_TIER");
    ht_tier tier;
    return text && ht_tier_find(text, &tier) ? tier : HT_TIER_AUTO;
}

static bool open_device(session *s) {
    const gen_options *o = s->options;
    ht_context_desc desc = {
        .device = o->device,
        .tier = asked_tier(),
        .max_device_bytes = o->max_memory,
        .log = {.write = ht_app_log_write, .user = s->log, .level = s->log->level},
    };
    return ht_context_create(&desc, &s->context) == HT_OK;
}

static bool open_model(session *s, bool several) {
    const gen_options *o = s->options;
    ht_format format = o->fp32 ? HT_FORMAT_F32 : o->fp16 ? HT_FORMAT_F16 : HT_FORMAT_NONE;
    const bool preview_only = o->taesd_preview_only || o->vae || !o->taesd;
    // One rounding to half floats per value and op; several roundings inside of one op.
    s->check = (check_state){.log = s->log, .limit = o->fp32 ? 1e-5 : 4e-3};
    ht_pipeline_options options = {
        .weights = format,
        .activations = format,
        .recipe = o->recipe ? s->recipe_path : NULL,
        .denoiser = o->denoiser,
        .control = o->control,
        .vae = preview_only ? o->vae : o->taesd,
        .preview_vae = preview_only ? o->taesd : NULL,
        .embeddings = s->embeddings.files,
        .n_embeddings = s->embeddings.count,
        .config = o->config,
        .tokenizer = o->tokenizer,
        .prediction = o->prediction,
        .cache = !o->no_cache && ht_cache_folder(s->cache) ? s->cache : NULL,
        .cache_bytes = ht_cache_limit(),
        .progress = on_progress,
        .progress_user = s,
        .keep_loaded = several,
        .profile = o->verbose > 1,
        .max_device_bytes = o->max_memory,
        .check = o->check ? note_check : NULL,
        .check_user = &s->check,
    };
    char **tokenizers = ht_tokenizer_folders(s->model_path);
    options.tokenizers = (const char *const *)tokenizers;
    double began = ht_app_seconds();
    ht_status status = ht_pipeline_open(s->context, s->model_path, &options, &s->pipeline);
    s->open_seconds = ht_app_seconds() - began;
    ht_tokenizer_folders_free(tokenizers);
    return status == HT_OK;
}

static ht_hires hires_of(const gen_options *o) {
    ht_hires hires = {.scale = (float)o->hires_scale,
                      .width = o->hires_width,
                      .height = o->hires_height,
                      .steps = o->hires_steps,
                      .strength = (float)o->hires_strength};
    if (o->hires_upscaler) {
        ht_upscaler_find(o->hires_upscaler, &hires.upscaler);
    }
    return hires;
}

static ht_generate_params params_of(const session *s, const gen_job *job, const char *prompt,
                                    const float *eta) {
    const gen_options *o = s->options;
    return (ht_generate_params){
        .prompt = prompt,
        .negative_prompt = o->negative_prompt,
        .width = o->width,
        .height = o->height,
        .steps = o->steps,
        .cfg_scale = (float)o->cfg_scale,
        .cfg_rescale = (float)o->cfg_rescale,
        .eta = o->eta >= 0 ? eta : NULL,
        .seed = job->seed,
        .batch = job->batch,
        .hires = hires_of(o),
        .sampler = o->sampler,
        .schedule = o->schedule,
        .init = o->init_image ? &s->given.init : NULL,
        .strength = (float)o->strength,
        .mask = o->mask ? &s->given.mask : NULL,
        .mask_blur = o->mask_blur,
        .no_paste = o->no_paste,
        .control = o->control_image ? &s->given.control : NULL,
        .control_strength = (float)o->control_strength,
        .control_start = (float)o->control_start,
        .control_end = (float)o->control_end,
        .clip_skip = o->clip_skip,
        .strict = o->strict,
        .preview_every = o->preview ? 1 : 0,
    };
}

// Write one picture of a batch.
static ht_status keep_picture(session *s, const ht_image *image, const ht_report *report) {
    const gen_options *o = s->options;
    gen_picture *picture = &s->pictures[s->made];
    picture->report = *report;
    if (!gen_output_write(o, s->log, image, picture)) {
        return HT_ERR_IO;
    }
    ++s->made;
    if (!o->quiet && !(o->json && !*o->json) && strcmp(picture->path, "-") != 0) {
        printf("%s\n", picture->path);
        fflush(stdout);
    }
    return HT_OK;
}

// Names of the pictures of a job, which must be free before any is computed.
static bool name_pictures(session *s, const gen_job *job) {
    for (uint32_t i = 0; i < job->batch; ++i) {
        gen_job one = *job;
        gen_picture *picture = &s->pictures[s->made + i];
        one.index += i;
        one.seed += i;
        picture->prompt = one.prompt;
        picture->seed = one.seed;
        picture->position = i + 1;
        if (!gen_output_name(s->options, s->log, &one, picture->path)) {
            return false;
        }
    }
    return true;
}

static void name_progress(session *s, const gen_job *job) {
    unsigned first = (unsigned)job->index + 1, count = (unsigned)job->count;
    if (job->batch > 1) {
        snprintf(s->progress.prefix, sizeof(s->progress.prefix), "%u-%u/%u ", first,
                 first + job->batch - 1, count);
    } else if (job->count > 1) {
        snprintf(s->progress.prefix, sizeof(s->progress.prefix), "%u/%u ", first, count);
    }
}

static ht_status make_pictures(session *s, const gen_job *job, const gen_loras *loras) {
    const float eta = (float)s->options->eta;
    if (!name_pictures(s, job)) {
        return HT_ERR_IO;
    }
    const ht_generate_params params = params_of(s, job, loras->prompt, &eta);
    const ht_callbacks callbacks = {.progress = on_progress, .user = s};
    ht_report report;
    ht_image images[HT_MAX_BATCH] = {{0}};
    name_progress(s, job);
    ht_status status = ht_pipeline_set_loras(s->pipeline, loras->files, loras->count);
    if (status == HT_OK) {
        status = ht_pipeline_generate(s->pipeline, &params, &callbacks, images, &report);
    }
    ht_app_progress_clear(&s->progress);
    if (status == HT_OK && *s->stop) {
        status = HT_ERR_CANCELLED;
    }
    const gen_picture *first = &s->pictures[s->made];
    for (uint32_t i = 0; i < job->batch; ++i) {
        if (status == HT_OK) {
            status = keep_picture(s, &images[i], &report);
        }
        ht_image_clear(s->context, &images[i]);
    }
    if (status == HT_OK) {
        gen_report_summary(first, s->log);
    }
    return status;
}

static ht_status make_all(session *s, uint64_t seed) {
    size_t per_prompt = (size_t)s->options->batch_count * s->options->batch_size;
    size_t count = s->prompts.count * per_prompt;
    ht_status status = HT_OK;
    for (size_t i = 0; i < count && status == HT_OK; i += s->options->batch_size) {
        gen_job job = {.prompt = s->prompts.lines[i / per_prompt],
                       .seed = seed + i,
                       .index = i,
                       .count = count,
                       .batch = s->options->batch_size};
        gen_loras loras;
        if (!gen_loras_read(s->options, s->log, job.prompt, &loras)) {
            return HT_ERR_INVALID;
        }
        status = make_pictures(s, &job, &loras);
        gen_loras_free(&loras);
    }
    return status;
}

static bool report(session *s) {
    const ht_device_info *device = ht_context_device(s->context);
    gen_report out = {.options = s->options,
                      .model_path = s->model_path,
                      .device = device->name,
                      .driver = device->driver,
                      .open_seconds = s->open_seconds,
                      .total_seconds = ht_app_seconds() - s->start,
                      .pictures = s->pictures,
                      .count = s->made};
    return !s->options->json || gen_report_write(&out, s->log);
}

static int finish_check(const session *s) {
    const check_state *c = &s->check;
    fprintf(stderr, "check: %u operations, %u beyond %.1g; the worst is %s with %.3g\n", c->nodes,
            c->bad, c->limit, c->label, c->worst);
    return c->bad == 0 && c->nodes > 0 ? EXIT_GOOD : EXIT_FAILED;
}

// Before anything is opened: are the LoRAs of all prompts there?
static bool check_loras(session *s) {
    gen_loras loras;
    for (size_t i = 0; i < s->prompts.count; ++i) {
        if (!gen_loras_read(s->options, s->log, s->prompts.lines[i], &loras)) {
            return false;
        }
        gen_loras_free(&loras);
    }
    return true;
}

static int work(session *s) {
    char why[PATH_MAX * 2];
    const gen_options *o = s->options;
    if (!gen_prompts_read(o, s->log, &s->prompts)) {
        return EXIT_FAILED;
    }
    uint64_t seed = first_seed(o->seed);
    size_t count = s->prompts.count * o->batch_count * o->batch_size;
    gen_job first = {.prompt = s->prompts.lines[0], .seed = seed, .count = count};
    if (!gen_output_check(o, s->log, &first) || !check_loras(s) ||
        !gen_pictures_read(o, s->log, &s->given) ||
        !gen_embeddings_read(o, &s->prompts, s->log, &s->embeddings)) {
        return EXIT_FAILED;
    }
    if (!ht_model_find(o->model, s->model_path, sizeof(s->model_path), why, sizeof(why))) {
        ht_app_say(s->log, HT_LOG_ERROR, "%s", why);
        return EXIT_FAILED;
    }
    if (o->recipe &&
        !ht_recipe_path(o->recipe, s->recipe_path, sizeof(s->recipe_path), why, sizeof(why))) {
        ht_app_say(s->log, HT_LOG_ERROR, "%s", why);
        return EXIT_FAILED;
    }
    s->pictures = calloc(count, sizeof(*s->pictures));
    if (!s->pictures) {
        ht_app_say(s->log, HT_LOG_ERROR, "out of memory");
        return EXIT_FAILED;
    }
    const bool opened = open_device(s) && open_model(s, count > o->batch_size);
    ht_app_progress_clear(&s->progress);
    if (!opened) {
        return EXIT_FAILED;
    }
    ht_status status = make_all(s, seed);
    bool reported = report(s);
    if (status == HT_ERR_CANCELLED) {
        fprintf(stderr, "gen: cancelled\n");
        return EXIT_CANCELLED;
    }
    if (status != HT_OK || !reported) {
        return EXIT_FAILED;
    }
    return o->check ? finish_check(s) : EXIT_GOOD;
}

int gen_run(const gen_options *options, ht_app_log *log, const volatile int *stop) {
    session s = {.options = options, .log = log, .stop = stop, .start = ht_app_seconds()};
    ht_app_progress_init(&s.progress, log, options->quiet);
    int code = work(&s);
    if (*stop) {
        code = EXIT_CANCELLED;
    }
    gen_pictures_free(&s.given);
    gen_embeddings_free(&s.embeddings);
    free(s.pictures);
    gen_prompts_free(&s.prompts);
    ht_pipeline_destroy(&s.pipeline);
    ht_context_destroy(&s.context);
    return code;
}

// What a run needs, looked at before anything is computed.
#include "eval.h"

#include "common/files.h"
#include "common/models.h"
#include "recipes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool make_folder(const eval *e, const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) {
        struct stat info;
        errno = ENOTDIR;
        if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
            return true;
        }
    }
    ht_app_say(e->log, HT_LOG_ERROR, "cannot make the folder '%s': %s", path, strerror(errno));
    return false;
}

// The folders, and that nothing there is replaced unasked; before anything is computed.
static bool make_folders(const eval *e) {
    static const char *const files[] = {"report.json", "index.html"};
    const eval_options *o = e->options;
    char path[PATH_MAX], why[PATH_MAX + 256];
    if (strlen(o->output) > PATH_MAX - 2 * EVAL_NAME) {
        ht_app_say(e->log, HT_LOG_ERROR, "the name of --output is too long");
        return false;
    }
    if (!make_folder(e, o->output)) {
        return false;
    }
    for (size_t i = 0; i < 2; ++i) {
        snprintf(path, sizeof(path), "%s/%s", o->output, files[i]);
        if (!ht_file_check(path, o->overwrite, why, sizeof(why))) {
            ht_app_say(e->log, HT_LOG_ERROR, "%s", why);
            return false;
        }
    }
    for (uint32_t i = 0; i < o->count; ++i) {
        snprintf(path, sizeof(path), "%s/%s", o->output, o->names[i]);
        if (!make_folder(e, path)) {
            return false;
        }
    }
    return true;
}

// Options of a recipe's pipeline; `path` is memory for one of them.
static bool apply_recipe(const eval *e, uint32_t index, char path[PATH_MAX],
                         ht_pipeline_options *options) {
    char why[PATH_MAX * 2];
    if (!eval_recipe_apply(e->options->names[index], e->options->files[index], path, options, why,
                           sizeof(why))) {
        ht_app_say(e->log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    return true;
}

// How many frames the pictures have.
static ht_status decide_frames(eval *e, ht_pipeline *pipeline) {
    e->frames = e->options->frames ? e->options->frames : 1;
    if (e->options->frames == 0) {
        const uint32_t usual = ht_pipeline_get_info(pipeline)->frames;
        e->frames = usual > 0 ? usual : 1;
    }
    return ht_pipeline_frames(pipeline, &e->frames);
}

// The model of every recipe, as it is opened later: what is broken or fits no model says so before an hour
// of pictures. Whether it makes clips decides which prompts and which judge serve it.
static ht_status look_at_recipes(eval *e, ht_context *context, const char *const *tokenizers) {
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < e->options->count && status == HT_OK; ++i) {
        char path[PATH_MAX];
        ht_pipeline *pipeline = NULL;
        ht_pipeline_options options = {.tokenizers = tokenizers};
        status = apply_recipe(e, i, path, &options)
                     ? ht_pipeline_open(context, e->model_path, &options, &pipeline)
                     : HT_ERR_IO;
        if (status == HT_OK) {
            status = decide_frames(e, pipeline);
        }
        ht_pipeline_destroy(&pipeline);
    }
    return status;
}

static bool look_at_model(eval *e) {
    char why[PATH_MAX * 2];
    ht_context *context = NULL;
    ht_context_desc desc = {
        .host_only = true,
        .log = {.write = ht_app_log_write, .user = e->log, .level = HT_LOG_ERROR},
    };
    if (!ht_model_find(e->options->model, e->model_path, sizeof(e->model_path), why, sizeof(why))) {
        ht_app_say(e->log, HT_LOG_ERROR, "%s", why);
        return false;
    }
    ht_status status = ht_context_create(&desc, &context);
    if (status == HT_OK) {
        char **tokenizers = ht_tokenizer_folders(e->model_path);
        status = look_at_recipes(e, context, (const char *const *)tokenizers);
        ht_tokenizer_folders_free(tokenizers);
    }
    ht_context_destroy(&context);
    return status == HT_OK;
}

bool eval_prepare(eval *e) {
    const eval_options *o = e->options;
    if (!look_at_model(e)) {
        return false;
    }
    if (o->prompts) {
        snprintf(e->prompts.path, sizeof(e->prompts.path), "%s", o->prompts);
    } else if (!eval_asset(e->frames > 1 ? "prompts/scenes-video-heldout.jsonl"
                                         : "prompts/scenes-heldout.jsonl",
                           e->prompts.path)) {
        return false;
    }
    const char *dot = strrchr(e->prompts.path, '.');
    bool plain = dot && strcmp(dot, ".txt") == 0;
    if ((!plain && !eval_judge_find(e, &e->judge)) ||
        !eval_prompts_read(o, plain ? NULL : &e->judge.config, e->log, &e->prompts)) {
        return false;
    }
    e->judging = e->prompts.wanting > 0;
    e->latents = calloc(e->prompts.count, sizeof(*e->latents));
    return e->latents && make_folders(e);
}

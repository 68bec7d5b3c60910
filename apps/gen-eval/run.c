// Every recipe in turn: a device and a model of its own, every prompt, and the comparison.
#include "eval.h"

#include "common/cache.h"
#include "common/files.h"
#include "common/models.h"
#include "common/png.h"
#include "recipes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What the callbacks of one picture need.
typedef struct watcher {
    eval *e;
    float *latent; // of this picture
    size_t count;
    bool failed; // out of memory
} watcher;

static bool on_progress(void *user, const ht_progress *now) {
    watcher *w = user;
    ht_app_progress_show(&w->e->progress, now);
    return *w->e->stop == 0;
}

static void on_latent(void *user, const float *values, const uint32_t dims[3]) {
    watcher *w = user;
    w->count = (size_t)dims[0] * dims[1] * dims[2];
    w->latent = malloc(w->count * sizeof(*values));
    w->failed = w->latent == NULL;
    if (w->latent) {
        memcpy(w->latent, values, w->count * sizeof(*values));
    }
}

bool eval_picture_path(const eval *e, const char *recipe, size_t index, bool relative,
                       char path[PATH_MAX]) {
    int n = snprintf(path, PATH_MAX, "%s%s%s/%04zu.png", relative ? "" : e->options->output,
                     relative ? "" : "/", recipe, index);
    return n > 0 && n < PATH_MAX;
}

static ht_status fail(const eval *e, const char *sentence) {
    ht_app_say(e->log, HT_LOG_ERROR, "%s", sentence);
    return HT_ERR_IO;
}

static ht_status write_picture(const eval *e, const char *recipe, size_t index,
                               const ht_image *image) {
    char path[PATH_MAX], why[PATH_MAX + 256] = "out of memory, or the folder's name is too long";
    ht_bytes bytes = {0};
    const ht_png_text text = {"prompt", e->prompts.items[index].text};
    bool good = eval_picture_path(e, recipe, index, false, path) &&
                ht_png_encode(image, &text, 1, &bytes) &&
                ht_file_write(path, bytes.data, bytes.count, true, why, sizeof(why));
    free(bytes.data);
    return good ? HT_OK : fail(e, why);
}

// Against the reference's picture, read back from its file.
static ht_status compare_picture(const eval *e, size_t index, const ht_image *image,
                                 eval_picture *out) {
    char path[PATH_MAX];
    const char *why = "its name is too long";
    uint32_t width = 0, height = 0;
    uint8_t *want = eval_picture_path(e, e->recipes[0].name, index, false, path)
                        ? ht_picture_read(path, &width, &height, &why)
                        : NULL;
    if (!want || width != image->width || height != image->height) {
        ht_app_say(e->log, HT_LOG_ERROR, "the reference '%s' cannot be read back: %s", path,
                   want ? "it has another size" : why);
        free(want);
        return HT_ERR_IO;
    }
    out->mse = ht_mse(image->rgb, want, (size_t)width * height * 3);
    out->psnr = ht_psnr(out->mse);
    out->ssim = ht_ssim(image->rgb, want, width, height);
    free(want);
    return HT_OK;
}

// The reference's latents are kept, the others compared with them.
static ht_status compare_latent(eval *e, size_t index, watcher *w, eval_picture *out) {
    if (w->failed) {
        return fail(e, "out of memory");
    }
    if (e->done == 0) {
        e->latents[index] = w->latent;
        e->latent_count = w->count;
        w->latent = NULL;
        return HT_OK;
    }
    out->sqnr = w->latent && w->count == e->latent_count
                    ? ht_sqnr(w->latent, e->latents[index], w->count)
                    : NAN;
    return HT_OK;
}

static ht_status judge_picture(eval *e, size_t index, const ht_image *image, eval_picture *out) {
    const eval_prompt *prompt = &e->prompts.items[index];
    if (!e->judging) {
        return HT_OK;
    }
    ht_status status = eval_judge_look(&e->judge, image, e->frames, out->read);
    out->right = prompt->wants;
    for (uint32_t h = 0; h < e->judge.config.heads && status == HT_OK; ++h) {
        out->right = out->right && (prompt->want[h] < 0 || prompt->want[h] == out->read[h]);
    }
    return status;
}

// All frames of a clip, one below the other.
static ht_status join(ht_context *context, const ht_image *frames, uint32_t count, ht_image *out) {
    const size_t bytes = (size_t)frames->width * frames->height * 3;
    ht_status status = ht_image_create(context, frames->width, frames->height * count, out);
    for (uint32_t i = 0; i < count && status == HT_OK; ++i) {
        memcpy(out->rgb + i * bytes, frames[i].rgb, bytes);
    }
    return status;
}

static ht_status generate(const eval *e, ht_context *context, ht_pipeline *pipeline,
                          ht_generate_params *params, const ht_callbacks *callbacks, ht_image *out,
                          ht_report *report) {
    if (e->frames == 1) {
        return ht_pipeline_generate(pipeline, params, callbacks, out, report);
    }
    ht_image *frames = ht_alloc(context, e->frames * sizeof(*frames));
    ht_status status = frames ? HT_OK : HT_ERR_NO_MEMORY;
    params->frames = e->frames;
    if (status == HT_OK) {
        status = ht_pipeline_generate(pipeline, params, callbacks, frames, report);
    }
    if (status == HT_OK) {
        status = join(context, frames, e->frames, out);
        for (uint32_t i = 0; i < e->frames; ++i) {
            ht_image_clear(context, &frames[i]);
        }
    }
    ht_free(context, frames);
    return status;
}

static ht_status make_picture(eval *e, ht_context *context, ht_pipeline *pipeline, size_t index,
                              ht_report *report) {
    eval_recipe *r = &e->recipes[e->done];
    eval_picture *out = &r->pictures[index];
    *out = (eval_picture){
        .seed = (uint64_t)e->options->seed + index, .psnr = INFINITY, .ssim = 1, .sqnr = INFINITY};
    for (size_t h = 0; h < HT_JUDGE_MAX_HEADS; ++h) {
        out->read[h] = -1;
    }
    snprintf(e->progress.prefix, sizeof(e->progress.prefix), "%.8s %u/%u ", r->name,
             (unsigned)(index + 1), (unsigned)e->prompts.count);
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = e->prompts.items[index].text;
    params.steps = e->options->steps;
    params.cfg_scale = (float)e->options->cfg_scale;
    params.seed = out->seed;
    watcher w = {.e = e};
    ht_callbacks callbacks = {.progress = on_progress, .latent = on_latent, .user = &w};
    ht_image image = {0};
    ht_status status = generate(e, context, pipeline, &params, &callbacks, &image, report);
    ht_app_progress_clear(&e->progress);
    if (status == HT_OK) {
        out->width = image.width;
        out->height = image.height;
        out->seconds = report->total_seconds;
        status = compare_latent(e, index, &w, out);
    }
    if (status == HT_OK && e->done > 0) {
        status = compare_picture(e, index, &image, out);
    }
    if (status == HT_OK) {
        status = judge_picture(e, index, &image, out);
    }
    if (status == HT_OK) {
        status = write_picture(e, r->name, index, &image);
    }
    r->made += status == HT_OK;
    free(w.latent);
    ht_image_clear(context, &image);
    return status;
}

static void note_parts(eval *e, eval_recipe *r, const ht_report *report) {
    for (size_t i = 0; i < HT_REPORT_PARTS; ++i) {
        const ht_part_report *part = &report->parts[i];
        snprintf(r->parts[i].name, sizeof(r->parts[i].name), "%s", part->name);
        // A picture with the prompt of the one before runs no text encoder.
        if (part->device_bytes > 0) {
            r->parts[i].weight_bytes = part->device_bytes;
            r->parts[i].activation_bytes = part->activation_bytes;
        }
    }
    if (report->peak_device_bytes > r->measured_peak) { // later pictures find everything loaded
        r->planned_peak = report->planned_peak_bytes;
        r->measured_peak = report->peak_device_bytes;
    }
    e->steps = r->steps = report->steps;
    e->cfg_scale = report->cfg_scale;
}

static ht_status make_all(eval *e, ht_context *context, ht_pipeline *pipeline, double **steps,
                          size_t *n_steps) {
    eval_recipe *r = &e->recipes[e->done];
    ht_report *report = malloc(sizeof(*report));
    ht_status status = report ? HT_OK : fail(e, "out of memory");
    for (size_t i = 0; i < e->prompts.count && status == HT_OK; ++i) {
        status = make_picture(e, context, pipeline, i, report);
        if (status != HT_OK) {
            break;
        }
        note_parts(e, r, report);
        double *more = realloc(*steps, (*n_steps + report->steps) * sizeof(*more));
        if (!more) {
            status = fail(e, "out of memory");
            break;
        }
        memcpy(more + *n_steps, report->step_seconds, report->steps * sizeof(*more));
        *steps = more;
        *n_steps += report->steps;
    }
    free(report);
    return status;
}

static void count_hits(const eval *e, eval_recipe *r) {
    const ht_judge_config *judge = &e->judge.config;
    size_t right = 0;
    for (size_t i = 0; i < r->made && e->judging; ++i) {
        const eval_prompt *prompt = &e->prompts.items[i];
        const eval_picture *picture = &r->pictures[i];
        right += prompt->wants && picture->right;
        for (uint32_t h = 0; h < judge->heads; ++h) {
            r->head_tries[h] += prompt->want[h] >= 0;
            r->head_hits[h] += prompt->want[h] >= 0 && prompt->want[h] == picture->read[h];
        }
        const int kind = prompt->wants ? prompt->want[0] : -1;
        if (kind >= 0) {
            ++r->kind_tries[kind];
            r->kind_hits[kind] += picture->right;
        }
    }
    r->right = e->prompts.wanting > 0 ? (double)right / (double)e->prompts.wanting : NAN;
}

static double median_psnr(const eval_recipe *r) {
    double *all = malloc((r->made + 1) * sizeof(*all));
    for (size_t i = 0; all && i < r->made; ++i) {
        all[i] = r->pictures[i].psnr;
    }
    const double median = all ? ht_median(all, r->made) : (double)NAN;
    free(all);
    return median;
}

static void sum_up(const eval *e, eval_recipe *r, double *steps, size_t n_steps) {
    double mse = 0, psnr = 0, sqnr = 0;
    size_t noisy = 0;
    for (size_t i = 0; i < r->made; ++i) {
        const eval_picture *p = &r->pictures[i];
        mse += p->mse / (double)r->made;
        r->ssim += p->ssim / (double)r->made;
        r->same += p->mse == 0;
        psnr += p->mse > 0 ? p->psnr : 0;
        noisy += isfinite(p->sqnr);
        sqnr += isfinite(p->sqnr) ? p->sqnr : 0;
    }
    r->psnr = ht_psnr(mse);
    r->psnr_mean = r->same < r->made ? psnr / (double)(r->made - r->same) : INFINITY;
    r->psnr_median = median_psnr(r);
    r->sqnr = noisy > 0 ? sqnr / (double)noisy : INFINITY;
    r->step_seconds = ht_median(steps, n_steps);
    count_hits(e, r);
}

static ht_status run_recipe(eval *e) {
    const eval_options *o = e->options;
    eval_recipe *r = &e->recipes[e->done];
    char path[PATH_MAX], why[PATH_MAX * 2];
    ht_context *context = NULL;
    ht_pipeline *pipeline = NULL;
    double *steps = NULL, start = ht_app_seconds();
    size_t n_steps = 0;
    ht_context_desc desc = {
        .device = o->device,
        .log = {.write = ht_app_log_write, .user = e->log, .level = e->log->level},
    };
    char cache[PATH_MAX];
    ht_pipeline_options options = {.keep_loaded = true,
                                   .cache = ht_cache_folder(cache) ? cache : NULL,
                                   .cache_bytes = ht_cache_limit()};
    r->pictures = calloc(e->prompts.count, sizeof(*r->pictures));
    ht_status status = r->pictures ? ht_context_create(&desc, &context) : fail(e, "out of memory");
    if (status == HT_OK) {
        const ht_device_info *device = ht_context_device(context);
        snprintf(e->device, sizeof(e->device), "%s", device->name);
        snprintf(e->driver, sizeof(e->driver), "%s", device->driver);
        if (!eval_recipe_apply(r->name, r->file, path, &options, why, sizeof(why))) {
            status = fail(e, why);
        }
    }
    if (status == HT_OK) {
        char **tokenizers = ht_tokenizer_folders(e->model_path);
        options.tokenizers = (const char *const *)tokenizers;
        status = ht_pipeline_open(context, e->model_path, &options, &pipeline);
        ht_tokenizer_folders_free(tokenizers);
        r->open_seconds = ht_app_seconds() - start;
    }
    if (status == HT_OK) {
        status = make_all(e, context, pipeline, &steps, &n_steps);
    }
    if (status == HT_OK) {
        sum_up(e, r, steps, n_steps);
        r->total_seconds = ht_app_seconds() - start;
        ++e->done;
    }
    free(steps);
    ht_pipeline_destroy(&pipeline);
    ht_context_destroy(&context);
    return status;
}

static int work(eval *e) {
    if (!eval_prepare(e)) {
        return EXIT_FAILED;
    }
    ht_status status = e->judging ? eval_judge_open(&e->judge, e->options, e->log) : HT_OK;
    for (uint32_t i = 0; i < e->options->count && status == HT_OK; ++i) {
        snprintf(e->recipes[i].name, sizeof(e->recipes[i].name), "%s", e->options->names[i]);
        e->recipes[i].file = e->options->files[i];
        status = run_recipe(e);
    }
    if (*e->stop) {
        fprintf(stderr, "gen-eval: cancelled\n");
        return EXIT_CANCELLED;
    }
    if (status != HT_OK || !eval_page_write(e) || !eval_report_write(e)) {
        return EXIT_FAILED;
    }
    eval_table(e);
    return EXIT_GOOD;
}

int eval_run(const eval_options *options, ht_app_log *log, const volatile int *stop) {
    eval *e = calloc(1, sizeof(*e));
    if (!e) {
        return EXIT_FAILED;
    }
    e->options = options;
    e->log = log;
    e->stop = stop;
    ht_app_progress_init(&e->progress, log, options->quiet);
    int code = work(e);
    for (size_t i = 0; e->latents && i < e->prompts.count; ++i) {
        free(e->latents[i]);
    }
    free(e->latents);
    for (uint32_t i = 0; i < EVAL_MAX_RECIPES; ++i) {
        free(e->recipes[i].pictures);
    }
    eval_judge_close(&e->judge);
    eval_prompts_free(&e->prompts);
    free(e);
    return code;
}

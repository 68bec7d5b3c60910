// One call of gen: device, model, and a picture for every prompt and seed.
#include "gen.h"

#include "common/job_run.h"
#include "common/prompts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    const gen_options *options;
    ht_app_log *log;
    const volatile int *stop;
    ht_job_session *session;
    ht_prompts prompts;
    const char *const *texts; // of the prompts
    size_t n_texts;
    bool clips; // not pictures
    ht_app_progress progress;
    ht_job_picture *pictures;
    size_t made;
    double start;
} run;

static bool on_progress(void *user, const ht_progress *now) {
    run *r = user;
    ht_app_progress_show(&r->progress, now);
    if (now->preview && r->options->preview) {
        gen_preview_write(r->options, r->log, now->preview);
    }
    return *r->stop == 0;
}

// Write one picture or clip of a batch.
static ht_status keep_picture(run *r, const ht_job *job, const ht_image *image,
                              const ht_report *report) {
    const gen_options *o = r->options;
    ht_job_picture *picture = &r->pictures[r->made];
    picture->report = *report;
    const bool good =
        r->clips
            ? ht_job_write_clip(job, picture, image, !o->no_metadata, o->overwrite, r->log)
            : ht_job_write(job, picture, image, !o->no_metadata, o->overwrite, r->log);
    if (!good) {
        return HT_ERR_IO;
    }
    ++r->made;
    if (!o->quiet && !(o->json && !*o->json) && strcmp(picture->path, "-") != 0) {
        printf("%s\n", picture->path);
        fflush(stdout);
    }
    return HT_OK;
}

// Names of the pictures of a job, which must be free before any is computed.
static bool name_pictures(run *r, const ht_job *job, const gen_place *first) {
    for (uint32_t i = 0; i < job->batch_size; ++i) {
        gen_place place = *first;
        ht_job_picture *picture = &r->pictures[r->made + i];
        place.index += i;
        place.seed += i;
        picture->prompt = job->prompt;
        picture->seed = place.seed;
        picture->position = i + 1;
        if (!gen_output_name(r->options, r->log, &place, picture->path)) {
            return false;
        }
    }
    return true;
}

static void name_progress(run *r, const ht_job *job, const gen_place *place) {
    unsigned first = (unsigned)place->index + 1, count = (unsigned)place->count;
    if (job->batch_size > 1) {
        snprintf(r->progress.prefix, sizeof(r->progress.prefix), "%u-%u/%u ", first,
                 first + job->batch_size - 1, count);
    } else if (place->count > 1) {
        snprintf(r->progress.prefix, sizeof(r->progress.prefix), "%u/%u ", first, count);
    }
}

static ht_status make_pictures(run *r, ht_job *job, const gen_place *place) {
    ht_report report;
    if (!name_pictures(r, job, place)) {
        return HT_ERR_IO;
    }
    ht_status clip = r->clips ? ht_job_session_clip(r->session, job) : HT_OK;
    if (clip != HT_OK) {
        return clip;
    }
    const size_t frames = r->clips ? job->frames : 1, count = job->batch_size * frames;
    ht_image *images = calloc(count, sizeof(*images));
    if (!images) {
        ht_app_say(r->log, HT_LOG_ERROR, "out of memory");
        return HT_ERR_NO_MEMORY;
    }
    name_progress(r, job, place);
    ht_status status = ht_job_session_run(r->session, job, images, &report);
    ht_app_progress_clear(&r->progress);
    if (status == HT_OK && *r->stop) {
        status = HT_ERR_CANCELLED;
    }
    const ht_job_picture *first = &r->pictures[r->made];
    for (uint32_t i = 0; i < job->batch_size; ++i) {
        if (status == HT_OK) {
            status = keep_picture(r, job, &images[i * frames], &report);
        }
    }
    for (size_t i = 0; i < count; ++i) {
        ht_image_clear(ht_job_session_context(r->session), &images[i]);
    }
    free(images);
    if (status == HT_OK) {
        ht_job_report_summary(first, r->log);
    }
    return status;
}

static ht_status make_all(run *r, uint64_t seed, size_t count) {
    const ht_job *job = &r->options->job;
    const size_t per_prompt = (size_t)job->batch_count * job->batch_size;
    ht_status status = HT_OK;
    for (size_t i = 0; i < count && status == HT_OK; i += job->batch_size) {
        ht_job one = *job;
        one.prompt = r->texts[i / per_prompt];
        one.seed = (int64_t)(seed + i);
        const gen_place place = {.seed = seed + i, .index = i, .count = count};
        status = make_pictures(r, &one, &place);
    }
    return status;
}

static bool report(run *r) {
    const ht_device_info *device = ht_context_device(ht_job_session_context(r->session));
    gen_report out = {.options = r->options,
                      .model_path = ht_job_session_model_path(r->session),
                      .device = device->name,
                      .driver = device->driver,
                      .open_seconds = ht_job_session_open_seconds(r->session),
                      .total_seconds = ht_app_seconds() - r->start,
                      .pictures = r->pictures,
                      .count = r->made};
    return !r->options->json || gen_report_write(&out, r->log);
}

static int finish_check(const run *r) {
    const ht_job_check *c = ht_job_session_check_result(r->session);
    fprintf(stderr, "check: %u operations, %u beyond %.1g; the worst is %s with %.3g\n", c->nodes,
            c->bad, c->limit, c->label, c->worst);
    return c->bad == 0 && c->nodes > 0 ? EXIT_GOOD : EXIT_FAILED;
}

static bool read_prompts(run *r) {
    char why[PATH_MAX + 256];
    const gen_options *o = r->options;
    r->texts = &o->job.prompt;
    r->n_texts = 1;
    if (o->prompt_file) {
        if (!ht_prompts_read(o->prompt_file, 0, &r->prompts, why, sizeof(why))) {
            ht_app_say(r->log, HT_LOG_ERROR, "%s", why);
            return false;
        }
        r->texts = (const char *const *)r->prompts.texts;
        r->n_texts = r->prompts.count;
    }
    return true;
}

static bool create_session(run *r, size_t count) {
    const gen_options *o = r->options;
    const ht_job_session_desc desc = {
        .log = r->log,
        .device = o->device,
        .max_memory = o->max_memory,
        .weights_budget = o->weights_budget,
        .no_cache = o->no_cache,
        .keep_loaded = count > o->job.batch_size,
        .profile = o->verbose > 1,
        .check = o->check,
        .clips = r->clips,
        .progress = on_progress,
        .user = r,
        .preview_every = o->preview ? 1 : 0,
    };
    r->session = ht_job_session_create(&desc);
    r->pictures = calloc(count, sizeof(*r->pictures));
    if (r->session && !r->pictures) {
        ht_app_say(r->log, HT_LOG_ERROR, "out of memory");
    }
    return r->session && r->pictures;
}

static int work(run *r) {
    const gen_options *o = r->options;
    if (!read_prompts(r)) {
        return EXIT_FAILED;
    }
    r->clips = ht_job_is_clip(&o->job, o->output);
    const uint64_t seed = ht_job_first_seed(o->job.seed);
    const size_t count = r->n_texts * o->job.batch_count * o->job.batch_size;
    const gen_place first = {.seed = seed, .count = count};
    if (!gen_output_check(o, r->log, &first) || !create_session(r, count) ||
        !ht_job_session_check(r->session, &o->job, r->texts, r->n_texts)) {
        return EXIT_FAILED;
    }
    const ht_status opened = ht_job_session_open(r->session, &o->job, r->texts, r->n_texts);
    ht_app_progress_clear(&r->progress);
    if (opened != HT_OK) {
        return EXIT_FAILED;
    }
    ht_status status = make_all(r, seed, count);
    bool reported = report(r);
    if (status == HT_ERR_CANCELLED) {
        fprintf(stderr, "gen: cancelled\n");
        return EXIT_CANCELLED;
    }
    if (status != HT_OK || !reported) {
        return EXIT_FAILED;
    }
    return o->check ? finish_check(r) : EXIT_GOOD;
}

int gen_run(const gen_options *options, ht_app_log *log, const volatile int *stop) {
    run r = {.options = options, .log = log, .stop = stop, .start = ht_app_seconds()};
    ht_app_progress_init(&r.progress, log, options->quiet);
    int code = work(&r);
    if (*stop) {
        code = EXIT_CANCELLED;
    }
    free(r.pictures);
    ht_prompts_free(&r.prompts);
    ht_job_session_destroy(&r.session);
    return code;
}

// A whole generation against diffusers, and what a pipeline promises: cancelling, repeating,
// starting from a picture, no memory taken inside the loop.
#include "pipeline_test.h"

#include "files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "tests/data/models/tiny-pixart"
#define PROMPT "A red shiny sphere left of a blue cube."
#define NEGATIVE "blurry, low quality"

// The reference is off by 1e-6 of the largest value itself (tools/golden/README.md); a network in
// f32 is within 1e-5, and guidance of 4.5 takes 4.5 + 3.5 times its error over three steps.
static const double BOUND = 3 * 8 * 1e-5;
static const double NETWORK_BOUND = 1e-5;

// A folder that links to the parts of the tiny model, with settings and a scheduler of its own.
typedef struct model {
    ht_test_folder folder;
    ht_pipeline *pipeline;
    ht_context *context;
} model;

static void link_part(const ht_test_folder *folder, const char *name) {
    char from[1024], to[512], here[512];
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(from, sizeof(from), "%s/" MODEL "/%s", here, name);
    snprintf(to, sizeof(to), "%s/%s", folder->path, name);
    assert_int_equal(symlink(from, to), 0);
}

static const char settings[] = "{\"max_tokens\": 20, \"defaults\": {\"width\": 32, \"height\": 32, "
                               "\"steps\": 3}, \"description\": \"tiny\"}";
static const ht_pipeline_options exact = {.weights = HT_FORMAT_F32, .activations = HT_FORMAT_F32};

static void open_model(model *m, const ht_pipeline_options *options, bool flow) {
    static const char *const parts[] = {"text_encoder", "transformer", "vae", "tokenizer",
                                        "model_index.json"};
    static const char scheduler[] = "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}";
    m->context = ht_test_context(HT_TIER_AUTO);
    ht_test_folder_open(&m->folder);
    for (size_t i = 0; i < HT_COUNT(parts); ++i) {
        link_part(&m->folder, parts[i]);
    }
    link_part(&m->folder, "scheduler");
    ht_test_write(&m->folder, "halftone.json", settings, strlen(settings));
    must(m->context, ht_pipeline_open(m->context, m->folder.path, options, &m->pipeline));
    if (flow) {
        ht_test_folder config;
        ht_test_folder_open(&config);
        ht_test_write(&config, "scheduler_config.json", scheduler, strlen(scheduler));
        must(m->context, ht_sampler_config_read(m->context, config.path, &m->pipeline->sampler));
        ht_test_folder_close(&config);
    }
}

static void close_model(model *m) {
    ht_pipeline_destroy(&m->pipeline);
    ht_test_folder_close(&m->folder);
}

static ht_generate_params params_of(float cfg_scale) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = PROMPT;
    params.negative_prompt = NEGATIVE;
    params.cfg_scale = cfg_scale;
    params.seed = 42;
    return params;
}

static void expect_latents(const char *name, bool flow, float cfg_scale, const char *schedule) {
    model m;
    ht_run run;
    ht_report report;
    ht_test_golden golden;
    ht_generate_params params = params_of(cfg_scale);
    params.schedule = schedule;
    open_model(&m, &exact, flow);
    ht_test_golden_open(&golden, "pipeline_tiny");
    ht_run_begin(&run, m.pipeline, &params, NULL, &report);
    must(m.context, ht_run_sample(&run));
    float *want = ht_test_golden_read(&golden, name, NULL);
    ht_test_assert_close(name, run.items[0].latent, want, run.latent_count, BOUND);
    free(want);
    ht_run_end(&run);
    assert_int_equal(report.steps, 3);
    ht_test_golden_close(&golden);
    close_model(&m);
}

static void test_latents(void **state) {
    (void)state;
    expect_latents("latents.final", false, 4.5f, NULL);
    expect_latents("latents.final.cfg1", false, 1.0f, NULL);
    expect_latents("flow.latents.final", true, 4.5f, NULL);
    expect_latents("flow.latents.final.cfg1", true, 1.0f, NULL);
    expect_latents("flow.latents.final.cfg1.given", true, 1.0f, "simple");
}

static void expect_embeds(const ht_test_golden *golden, const char *name, const float *got) {
    ht_tensor_desc desc;
    float *want = ht_test_golden_read(golden, name, &desc);
    ht_test_assert_close(name, got, want, ht_desc_count(&desc), NETWORK_BOUND);
    free(want);
}

static void test_text(void **state) {
    (void)state;
    model m;
    ht_run run;
    ht_report report;
    ht_test_golden golden;
    ht_generate_params params = params_of(4.5f);
    enum { COUNT = 20 * 32 };
    float embeds[2 * COUNT];
    open_model(&m, &exact, false);
    ht_test_golden_open(&golden, "pipeline_tiny");
    ht_run_begin(&run, m.pipeline, &params, NULL, &report);
    run.guided = true;
    must(m.context, ht_text_encode(&run));
    must(m.context, ht_tensor_read_f32(m.pipeline->text.embeds, embeds, 2 * COUNT));
    expect_embeds(&golden, "negative.embeds", embeds); // first of the batch
    expect_embeds(&golden, "prompt.embeds", embeds + COUNT);
    ht_run_end(&run);
    ht_test_golden_close(&golden);
    close_model(&m);
}

// Capitals and surrounding spaces do not count, in other alphabets too.
static void test_prompt_case(void **state) {
    (void)state;
    model m;
    ht_image first, second;
    ht_generate_params params = params_of(1.0f);
    params.steps = 1;
    open_model(&m, &exact, false);
    params.prompt = "a BALL, \xc3\x89T\xc3\x89 \xce\xa0 \xd0\x9c\xd0\xa1 \xd0\x81";
    must(m.context, ht_pipeline_generate(m.pipeline, &params, NULL, &first, NULL));
    params.prompt = "  a ball, \xc3\xa9t\xc3\xa9 \xcf\x80 \xd0\xbc\xd1\x81 \xd1\x91\n";
    must(m.context, ht_pipeline_generate(m.pipeline, &params, NULL, &second, NULL));
    assert_memory_equal(first.rgb, second.rgb, 32 * 32 * 3);
    ht_image_clear(m.context, &first);
    ht_image_clear(m.context, &second);
    close_model(&m);
}

// Every value is within one of 255 levels, and all but a few on the same: only values that lie on
// the border between two levels may fall to the other side.
static void test_picture(void **state) {
    (void)state;
    model m;
    ht_image image;
    ht_report report;
    ht_test_golden golden;
    ht_generate_params params = params_of(4.5f);
    open_model(&m, &exact, false);
    must(m.context, ht_pipeline_generate(m.pipeline, &params, NULL, &image, &report));
    ht_test_golden_open(&golden, "pipeline_tiny");
    float *want = ht_test_golden_read(&golden, "image", NULL);
    uint32_t other = 0;
    for (uint32_t i = 0; i < 32 * 32 * 3; ++i) {
        int level = (int)rintf(want[i] * 255.0f);
        assert_true(abs(level - image.rgb[i]) <= 1);
        other += level != image.rgb[i];
    }
    assert_true(other <= 32 * 32 * 3 / 100);
    free(want);
    assert_true(report.total_seconds > 0 && report.peak_device_bytes > 0);
    assert_int_equal(report.width, 32);
    assert_string_equal(report.sampler, "dpmpp_2m");
    assert_true(report.parts[PART_DENOISER].device_bytes > 0);
    ht_image_clear(m.context, &image);
    ht_test_golden_close(&golden);
    close_model(&m);
}

typedef struct watcher {
    uint32_t calls, steps, previews, stop_at;
    ht_phase last;
    uint64_t allocations; // at the first step
    uint64_t in_loop;
} watcher;

static bool watch(void *user, const ht_progress *now) {
    watcher *w = user;
    ++w->calls;
    w->last = now->phase;
    w->previews += now->preview != NULL;
    if (now->phase == HT_PHASE_SAMPLE && now->step > 0) {
        uint64_t calls = ht_test_context_allocator(HT_TIER_AUTO)->calls;
        w->allocations = now->step == 1 ? calls : w->allocations;
        w->in_loop = calls - w->allocations;
        ++w->steps;
        return now->step != w->stop_at;
    }
    return true;
}

static void test_callbacks(void **state) {
    (void)state;
    model m;
    ht_image image;
    watcher w = {0};
    ht_callbacks callbacks = {.progress = watch, .user = &w};
    ht_generate_params params = params_of(1.0f);
    params.steps = 5;
    open_model(&m, &exact, false);
    must(m.context, ht_pipeline_generate(m.pipeline, &params, &callbacks, &image, NULL));
    assert_int_equal(w.steps, 5);
    assert_int_equal(w.last, HT_PHASE_DECODE);
    assert_int_equal(w.in_loop, 0); // host memory taken between first and last step
    ht_image_clear(m.context, &image);
    // cancelled within a step, and usable afterwards
    w = (watcher){.stop_at = 2};
    assert_int_equal(ht_pipeline_generate(m.pipeline, &params, &callbacks, &image, NULL),
                     HT_ERR_CANCELLED);
    assert_int_equal(w.steps, 2);
    assert_null(image.rgb);
    w = (watcher){0};
    params.preview_every = 2;
    must(m.context, ht_pipeline_generate(m.pipeline, &params, &callbacks, &image, NULL));
    assert_int_equal(w.previews, 2);
    ht_image_clear(m.context, &image);
    close_model(&m);
}

static void generate(model *m, const ht_generate_params *params, ht_image *image) {
    must(m->context, ht_pipeline_generate(m->pipeline, params, NULL, image, NULL));
}

// The same seed gives the same picture, whatever was made before and whatever is kept loaded.
static void test_repeatable(void **state) {
    (void)state;
    model kept, fresh;
    ht_image first, again, other;
    ht_pipeline_options options = exact;
    options.keep_loaded = true;
    ht_generate_params params = params_of(4.5f), changed = params_of(1.0f);
    changed.prompt = "something else";
    changed.width = 48;
    changed.steps = 2;
    open_model(&kept, &options, false);
    open_model(&fresh, &exact, false);
    generate(&kept, &params, &first);
    generate(&kept, &changed, &other);
    assert_int_equal(other.width, 48);
    ht_image_clear(kept.context, &other);
    changed = params;
    changed.prompt = "a third prompt";
    generate(&kept, &changed, &other);
    assert_true(memcmp(first.rgb, other.rgb, 32 * 32 * 3) != 0);
    ht_image_clear(kept.context, &other);
    generate(&kept, &params, &again);
    assert_memory_equal(first.rgb, again.rgb, 32 * 32 * 3);
    ht_image_clear(kept.context, &again);
    generate(&fresh, &params, &again);
    assert_memory_equal(first.rgb, again.rgb, 32 * 32 * 3);
    ht_image_clear(kept.context, &again);
    ht_image_clear(kept.context, &first);
    close_model(&kept);
    close_model(&fresh);
}

// A model of more than half of the memory is loaded part by part, also for several pictures.
static void test_keeping(void **state) {
    (void)state;
    model m;
    ht_pipeline_options options = exact;
    options.keep_loaded = true;
    open_model(&m, &options, false);
    assert_true(m.pipeline->options.keep_loaded);
    uint64_t bytes = m.pipeline->info.file_bytes;
    close_model(&m);
    options.max_device_bytes = bytes + bytes / 2;
    open_model(&m, &options, false);
    assert_false(m.pipeline->options.keep_loaded);
    close_model(&m);
}

static void test_from_picture(void **state) {
    (void)state;
    model m;
    ht_image start, image;
    ht_report report;
    static const struct {
        float strength;
        uint32_t steps; // of 10: int(10 * strength)
    } rows[] = {{0.0f, 0}, {0.05f, 0}, {0.25f, 2}, {0.6f, 6}, {1.0f, 10}};
    open_model(&m, &exact, false);
    must(m.context, ht_image_create(m.context, 50, 40, &start));
    for (uint32_t i = 0; i < 50 * 40 * 3; ++i) {
        start.rgb[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_generate_params params = params_of(1.0f);
        params.init = &start;
        params.steps = 10;
        params.strength = rows[i].strength;
        must(m.context, ht_pipeline_generate(m.pipeline, &params, NULL, &image, &report));
        assert_int_equal(report.steps, rows[i].steps);
        ht_image_clear(m.context, &image);
    }
    ht_image_clear(m.context, &start);
    close_model(&m);
}

static void expect_refusal(model *m, const ht_generate_params *params, const char *part) {
    ht_image image;
    assert_int_not_equal(ht_pipeline_generate(m->pipeline, params, NULL, &image, NULL), HT_OK);
    assert_null(image.rgb);
    if (!strstr(ht_context_message(m->context), part)) {
        fail_msg("'%s' lacks '%s'", ht_context_message(m->context), part);
    }
}

static void test_refusals(void **state) {
    (void)state;
    model m;
    open_model(&m, &exact, false);
    ht_generate_params params = params_of(1.0f);
    params.width = 1u << 20;
    expect_refusal(&m, &params, "MiB of device memory");
    params.width = 3;
    expect_refusal(&m, &params, "at least 4");
    params = params_of(1.0f);
    params.prompt = NULL;
    expect_refusal(&m, &params, "no prompt");
    params = params_of(1.0f);
    params.sampler = "magic";
    expect_refusal(&m, &params, "unknown sampler 'magic'");
    params.sampler = "flow_euler";
    expect_refusal(&m, &params, "flow_euler does not fit");
    params = params_of(NAN);
    expect_refusal(&m, &params, "guidance scale");
    params = params_of(1.0f);
    params.strict = true;
    params.prompt = "one two three four five six seven eight nine ten eleven twelve thirteen "
                    "fourteen fifteen sixteen seventeen eighteen nineteen twenty";
    expect_refusal(&m, &params, "the text encoder takes 20");
    // without strict it is cut, and the odd size rounded
    ht_image image;
    params.strict = false;
    params.width = 35;
    generate(&m, &params, &image);
    assert_int_equal(image.width, 32);
    ht_image_clear(m.context, &image);
    close_model(&m);
}

// A context without a device is enough to see what a model is, and no more.
static void test_without_device(void **state) {
    (void)state;
    const ht_context_desc desc = {.host_only = true};
    ht_context *context;
    ht_pipeline *pipeline;
    assert_int_equal(ht_context_create(&desc, &context), HT_OK);
    must(context, ht_pipeline_open(context, MODEL, &exact, &pipeline));
    const ht_pipeline_info *info = ht_pipeline_get_info(pipeline);
    assert_string_equal(info->class_name, "PixArtSigmaPipeline");
    assert_true(info->grid > 0 && info->steps > 0 && info->file_bytes > 0);
    uint32_t width = 0, height = 0;
    assert_int_equal(ht_pipeline_size(pipeline, &width, &height), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "without a device"));
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    ht_image image = {.rgb = (uint8_t *)&params}; // must not be left
    params.prompt = "a red ball";
    assert_int_equal(ht_pipeline_generate(pipeline, &params, NULL, &image, NULL), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "without a device"));
    assert_null(image.rgb);
    ht_pipeline_destroy(&pipeline);
    ht_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_device),
        cmocka_unit_test(test_text),         cmocka_unit_test(test_latents),
        cmocka_unit_test(test_prompt_case),  cmocka_unit_test(test_picture),
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_repeatable),   cmocka_unit_test(test_keeping),
        cmocka_unit_test(test_from_picture), cmocka_unit_test(test_refusals),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

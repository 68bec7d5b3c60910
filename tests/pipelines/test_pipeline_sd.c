// Whole generations of the Stable Diffusion family against diffusers: text, guidance, sampling.
#include "pipeline_test.h"

#include <stdlib.h>
#include <string.h>

#define PROMPT "A red shiny sphere left of a blue cube."
#define NEGATIVE "blurry, low quality"

// A network in f32 is within 1e-5 (its own tests); guidance of 4.5 takes 4.5 + 3.5 times its error,
// over three steps.
static const double NETWORK_BOUND = 1e-5;
static const double BOUND = 3 * 8 * 1e-5;

static const ht_pipeline_options exact = {.weights = HT_FORMAT_F32, .activations = HT_FORMAT_F32};

static ht_pipeline *open_model(const char *folder, const ht_pipeline_options *options) {
    ht_pipeline *pipeline;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    must(context, ht_pipeline_open(context, folder, options, &pipeline));
    return pipeline;
}

static ht_generate_params params_of(const char *negative, float cfg_scale) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = PROMPT;
    params.negative_prompt = negative;
    params.cfg_scale = cfg_scale;
    params.seed = 42;
    params.steps = 3;
    params.width = params.height = 16;
    return params;
}

static void compare(const ht_test_golden *golden, const char *name, const float *got,
                    double bound) {
    ht_tensor_desc desc;
    float *want = ht_test_golden_read(golden, name, &desc);
    ht_test_error error = ht_test_compare(got, want, ht_desc_count(&desc));
    print_message("%s of %s: rel L2 %.2e\n", name, golden->name, error.rel_l2);
    ht_test_assert_close(name, got, want, ht_desc_count(&desc), bound);
    free(want);
}

static void expect_latents(ht_pipeline *p, const ht_test_golden *golden, const char *name,
                           const ht_generate_params *params) {
    ht_run run;
    ht_report report;
    ht_run_begin(&run, p, params, NULL, &report);
    must(p->context, ht_run_sample(&run));
    compare(golden, name, run.items[0].latent, BOUND);
    ht_run_end(&run);
    assert_int_equal(report.schedule_steps, 3);
    assert_int_equal(report.steps, params->sampler ? 5 : 3);
}

static void read_back(ht_pipeline *p, const ht_test_golden *golden, const char *name,
                      ht_tensor *tensor) {
    size_t count = ht_desc_count(ht_tensor_get_desc(tensor));
    float *got = malloc(count * sizeof(*got));
    assert_non_null(got);
    must(p->context, ht_tensor_read_f32(tensor, got, count));
    compare(golden, name, got, NETWORK_BOUND);
    free(got);
}

// One pipeline after another prompt, guidance and layer: nothing of the former may stay.
static void check_family(const char *folder, const char *golden_name, uint32_t skip) {
    ht_test_golden golden;
    ht_pipeline_options options = exact;
    options.keep_loaded = true;
    ht_pipeline *p = open_model(folder, &options);
    ht_test_golden_open(&golden, golden_name);
    ht_generate_params params = params_of(NEGATIVE, 4.5f);
    expect_latents(p, &golden, "latents.final", &params);
    read_back(p, &golden, "embeds", p->text.embeds);
    if (p->text.pooled) {
        read_back(p, &golden, "pooled", p->text.pooled);
    }
    params.cfg_scale = 1;
    expect_latents(p, &golden, "latents.final.cfg1", &params);
    params = params_of(NULL, 4.5f);
    expect_latents(p, &golden, "latents.final.unprompted", &params);
    params = params_of(NULL, 1);
    params.clip_skip = skip;
    expect_latents(p, &golden, "latents.final.skip", &params);
    params = params_of(NEGATIVE, 4.5f);
    params.cfg_rescale = 0.7f;
    expect_latents(p, &golden, "latents.final.rescale", &params);
    params = params_of(NEGATIVE, 4.5f);
    params.sampler = "heun"; // two evaluations a step, but for the last
    expect_latents(p, &golden, "latents.final.heun", &params);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

static void test_sd(void **state) {
    (void)state;
    check_family("tests/data/models/tiny-sd", "pipeline_sd", 2);
}

static void test_xl(void **state) {
    (void)state;
    check_family("tests/data/models/tiny-xl", "pipeline_xl", 3);
}

static void check_picture(const char *folder, const char *golden_name) {
    ht_test_golden golden;
    ht_image image;
    ht_report report;
    ht_tensor_desc desc;
    ht_pipeline *p = open_model(folder, &exact);
    ht_test_golden_open(&golden, golden_name);
    ht_generate_params params = params_of(NEGATIVE, 4.5f);
    must(p->context, ht_pipeline_generate(p, &params, NULL, &image, &report));
    float *want = ht_test_golden_read(&golden, "image", &desc);
    double square = 0;
    for (size_t i = 0; i < ht_desc_count(&desc); ++i) {
        double apart = image.rgb[i] / 255.0 - want[i];
        square += apart * apart;
    }
    // Rounding to 8 bits alone is 1 / (255^2 12) of mean square: 58.9 dB.
    assert_true(square / (double)ht_desc_count(&desc) < 1.0 / (255.0 * 255.0 * 10));
    free(want);
    ht_image_clear(p->context, &image);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

static void test_pictures(void **state) {
    (void)state;
    check_picture("tests/data/models/tiny-sd", "pipeline_sd");
    check_picture("tests/data/models/tiny-xl", "pipeline_xl");
}

// Prompts beyond the encoder's 18 tokens go in chunks; weights change the picture, and those of 1
// do not.
static void test_long_and_weighted(void **state) {
    (void)state;
    static const char *const prompts[] = {
        "a red cube, a blue sphere, a green cone, a yellow torus, a cyan pyramid, an orange ball",
        "a (red:1.5) cube BREAK a blue sphere", "a (red:1.0) cube", "a red cube"};
    static const uint32_t lengths[] = {40, 40, 20, 20};
    ht_pipeline *p = open_model("tests/data/models/tiny-sd", &exact);
    float last[64], before[64];
    for (size_t i = 0; i < HT_COUNT(prompts); ++i) {
        ht_run run;
        ht_report report;
        ht_generate_params params = params_of(NULL, 4.5f);
        params.prompt = prompts[i];
        ht_run_begin(&run, p, &params, NULL, &report);
        must(p->context, ht_run_sample(&run));
        assert_int_equal(p->text.length, lengths[i]);
        assert_true(run.latent_count == 4 * 8 * 8);
        memcpy(before, last, sizeof(last));
        memcpy(last, run.items[0].latent, sizeof(last));
        ht_run_end(&run);
    }
    ht_test_assert_close("weight 1", last, before, 64, 1e-6);
    ht_pipeline_destroy(&p);
}

// Parts that do not belong together are named.
static void test_refusals(void **state) {
    (void)state;
    ht_pipeline *p = open_model("tests/data/models/tiny-sd", &exact);
    ht_generate_params params = params_of(NULL, 1);
    ht_image image;
    params.clip_skip = 4;
    assert_int_equal(ht_pipeline_generate(p, &params, NULL, &image, NULL), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(p->context), "3 layers skipped of 3"));
    ht_pipeline_destroy(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sd),       cmocka_unit_test(test_xl),
        cmocka_unit_test(test_pictures), cmocka_unit_test(test_long_and_weighted),
        cmocka_unit_test(test_refusals),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// Repainting under a mask against diffusers, with every kind of denoiser.
#include "pipeline_test.h"

#include <stdlib.h>
#include <string.h>

enum { EDGE = 16 };

// As in test_pipeline_sd.c, over four steps.
static const double BOUND = 1e-4;

static const ht_pipeline_options exact = {.weights = HT_FORMAT_F32, .activations = HT_FORMAT_F32};

static ht_pipeline *open_model(const char *folder) {
    ht_pipeline *pipeline;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    must(context, ht_pipeline_open(context, folder, &exact, &pipeline));
    return pipeline;
}

// A golden picture of bytes; grey ones have one channel.
static ht_image picture_of(ht_context *context, const ht_test_golden *golden, const char *name) {
    ht_tensor_desc desc;
    ht_image image;
    float *values = ht_test_golden_read(golden, name, &desc);
    must(context, ht_image_create(context, EDGE, EDGE, &image));
    for (size_t i = 0; i < EDGE * EDGE * 3; ++i) {
        image.rgb[i] = (uint8_t)values[desc.rank == 3 ? i : i / 3];
    }
    free(values);
    return image;
}

typedef struct given {
    ht_test_golden golden;
    ht_image init, mask;
} given;

static void open_given(given *g) {
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_test_golden_open(&g->golden, "pipeline_inpaint");
    g->init = picture_of(context, &g->golden, "init");
    g->mask = picture_of(context, &g->golden, "mask");
}

static void close_given(given *g) {
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_image_clear(context, &g->init);
    ht_image_clear(context, &g->mask);
    ht_test_golden_close(&g->golden);
}

static ht_generate_params params_of(const given *g, float strength) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = "A red shiny sphere left of a blue cube.";
    params.negative_prompt = "blurry, low quality";
    params.cfg_scale = 4.5f;
    params.seed = 42;
    params.steps = 4;
    params.width = params.height = EDGE;
    params.init = &g->init;
    params.mask = &g->mask;
    params.strength = strength;
    return params;
}

static void expect_latents(ht_pipeline *p, const given *g, const char *name,
                           const ht_generate_params *params) {
    ht_run run;
    ht_report report;
    ht_tensor_desc desc;
    ht_run_begin(&run, p, params, NULL, &report);
    must(p->context, ht_run_sample(&run));
    float *want = ht_test_golden_read(&g->golden, name, &desc);
    assert_int_equal(ht_desc_count(&desc), run.latent_count);
    ht_test_error error = ht_test_compare(run.items[0].latent, want, run.latent_count);
    print_message("%s: rel L2 %.2e\n", name, error.rel_l2);
    ht_test_assert_close(name, run.items[0].latent, want, run.latent_count, BOUND);
    free(want);
    ht_run_end(&run);
    assert_int_equal(report.steps, params->strength < 1 ? 3 : 4);
}

static void check_model(const char *folder, const char *whole, const char *part) {
    given g;
    open_given(&g);
    ht_pipeline *p = open_model(folder);
    ht_generate_params params = params_of(&g, 1);
    expect_latents(p, &g, whole, &params);
    params.strength = 0.75f;
    expect_latents(p, &g, part, &params);
    ht_pipeline_destroy(&p);
    close_given(&g);
}

static void test_latents(void **state) {
    (void)state;
    check_model("tests/data/models/tiny-sd", "sd.1", "sd.part");
    check_model("tests/data/models/tiny-xl", "xl.1", "xl.part");
    check_model("tests/data/models/tiny-sd-inpaint", "nine.1", "nine.part");
}

// A sampler that draws noise goes on where the encoding of the picture stopped.
static void test_drawing(void **state) {
    (void)state;
    given g;
    open_given(&g);
    ht_pipeline *p = open_model("tests/data/models/tiny-sd");
    ht_generate_params params = params_of(&g, 0.75f);
    params.sampler = "euler_a";
    expect_latents(p, &g, "sd.drawing", &params);
    ht_pipeline_destroy(&p);
    close_given(&g);
}

// Where nothing is repainted the picture stays as it was; without pasting it went through the VAE.
static void test_paste(void **state) {
    (void)state;
    given g;
    ht_image image;
    open_given(&g);
    ht_pipeline *p = open_model("tests/data/models/tiny-pixart");
    ht_generate_params params = params_of(&g, 0.75f);
    params.mask_blur = 1;
    must(p->context, ht_pipeline_generate(p, &params, NULL, &image, NULL));
    size_t changed = 0;
    for (int y = 0; y < EDGE; ++y) {
        for (int x = 0; x < EDGE; ++x) {
            size_t i = ((size_t)y * EDGE + (size_t)x) * 3;
            bool same = memcmp(image.rgb + i, g.init.rgb + i, 3) == 0;
            changed += !same;
            bool near = (y >= 2 && y <= 12 && x >= 4) || (y <= 2 && x <= 7);
            assert_true(same || near);
        }
    }
    assert_true(changed > 60);
    ht_image_clear(p->context, &image);
    params.no_paste = true;
    must(p->context, ht_pipeline_generate(p, &params, NULL, &image, NULL));
    assert_memory_not_equal(image.rgb + EDGE * 15 * 3, g.init.rgb + EDGE * 15 * 3, EDGE * 3);
    ht_image_clear(p->context, &image);
    ht_pipeline_destroy(&p);
    close_given(&g);
}

static void expect_refusal(ht_pipeline *p, const ht_generate_params *params, const char *part) {
    ht_image image;
    assert_int_equal(ht_pipeline_generate(p, params, NULL, &image, NULL), HT_ERR_INVALID);
    if (!strstr(ht_context_message(p->context), part)) {
        fail_msg("'%s' without '%s'", ht_context_message(p->context), part);
    }
}

static void test_refusals(void **state) {
    (void)state;
    given g;
    open_given(&g);
    ht_pipeline *p = open_model("tests/data/models/tiny-sd-inpaint");
    ht_generate_params params = params_of(&g, 1);
    params.mask = NULL;
    expect_refusal(p, &params, "this model repaints part of a picture");
    params.init = NULL;
    params.mask = &g.mask;
    expect_refusal(p, &params, "this model repaints part of a picture");
    ht_pipeline_destroy(&p);
    p = open_model("tests/data/models/tiny-sd");
    expect_refusal(p, &params, "a mask needs an initial picture");
    params.init = &g.init;
    ht_image smaller = g.mask;
    smaller.height = 8;
    params.mask = &smaller;
    expect_refusal(p, &params, "the mask has 16 x 8 pixels, the initial picture 16 x 16");
    params.mask = &g.mask;
    params.mask_blur = 257;
    expect_refusal(p, &params, "a mask blur of 257 pixels");
    ht_pipeline_destroy(&p);
    close_given(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latents),
        cmocka_unit_test(test_drawing),
        cmocka_unit_test(test_paste),
        cmocka_unit_test(test_refusals),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

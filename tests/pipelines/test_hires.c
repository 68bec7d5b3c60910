// A second pass, and several pictures at once: against diffusers, and against single pictures.
#include "pipeline_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SD "tests/data/models/tiny-sd"
#define XL "tests/data/models/tiny-xl"

// A network in f32 is within 1e-5; guidance of 4.5 takes 8 times its error, over 3 + 2 steps.
static const double BOUND = 5 * 8 * 1e-5;

static ht_pipeline *open_model(const char *folder, const char *vae, bool keep) {
    const ht_pipeline_options options = {.weights = HT_FORMAT_F32,
                                         .activations = HT_FORMAT_F32,
                                         .keep_loaded = keep,
                                         .vae = vae};
    ht_pipeline *p;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    must(context, ht_pipeline_open(context, folder, &options, &p));
    return p;
}

static ht_generate_params params_of(void) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = "A red shiny sphere left of a blue cube.";
    params.negative_prompt = "blurry, low quality";
    params.cfg_scale = 4.5f;
    params.seed = 42;
    params.steps = 3;
    params.width = params.height = 16;
    return params;
}

// ---- enlarging

static void test_planes(void **state) {
    (void)state;
    static const uint32_t from[2] = {5, 7}, sizes[2][2] = {{10, 14}, {15, 21}};
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "hires");
    float *in = ht_test_golden_read(&golden, "planes", &desc), got[3 * 15 * 21];
    for (size_t i = 0; i < 4; ++i) {
        char name[64];
        bool nearest = i % 2 == 1;
        snprintf(name, sizeof(name), "planes.%s.%u", nearest ? "nearest" : "bilinear",
                 sizes[i / 2][0]);
        float *want = ht_test_golden_read(&golden, name, &desc);
        ht_planes_resize(in, 3, from, sizes[i / 2], nearest, got);
        ht_test_assert_close(name, got, want, ht_desc_count(&desc), nearest ? 0 : 1e-6);
        free(want);
    }
    free(in);
    ht_test_golden_close(&golden);
}

// Pillow rounds to bytes between the two axes and has weights of 8 bits: it is off by one level at
// times.
static void test_pictures(void **state) {
    (void)state;
    static const ht_filter filters[] = {HT_FILTER_LANCZOS, HT_FILTER_BICUBIC};
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_test_golden_open(&golden, "hires");
    float *bytes = ht_test_golden_read(&golden, "picture", &desc);
    ht_image in, out;
    must(context, ht_image_create(context, 9, 6, &in));
    for (size_t i = 0; i < 9 * 6 * 3; ++i) {
        in.rgb[i] = (uint8_t)bytes[i];
    }
    for (size_t i = 0; i < 4; ++i) {
        char name[64];
        uint32_t width = i / 2 ? 6 : 18;
        snprintf(name, sizeof(name), "picture.%s.%u", i % 2 ? "bicubic" : "lanczos", width);
        float *want = ht_test_golden_read(&golden, name, &desc);
        must(context, ht_image_create(context, width, width * 2 / 3, &out));
        must(context, ht_image_resize_by(context, &in, filters[i % 2], &out));
        double sum = 0;
        for (size_t j = 0; j < ht_desc_count(&desc); ++j) {
            double apart = fabs(out.rgb[j] - want[j]);
            sum += apart;
            assert_true(apart <= 1);
        }
        assert_true(sum / (double)ht_desc_count(&desc) < 0.3);
        ht_image_clear(context, &out);
        free(want);
    }
    ht_image_clear(context, &in);
    free(bytes);
    ht_test_golden_close(&golden);
}

// ---- the second pass

static void check_passes(const char *name, ht_hires hires, bool keep) {
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_run run;
    ht_report report;
    ht_pipeline *p = open_model(SD, NULL, keep);
    ht_generate_params params = params_of();
    params.hires = hires;
    ht_test_golden_open(&golden, "hires");
    ht_run_begin(&run, p, &params, NULL, &report);
    must(p->context, ht_run_sample(&run));
    float *want = ht_test_golden_read(&golden, name, &desc);
    assert_int_equal(run.latent_count, ht_desc_count(&desc));
    print_message("%s: rel L2 %.2e\n", name,
                  ht_test_compare(run.items[0].latent, want, run.latent_count).rel_l2);
    ht_test_assert_close(name, run.items[0].latent, want, run.latent_count, BOUND);
    ht_run_end(&run);
    assert_int_equal(report.steps, 5);
    assert_int_equal(report.first_steps, 3);
    assert_int_equal(report.first_width, 16);
    free(want);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

static void test_passes(void **state) {
    (void)state;
    ht_hires hires = {.scale = 2, .steps = 4, .strength = 0.5f};
    check_passes("latent", hires, true);
    hires = (ht_hires){.width = 24,
                       .steps = 4,
                       .strength = 0.5f,
                       .upscaler = HT_UPSCALE_LATENT_NEAREST};
    check_passes("latent-nearest", hires, false);
}

// Through pixels, without a step: what the VAE makes of the enlarged picture. A tiny autoencoder
// draws nothing, so that a second run can say it.
static void test_through_pixels(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_image small, large, got, want;
    ht_pipeline *p = open_model("tests/data/models/tiny-sd-taesd", "tiny", false);
    ht_generate_params params = params_of();
    must(context, ht_pipeline_generate(p, &params, NULL, &small, NULL));
    params.hires = (ht_hires){.scale = 1.5f, .upscaler = HT_UPSCALE_LANCZOS};
    must(context, ht_pipeline_generate(p, &params, NULL, &got, NULL));
    must(context, ht_image_create(context, 24, 24, &large));
    must(context, ht_image_resize_by(context, &small, HT_FILTER_LANCZOS, &large));
    params.hires.scale = 0;
    params.width = params.height = 24;
    params.init = &large;
    params.strength = 0;
    must(context, ht_pipeline_generate(p, &params, NULL, &want, NULL));
    assert_int_equal(got.width, 24);
    assert_memory_equal(got.rgb, want.rgb, 24 * 24 * 3);
    ht_image_clear(context, &small);
    ht_image_clear(context, &large);
    ht_image_clear(context, &got);
    ht_image_clear(context, &want);
    ht_pipeline_destroy(&p);
}

// ---- several at once

enum { BATCH = 3 };

// Latents of a batch are those of its seeds alone, to rounding: products of another height may be
// summed in another order.
static void check_batch(const char *folder, const char *sampler, float cfg_scale, bool hires) {
    static ht_run run; // larger than one would like on a stack
    ht_report report;
    ht_pipeline *p = open_model(folder, NULL, true);
    ht_generate_params params = params_of();
    params.sampler = sampler;
    params.cfg_scale = cfg_scale;
    params.hires.scale = hires ? 2 : 0;
    params.batch = BATCH;
    ht_run_begin(&run, p, &params, NULL, &report);
    must(p->context, ht_run_sample(&run));
    size_t count = run.latent_count;
    float *batch = malloc(BATCH * count * sizeof(*batch));
    assert_non_null(batch);
    memcpy(batch, run.latents, BATCH * count * sizeof(*batch));
    ht_run_end(&run);
    assert_int_equal(report.batch, BATCH);
    params.batch = 0;
    for (uint32_t i = 0; i < BATCH; ++i) {
        params.seed = 42 + i;
        ht_run_begin(&run, p, &params, NULL, &report);
        must(p->context, ht_run_sample(&run));
        ht_test_error error = ht_test_compare(batch + i * count, run.latents, count);
        print_message("%s %s %u: rel L2 %.2e\n", folder, sampler ? sampler : "", i, error.rel_l2);
        ht_test_assert_close("batch", batch + i * count, run.latents, count, BOUND);
        ht_run_end(&run);
    }
    free(batch);
    ht_pipeline_destroy(&p);
}

static void test_batches(void **state) {
    (void)state;
    check_batch(SD, "euler_a", 4.5f, false); // fresh noise at each step, of each seed's generator
    check_batch(SD, NULL, 1, true);
    check_batch(XL, NULL, 4.5f, false); // a row of the time table for each text
    check_batch("tests/data/models/tiny-pixart", NULL, 4.5f, false); // a mask for each text
}

// Pictures from a picture, under a mask, led by a ControlNet.
static void test_batch_of_pictures(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    uint8_t pixels[16 * 16 * 3], mask[16 * 16 * 3];
    for (size_t i = 0; i < sizeof(pixels); ++i) {
        pixels[i] = (uint8_t)(i * 37);
        mask[i] = i < sizeof(mask) / 2 ? 255 : 0;
    }
    const ht_image init = {16, 16, pixels}, half = {16, 16, mask};
    ht_image images[2], single;
    ht_pipeline *p = open_model("tests/data/models/tiny-sd-control", NULL, true);
    ht_generate_params params = params_of();
    params.init = &init;
    params.mask = &half;
    params.control = &init;
    params.batch = 2;
    must(context, ht_pipeline_generate(p, &params, NULL, images, NULL));
    params.batch = 1;
    for (uint32_t i = 0; i < 2; ++i) {
        params.seed = 42 + i;
        must(context, ht_pipeline_generate(p, &params, NULL, &single, NULL));
        for (size_t j = 0; j < sizeof(pixels); ++j) { // a rounded level at the most
            assert_true(abs(images[i].rgb[j] - single.rgb[j]) <= 1);
        }
        ht_image_clear(context, &single);
    }
    assert_memory_not_equal(images[0].rgb, images[1].rgb, sizeof(pixels));
    ht_image_clear(context, &images[0]);
    ht_image_clear(context, &images[1]);
    ht_pipeline_destroy(&p);
}

static void refuse(ht_pipeline *p, const ht_generate_params *params, const char *sentence) {
    ht_image images[HT_MAX_BATCH + 1];
    assert_int_equal(ht_pipeline_generate(p, params, NULL, images, NULL), HT_ERR_INVALID);
    if (!strstr(ht_context_message(p->context), sentence)) {
        fail_msg("%s", ht_context_message(p->context));
    }
}

static void test_refusals(void **state) {
    (void)state;
    uint8_t pixels[16 * 16 * 3] = {0};
    const ht_image picture = {16, 16, pixels};
    ht_pipeline *p = open_model(SD, NULL, true);
    ht_generate_params params = params_of();
    params.batch = HT_MAX_BATCH + 1;
    refuse(p, &params, "17 pictures at once, expected 1 to 16");
    params = params_of();
    params.hires.scale = 9;
    refuse(p, &params, "an enlargement by 9");
    params.hires.scale = 2;
    params.hires.strength = 2;
    refuse(p, &params, "strength 2");
    params = params_of();
    params.hires.width = params.hires.height = 8;
    refuse(p, &params, "the second pass has 8 x 8 pixels, the first 16 x 16");
    params.hires.width = params.hires.height = 32;
    params.init = params.mask = &picture;
    refuse(p, &params, "a second pass and a mask exclude each other");
    params = params_of();
    params.steps = 600;
    params.hires.scale = 2;
    params.hires.strength = 0.9f;
    params.hires.steps = 1000;
    params.width = params.height = HT_MAX_EDGE / 2;
    params.hires.scale = 4;
    refuse(p, &params, "32768 x 32768 pixels would need");
    ht_pipeline_destroy(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planes),         cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_passes),         cmocka_unit_test(test_through_pixels),
        cmocka_unit_test(test_batches),        cmocka_unit_test(test_batch_of_pictures),
        cmocka_unit_test(test_refusals),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

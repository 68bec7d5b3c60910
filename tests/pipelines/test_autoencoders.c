// Pictures by other autoencoders than the model's: tiny ones, and files of them.
#include "pipeline_test.h"

#include <stdlib.h>
#include <string.h>

#define MODEL "tests/data/models/tiny-sd-taesd"
#define TAESD "tests/data/models/tiny-taesd/"

static ht_status try_open(const char *vae, const char *preview, ht_pipeline **out) {
    const ht_pipeline_options options = {.weights = HT_FORMAT_F32,
                                         .activations = HT_FORMAT_F32,
                                         .vae = vae,
                                         .preview_vae = preview};
    return ht_pipeline_open(ht_test_context(HT_TIER_AUTO), MODEL, &options, out);
}

static ht_pipeline *open_with(const char *vae, const char *preview) {
    ht_pipeline *p;
    must(ht_test_context(HT_TIER_AUTO), try_open(vae, preview, &p));
    return p;
}

static ht_generate_params params_of(uint32_t steps) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = "A red shiny sphere left of a blue cube.";
    params.negative_prompt = "blurry, low quality";
    params.cfg_scale = 4.5f;
    params.seed = 42;
    params.steps = steps;
    params.width = params.height = 16;
    return params;
}

// Mean square of the difference in units of 1.
static double square_apart(const ht_image *image, const float *want, size_t count) {
    double square = 0;
    for (size_t i = 0; i < count; ++i) {
        double apart = image->rgb[i] / 255.0 - want[i];
        square += apart * apart;
    }
    return square / (double)count;
}

// Rounding to 8 bits alone is 1 / (255^2 12): 58.9 dB.
static const double ROUNDING = 1.0 / (255.0 * 255.0 * 10);

static void test_pictures(void **state) {
    (void)state;
    static const char *const vaes[] = {"tiny", TAESD "vae",
                                       TAESD "vae/diffusion_pytorch_model.safetensors",
                                       TAESD "taesd_decoder.safetensors"};
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "taesd");
    float *want = ht_test_golden_read(&golden, "picture", &desc);
    for (size_t i = 0; i < HT_COUNT(vaes); ++i) {
        ht_pipeline *p = open_with(vaes[i], NULL);
        ht_generate_params params = params_of(3);
        ht_image image;
        must(p->context, ht_pipeline_generate(p, &params, NULL, &image, NULL));
        assert_true(square_apart(&image, want, ht_desc_count(&desc)) < ROUNDING);
        ht_image_clear(p->context, &image);
        ht_pipeline_destroy(&p);
    }
    free(want);
    ht_test_golden_close(&golden);
}

// Its encoder draws nothing: all noise is that of the schedule.
static void test_from_picture(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_image init;
    ht_run run;
    ht_report report;
    ht_pipeline *p = open_with("tiny", NULL);
    ht_test_golden_open(&golden, "taesd");
    float *bytes = ht_test_golden_read(&golden, "init", &desc);
    must(p->context, ht_image_create(p->context, 16, 16, &init));
    for (size_t i = 0; i < 16 * 16 * 3; ++i) {
        init.rgb[i] = (uint8_t)bytes[i];
    }
    free(bytes);
    ht_generate_params params = params_of(4);
    params.init = &init;
    ht_run_begin(&run, p, &params, NULL, &report);
    must(p->context, ht_run_sample(&run));
    float *want = ht_test_golden_read(&golden, "latents.img2img", &desc);
    // A network in f32 is within 1e-5; guidance of 4.5 takes 8 times that, over three steps.
    ht_test_assert_close("latents.img2img", run.items[0].latent, want, ht_desc_count(&desc), 3 * 8 * 1e-5);
    ht_run_end(&run);
    free(want);
    ht_image_clear(p->context, &init);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

// The last preview is of the clean latent: what the autoencoder of previews makes of the picture.
static bool keep_preview(void *user, const ht_progress *progress) {
    ht_image *kept = user;
    if (progress->preview) {
        memcpy(kept->rgb, progress->preview->rgb, 16 * 16 * 3);
        kept->width = progress->step;
    }
    return true;
}

static void test_previews(void **state) {
    (void)state;
    static const char *const previews[] = {NULL, TAESD "taesd_decoder.safetensors"};
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "taesd");
    float *want = ht_test_golden_read(&golden, "picture", &desc);
    for (size_t i = 0; i < HT_COUNT(previews); ++i) {
        ht_pipeline *p = open_with(NULL, previews[i]);
        ht_generate_params params = params_of(3);
        uint8_t bytes[16 * 16 * 3];
        ht_image image, kept = {.rgb = bytes};
        const ht_callbacks callbacks = {.progress = keep_preview, .user = &kept};
        params.preview_every = 3;
        must(p->context, ht_pipeline_generate(p, &params, &callbacks, &image, NULL));
        assert_int_equal(kept.width, 3);
        // DDIM's last step goes to the table's first level, just above zero noise.
        assert_true(square_apart(&kept, want, ht_desc_count(&desc)) < 1e-3);
        assert_true(square_apart(&image, want, ht_desc_count(&desc)) > 1e-3);
        ht_image_clear(p->context, &image);
        ht_pipeline_destroy(&p);
    }
    free(want);
    ht_test_golden_close(&golden);
}

// Another AutoencoderKL, from a folder or a file: the picture of a model that has it.
static void test_replaced(void **state) {
    (void)state;
    static const char *const vaes[] = {
        "tests/data/models/tiny-xl/vae",
        "tests/data/models/tiny-xl/vae/diffusion_pytorch_model.safetensors"};
    ht_image images[3];
    for (size_t i = 0; i < 3; ++i) {
        ht_pipeline *p = open_with(i == 0 ? NULL : vaes[i - 1], NULL);
        ht_generate_params params = params_of(2);
        must(p->context, ht_pipeline_generate(p, &params, NULL, &images[i], NULL));
        ht_pipeline_destroy(&p);
    }
    assert_memory_equal(images[1].rgb, images[2].rgb, 16 * 16 * 3);
    assert_memory_not_equal(images[0].rgb, images[1].rgb, 16 * 16 * 3);
    for (size_t i = 0; i < 3; ++i) {
        ht_image_clear(ht_test_context(HT_TIER_AUTO), &images[i]);
    }
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *vae, *preview, *sentence;
    } rows[] = {
        {TAESD "taesd_encoder.safetensors", NULL, "has an encoder only"},
        {NULL, TAESD "taesd_encoder.safetensors", "is not a tiny autoencoder with a decoder"},
        {NULL, "tests/data/models/tiny-sd/vae", "is not a tiny autoencoder with a decoder"},
        {"tests/data/models/tiny-sd/unet", NULL, "describes a UNet2DConditionModel; supported"},
        {"tests/data/models/tiny-vae-noquant/vae", NULL, "the vae has 16 latent channels"},
        {"tests/data/models/none", NULL, "tests/data/models/none"},
    };
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_pipeline *p;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        assert_int_not_equal(try_open(rows[i].vae, rows[i].preview, &p), HT_OK);
        if (!strstr(ht_context_message(context), rows[i].sentence)) {
            fail_msg("row %zu: %s", i, ht_context_message(context));
        }
    }
    uint8_t grey[16 * 16 * 3] = {0};
    const ht_image init = {.width = 16, .height = 16, .rgb = grey};
    ht_image image;
    p = open_with(TAESD "taesd_decoder.safetensors", NULL);
    ht_generate_params params = params_of(2);
    params.init = &init;
    assert_int_equal(ht_pipeline_generate(p, &params, NULL, &image, NULL), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "has a decoder only"));
    ht_pipeline_destroy(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures), cmocka_unit_test(test_from_picture),
        cmocka_unit_test(test_previews), cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_refusals),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

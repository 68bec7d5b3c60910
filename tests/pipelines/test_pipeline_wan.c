// Clips of WanPipeline against diffusers: text, guidance, both solvers, decoding, and what is refused.
#include "pipeline_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "tests/data/models/tiny-wan"
#define IMAGE_FOLDER "tests/data/models/tiny-wan-i2v"
#define PROMPT "A red shiny sphere  rolls left past a blue cube."

enum { FRAMES = 9 };

// A network in f32 is within 1e-5 (its own tests); guidance of 5 takes 5 + 4 times its error, over
// four steps.
static const double NETWORK_BOUND = 1e-5;
static const double BOUND = 4 * 9 * 1e-5;

static const ht_pipeline_options exact = {
    .weights = HT_FORMAT_F32, .activations = HT_FORMAT_F32, .keep_loaded = true};

static ht_pipeline *open_model(const ht_pipeline_options *options) {
    return open_in(FOLDER, options);
}

static ht_generate_params params_of(float cfg_scale, uint32_t frames) {
    return clip_params(PROMPT, cfg_scale, frames);
}

static void compare(const ht_test_golden *golden, const char *name, const float *got,
                    double bound) {
    ht_tensor_desc desc;
    float *want = ht_test_golden_read(golden, name, &desc);
    ht_test_error error = ht_test_compare(got, want, ht_desc_count(&desc));
    print_message("%s: rel L2 %.2e\n", name, error.rel_l2);
    ht_test_assert_close(name, got, want, ht_desc_count(&desc), bound);
    free(want);
}

static void expect_latents(ht_pipeline *p, const ht_test_golden *golden, const char *name,
                           const ht_generate_params *params) {
    ht_run *run = calloc(1, sizeof(*run));
    ht_report *report = calloc(1, sizeof(*report));
    ht_run_begin(run, p, params, NULL, report);
    must(p->context, ht_run_sample(run));
    compare(golden, name, run->items[0].latent, BOUND);
    ht_run_end(run);
    assert_int_equal(report->frames, params->frames);
    free(report);
    free(run);
}

// What the encoder gives: negative, then positive, of the first 24 tokens.
static void expect_text(ht_pipeline *p, const ht_test_golden *golden) {
    enum { KEPT = 24, WIDTH = 32 };
    size_t count = ht_desc_count(ht_tensor_get_desc(p->text.embeds));
    float *all = malloc(count * sizeof(*all)), *got = malloc(2 * KEPT * WIDTH * sizeof(*got));
    must(p->context, ht_tensor_read_f32(p->text.embeds, all, count));
    for (int b = 0; b < 2; ++b) {
        memcpy(got + b * KEPT * WIDTH, all + b * (count / 2), KEPT * WIDTH * sizeof(*got));
        for (size_t i = KEPT * WIDTH; i < count / 2; ++i) {
            assert_true(all[b * (count / 2) + i] == 0);
        }
    }
    compare(golden, "embeds", got, NETWORK_BOUND);
    free(all);
    free(got);
}

// One pipeline after another: nothing of the run before may stay.
static void test_latents(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_pipeline *p = open_model(&exact);
    ht_test_golden_open(&golden, "pipeline_wan");
    ht_generate_params params = params_of(5, FRAMES);
    expect_latents(p, &golden, "latents", &params);
    expect_text(p, &golden);
    params = params_of(5, 1);
    expect_latents(p, &golden, "latents.picture", &params);
    params = params_of(1, FRAMES);
    expect_latents(p, &golden, "latents.cfg1", &params);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

// A golden picture [H, W, 3] of bytes.
static ht_image picture_of(ht_context *context, const ht_test_golden *golden, const char *name) {
    ht_tensor_desc desc;
    ht_image image;
    float *values = ht_test_golden_read(golden, name, &desc);
    must(context, ht_image_create(context, desc.dims[1], desc.dims[0], &image));
    for (size_t i = 0; i < ht_desc_count(&desc); ++i) {
        image.rgb[i] = (uint8_t)values[i];
    }
    free(values);
    return image;
}

// The image encoder reads the picture's middle, made smaller by the filter of Pillow's bicubic, which
// rounds to bytes: at most one away, but for half a pixel of where the cut begins.
static void expect_pixels(ht_pipeline *p, const ht_test_golden *golden) {
    const ht_clip_vision_config *c = &p->vision;
    ht_tensor_desc desc;
    ht_image large = picture_of(p->context, golden, "large"), small;
    float *want = ht_test_golden_read_nhwc(golden, "large.pixels", &desc);
    assert_int_equal(desc.dims[1], c->edge);
    must(p->context, ht_image_create(p->context, c->edge, c->edge, &small));
    must(p->context, ht_image_resize_by(p->context, &large, HT_FILTER_BICUBIC, &small));
    double square = 0, whole = 0;
    for (size_t i = 0; i < ht_desc_count(&desc); ++i) {
        const double v = (small.rgb[i] / 255.0 - c->mean[i % 3]) / c->deviation[i % 3];
        square += (v - want[i]) * (v - want[i]);
        whole += want[i] * want[i];
    }
    print_message("pixels for the image encoder: rel L2 %.2e\n", sqrt(square / whole));
    assert_true(square < 0.02 * 0.02 * whole);
    ht_image_clear(p->context, &small);
    ht_image_clear(p->context, &large);
    free(want);
}

// Clips that begin with a picture: what stands beside the latent, the picture's tokens, and whole runs
// with and without guidance.
static void test_picture(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_pipeline *p = open_in(IMAGE_FOLDER, &exact);
    ht_test_golden_open(&golden, "pipeline_wan_image");
    ht_image init = picture_of(p->context, &golden, "init");
    ht_generate_params params = params_of(5, FRAMES);
    params.init = &init;
    expect_latents(p, &golden, "latents", &params);
    ht_tensor_desc desc = *ht_tensor_get_desc(p->picture.tokens);
    float *tokens = malloc(ht_desc_bytes(&desc));
    must(p->context, ht_tensor_read_f32(p->picture.tokens, tokens, ht_desc_count(&desc)));
    compare(&golden, "embeds", tokens, NETWORK_BOUND);
    free(tokens);
    ht_run *run = calloc(1, sizeof(*run));
    ht_report *report = calloc(1, sizeof(*report));
    ht_run_begin(run, p, &params, NULL, report);
    must(p->context, ht_run_sample(run));
    compare(&golden, "condition", run->condition, NETWORK_BOUND);
    ht_run_end(run);
    free(report);
    free(run);
    params.cfg_scale = 1;
    expect_latents(p, &golden, "latents.cfg1", &params);
    expect_pixels(p, &golden);
    ht_image_clear(p->context, &init);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

// A model of texts alone: the first latent frame ends as the picture's own latent, which the others were
// denoised beside; so the clip begins with what the autoencoder makes of the picture.
static void test_first_frame(void **state) {
    (void)state;
    enum { POSITIONS = 2 * 4, LATENT_FRAMES = 3 };
    ht_test_golden golden;
    ht_pipeline *p = open_model(&exact);
    ht_test_golden_open(&golden, "pipeline_wan_image");
    float *condition = ht_test_golden_read(&golden, "condition", NULL);
    ht_image init = picture_of(p->context, &golden, "init");
    ht_generate_params params = params_of(5, FRAMES);
    ht_run *run = calloc(1, sizeof(*run));
    ht_report *report = calloc(1, sizeof(*report));
    double rest[2] = {0};
    for (int given = 0; given < 2; ++given) {
        params.init = given ? &init : NULL;
        ht_run_begin(run, p, &params, NULL, report);
        must(p->context, ht_run_sample(run));
        for (size_t i = 0; i < run->latent_count; ++i) {
            const size_t channel = i / (LATENT_FRAMES * POSITIONS);
            const float *frame = condition + (4 + channel) * LATENT_FRAMES * POSITIONS;
            const size_t at = i % (LATENT_FRAMES * POSITIONS);
            if (at < POSITIONS && given) {
                assert_true(fabsf(run->items[0].latent[i] - frame[at]) < 1e-5f);
            } else if (at >= POSITIONS) {
                rest[given] += run->items[0].latent[i];
            }
        }
        ht_run_end(run);
    }
    assert_true(fabs(rest[0] - rest[1]) > 1e-3); // what follows has seen it
    free(run);
    free(report);
    free(condition);
    ht_image_clear(p->context, &init);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

static void test_euler(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_pipeline *p = open_model(&exact);
    ht_test_golden_open(&golden, "pipeline_wan");
    p->sampler = (ht_sampler_config){.kind = HT_SAMPLER_FLOW_EULER,
                                     .prediction = HT_PREDICT_FLOW,
                                     .train_steps = 1000,
                                     .shift = 5};
    ht_generate_params params = params_of(5, FRAMES);
    expect_latents(p, &golden, "latents.euler", &params);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

static uint32_t decoded; // frames that the progress has told of

static bool watch(void *user, const ht_progress *now) {
    ht_image *preview = user;
    if (now->preview && !preview->rgb) {
        must(ht_test_context(HT_TIER_AUTO),
             ht_image_create(ht_test_context(HT_TIER_AUTO), now->preview->width,
                             now->preview->height, preview));
        memcpy(preview->rgb, now->preview->rgb, (size_t)3 * preview->width * preview->height);
    }
    if (now->phase == HT_PHASE_DECODE) {
        decoded = now->step;
    }
    return true;
}

static double square_error(const ht_image *frames, const float *want, size_t values) {
    double square = 0;
    for (size_t f = 0; f < FRAMES; ++f) {
        for (size_t i = 0; i < values; ++i) {
            double apart = frames[f].rgb[i] / 255.0 - want[f * values + i];
            square += apart * apart;
        }
    }
    return square / (double)(FRAMES * values);
}

static void test_frames(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_image frames[2 * FRAMES], preview = {0};
    ht_report *report = calloc(1, sizeof(*report));
    ht_pipeline *p = open_model(&exact);
    ht_test_golden_open(&golden, "pipeline_wan");
    ht_generate_params params = params_of(5, FRAMES);
    params.preview_every = 2;
    const ht_callbacks callbacks = {.progress = watch, .user = &preview};
    must(p->context, ht_pipeline_generate(p, &params, &callbacks, frames, report));
    float *want = ht_test_golden_read(&golden, "frames", NULL);
    // Rounding to 8 bits alone is 1 / (255^2 12) of mean square: 58.9 dB.
    assert_true(square_error(frames, want, 16 * 32 * 3) < 1.0 / (255.0 * 255.0 * 10));
    assert_int_equal(preview.width, 32);
    assert_int_equal(decoded, FRAMES);
    assert_int_equal(report->frames, FRAMES);
    for (int i = 0; i < FRAMES; ++i) {
        ht_image_clear(p->context, &frames[i]);
    }
    ht_image_clear(p->context, &preview);
    // Two at once, the second with the next seed; the first is as before but for the order of sums.
    params.batch = 2;
    params.preview_every = 0;
    must(p->context, ht_pipeline_generate(p, &params, NULL, frames, report));
    assert_true(square_error(frames, want, 16 * 32 * 3) < 1.0 / (255.0 * 255.0 * 10));
    assert_true(square_error(frames + FRAMES, want, 16 * 32 * 3) > 1e-3);
    for (int i = 0; i < 2 * FRAMES; ++i) {
        ht_image_clear(p->context, &frames[i]);
    }
    free(want);
    free(report);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

// Previews by a tiny autoencoder: of the frame in the middle, which nothing else gives.
static void test_tiny(void **state) {
    (void)state;
    static const char file[] = "tests/data/models/tiny-taehv/taehv.safetensors";
    ht_image frames[FRAMES], preview = {0};
    ht_pipeline_options options = exact;
    ht_pipeline *p;
    ht_generate_params params = params_of(1, FRAMES);
    options.preview_vae = file;
    p = open_in(FOLDER, &options);
    params.preview_every = params.steps;
    const ht_callbacks callbacks = {.progress = watch, .user = &preview};
    must(p->context, ht_pipeline_generate(p, &params, &callbacks, frames, NULL));
    for (int i = 0; i < FRAMES; ++i) {
        ht_image_clear(p->context, &frames[i]);
    }
    assert_true(preview.width == 32 && preview.height == 16);
    ht_pipeline_destroy(&p);
    // The same as the VAE of the clip: its frame in the middle is that preview.
    options.preview_vae = NULL;
    options.vae = file;
    p = open_in(FOLDER, &options);
    must(p->context, ht_pipeline_generate(p, &params, NULL, frames, NULL));
    for (int i = 0; i < 3 * 16 * 32; ++i) { // the last step's prediction, but for rounding
        assert_true(abs(frames[FRAMES / 2].rgb[i] - preview.rgb[i]) <= 1);
    }
    for (int i = 0; i < FRAMES; ++i) {
        ht_image_clear(p->context, &frames[i]);
    }
    ht_image_clear(p->context, &preview);
    ht_pipeline_destroy(&p);
    // Not of a model of pictures.
    options.vae = NULL;
    options.preview_vae = file;
    assert_int_equal(
        ht_pipeline_open(ht_test_context(HT_TIER_AUTO), "tests/data/models/tiny-sd", &options, &p),
        HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(ht_test_context(HT_TIER_AUTO)), "to clips, the VAE"));
}

static void refuse(ht_pipeline *p, const ht_generate_params *params, const char *part) {
    ht_image *images = calloc(HT_MAX_FRAMES + 4, sizeof(*images));
    assert_int_equal(ht_pipeline_generate(p, params, NULL, images, NULL), HT_ERR_INVALID);
    if (!strstr(ht_context_message(p->context), part)) {
        fail_msg("'%s', expected '%s'", ht_context_message(p->context), part);
    }
    free(images);
}

static void test_rules(void **state) {
    (void)state;
    ht_pipeline *p = open_model(&exact);
    const ht_pipeline_info *info = ht_pipeline_get_info(p);
    static const uint32_t rows[][2] = {{0, 1}, {1, 1}, {4, 1}, {5, 5}, {8, 5}, {16, 13}, {81, 81}};
    assert_true(info->frames == 81 && info->fps == 16 && info->width == 832 && info->height == 480);
    assert_true(info->grid == 16 && info->steps == 50 && info->max_tokens == 512);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        uint32_t frames = rows[i][0];
        must(p->context, ht_pipeline_frames(p, &frames));
        assert_int_equal(frames, rows[i][1]);
    }
    ht_generate_params params = params_of(5, 2000);
    refuse(p, &params, "2000 frames, at most 1025");
    params = params_of(5, 5);
    params.hires.scale = 2;
    refuse(p, &params, "a second pass is not possible with this model (WanPipeline)");
    uint8_t pixel[3] = {0};
    const ht_image init = {.width = 1, .height = 1, .rgb = pixel};
    params = params_of(5, 5);
    params.init = params.mask = &init;
    refuse(p, &params, "a mask is not possible with this model (WanPipeline)");
    const ht_lora_file lora = {.path = "tests/data/loras/pixart.safetensors", .scale = 1};
    assert_int_equal(ht_pipeline_set_loras(p, &lora, 1), HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(p->context), "a 'WanPipeline' takes no LoRAs"));
    assert_false(ht_pipeline_get_info(p)->takes_loras || ht_pipeline_get_info(p)->takes_pictures);
    ht_pipeline_destroy(&p);
    p = open_in(IMAGE_FOLDER, &exact);
    assert_true(ht_pipeline_get_info(p)->needs_picture);
    assert_true(ht_pipeline_get_info(p)->begins_with_picture);
    params = params_of(5, 5);
    refuse(p, &params, "it needs an initial picture");
    params.init = params.mask = &init;
    refuse(p, &params, "a mask is not possible with this model (WanImageToVideoPipeline)");
    ht_pipeline_destroy(&p);
    // A model of pictures
    must(ht_test_context(HT_TIER_AUTO),
         ht_pipeline_open(ht_test_context(HT_TIER_AUTO), "tests/data/models/tiny-pixart", &exact,
                          &p));
    params = params_of(5, 5);
    refuse(p, &params, "makes pictures, not clips");
    ht_pipeline_destroy(&p);
}

// Low bits in the linear layers of the blocks: they run, and stay near.
static void test_recipes(void **state) {
    (void)state;
    static const char *const recipes[] = {"assets/recipes/w8a8.json", "assets/recipes/w4a8.json"};
    ht_test_golden golden;
    ht_test_golden_open(&golden, "pipeline_wan");
    double before = 0;
    for (size_t i = 0; i < HT_COUNT(recipes); ++i) {
        ht_pipeline_options options = exact;
        ht_image frames[FRAMES];
        options.recipe = recipes[i];
        ht_pipeline *p = open_model(&options);
        ht_generate_params params = params_of(1, FRAMES);
        ht_run *run = calloc(1, sizeof(*run));
        ht_report *report = calloc(1, sizeof(*report));
        ht_run_begin(run, p, &params, NULL, report);
        must(p->context, ht_run_sample(run));
        ht_tensor_desc desc;
        float *want = ht_test_golden_read(&golden, "latents.cfg1", &desc);
        ht_test_error error = ht_test_compare(run->items[0].latent, want, ht_desc_count(&desc));
        print_message("%s: rel L2 %.3f\n", recipes[i], error.rel_l2);
        // More than nothing, less for 8 bits than for 4.
        assert_true(error.rel_l2 > before && error.rel_l2 < 1);
        before = error.rel_l2;
        ht_run_end(run);
        must(p->context, ht_pipeline_generate(p, &params, NULL, frames, report));
        for (int f = 0; f < FRAMES; ++f) {
            ht_image_clear(p->context, &frames[f]);
        }
        free(want);
        free(run);
        free(report);
        ht_pipeline_destroy(&p);
    }
    ht_test_golden_close(&golden);
}

// Eight bits in the causal convolutions of the VAE: the same clip but for what that costs.
static void test_vae_recipe(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_image frames[FRAMES];
    ht_pipeline_options options = exact;
    options.vae_recipe = "assets/recipes/w8a8.json";
    ht_pipeline *p = open_model(&options);
    ht_test_golden_open(&golden, "pipeline_wan");
    float *want = ht_test_golden_read(&golden, "frames", NULL);
    const ht_generate_params params = params_of(5, FRAMES);
    ht_report *report = calloc(1, sizeof(*report));
    must(p->context, ht_pipeline_generate(p, &params, NULL, frames, report));
    const double error = square_error(frames, want, 16 * 32 * 3);
    print_message("VAE of 8 bits: %.1f dB\n", -10 * log10(error));
    // More than the rounding to bytes; each convolution is about 40 dB from its float one.
    assert_true(error > 1.0 / (255.0 * 255.0 * 10) && error < 1e-3);
    bool packed = false;
    for (uint32_t i = 0; i < report->parts[PART_VAE].n_formats; ++i) {
        packed = packed || ht_format_is_packed(report->parts[PART_VAE].formats[i].format);
    }
    assert_true(packed);
    for (int i = 0; i < FRAMES; ++i) {
        ht_image_clear(p->context, &frames[i]);
    }
    ht_pipeline_destroy(&p);
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    assert_int_equal(ht_pipeline_open(context, "tests/data/models/tiny-sd", &options, &p),
                     HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "no AutoencoderKLWan or"));
    free(want);
    free(report);
    ht_test_golden_close(&golden);
}

// A device with too little memory for the weights: they are streamed, and the clip is the same.
static void test_streamed(void **state) {
    (void)state;
    static const uint64_t limits[] = {0, 160000}; // the transformer has 102 kB
    static float latents[2][4 * 3 * 2 * 2];
    uint64_t bytes[2];
    ht_context_desc desc = ht_test_context_desc();
    desc.no_host_import = true;
    for (size_t i = 0; i < HT_COUNT(limits); ++i) {
        ht_context *context;
        ht_pipeline *p;
        ht_pipeline_options options = exact;
        ht_run *run = calloc(1, sizeof(*run));
        ht_report *report = calloc(1, sizeof(*report));
        options.max_device_bytes = limits[i];
        assert_int_equal(ht_context_create(&desc, &context), HT_OK);
        must(context, ht_pipeline_open(context, FOLDER, &options, &p));
        p->vae.config.sample_size = 8; // by tiles, which would fit
        ht_generate_params params = params_of(1, FRAMES);
        params.width = 16;
        ht_run_begin(run, p, &params, NULL, report);
        must(context, ht_run_sample(run));
        assert_int_equal(run->latent_count, HT_COUNT(latents[i]));
        memcpy(latents[i], run->items[0].latent, sizeof(latents[i]));
        ht_run_end(run);
        bytes[i] = report->parts[PART_DENOISER].device_bytes;
        free(run);
        free(report);
        ht_pipeline_destroy(&p);
        ht_context_destroy(&context);
    }
    assert_memory_equal(latents[0], latents[1], sizeof(latents[0]));
    assert_true(bytes[1] < bytes[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latents),     cmocka_unit_test(test_picture),
        cmocka_unit_test(test_first_frame), cmocka_unit_test(test_euler),
        cmocka_unit_test(test_frames),      cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_rules),       cmocka_unit_test(test_recipes),
        cmocka_unit_test(test_streamed),    cmocka_unit_test(test_vae_recipe),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

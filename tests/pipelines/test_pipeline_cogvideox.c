// Clips of CogVideoXPipeline against diffusers: text, guidance, both schedulers, decoding, low bits, and
// what is refused.
#include "pipeline_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "tests/data/models/tiny-cogvideox"
#define PROMPT "A red shiny sphere  rolls left past a Blue cube."

enum { FRAMES = 17, FEW = 9 };

// A network in f32 is within 1e-5 (its own tests); guidance of 6 takes 6 + 5 times its error, over four
// steps.
static const double NETWORK_BOUND = 1e-5;
static const double BOUND = 4 * 11 * 1e-5;

static const ht_pipeline_options exact = {
    .weights = HT_FORMAT_F32, .activations = HT_FORMAT_F32, .keep_loaded = true};

static ht_generate_params params_of(float cfg_scale, uint32_t frames) {
    return clip_params(PROMPT, cfg_scale, frames);
}

// The latents of a run, [frames, C, h, w]; returns their error.
static double latents_error(ht_pipeline *p, const ht_test_golden *golden, const char *name,
                            const ht_generate_params *params) {
    ht_run *run = calloc(1, sizeof(*run));
    ht_report *report = calloc(1, sizeof(*report));
    ht_tensor_desc desc;
    float *want = ht_test_golden_read(golden, name, &desc);
    ht_run_begin(run, p, params, NULL, report);
    must(p->context, ht_run_sample(run));
    assert_int_equal(run->latent_count, ht_desc_count(&desc));
    const ht_test_error error = ht_test_compare(run->items[0].latent, want, run->latent_count);
    print_message("%s: rel L2 %.2e\n", name, error.rel_l2);
    assert_true(error.finite);
    ht_run_end(run);
    assert_int_equal(report->frames, params->frames);
    free(want);
    free(report);
    free(run);
    return error.rel_l2;
}

// Rows [first, first + count) of the encoded texts, negative, then positive.
static void expect_text(const ht_pipeline *p, const ht_test_golden *golden, const char *name,
                        uint32_t first) {
    ht_tensor_desc desc;
    const ht_tensor_desc *all = ht_tensor_get_desc(p->text.embeds);
    float *want = ht_test_golden_read(golden, name, &desc);
    float *texts = malloc(ht_desc_bytes(all)), *got = malloc(ht_desc_bytes(&desc));
    must(p->context, ht_tensor_read_f32(p->text.embeds, texts, ht_desc_count(all)));
    assert_int_equal(all->dims[1], 226);
    for (uint32_t b = 0; b < 2; ++b) {
        const size_t width = desc.dims[2], rows = desc.dims[1];
        memcpy(got + b * rows * width, texts + (b * all->dims[1] + first) * width,
               rows * width * sizeof(*got));
    }
    ht_test_assert_close(name, got, want, ht_desc_count(&desc), NETWORK_BOUND);
    free(got);
    free(texts);
    free(want);
}

static double square_error(const ht_image *frames, uint32_t count, const float *want) {
    const size_t values = 16 * 32 * 3;
    double square = 0;
    for (size_t f = 0; f < count; ++f) {
        for (size_t i = 0; i < values; ++i) {
            const double apart = frames[f].rgb[i] / 255.0 - want[f * values + i];
            square += apart * apart;
        }
    }
    return square / (double)(count * values);
}

static void clear(ht_pipeline *p, ht_image *frames, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        ht_image_clear(p->context, &frames[i]);
    }
}

// One run after another: nothing of the one before may stay. Clips of one piece, of several, and pictures.
static void test_clips(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_image frames[2 * FRAMES];
    ht_pipeline *p = open_in(FOLDER, &exact);
    ht_test_golden_open(&golden, "pipeline_cogvideox");
    ht_generate_params params = params_of(6, FRAMES);
    assert_true(latents_error(p, &golden, "latents", &params) < BOUND);
    expect_text(p, &golden, "embeds.first", 0);
    expect_text(p, &golden, "embeds.last", 224);
    params = params_of(6, 1);
    assert_true(latents_error(p, &golden, "latents.picture", &params) < BOUND);
    params = params_of(1, FRAMES);
    assert_true(latents_error(p, &golden, "latents.cfg1", &params) < BOUND);
    // Rounding to 8 bits alone is 1 / (255^2 12) of mean square: 58.9 dB. Two clips at once, the first as
    // it is alone.
    params = params_of(6, FEW);
    params.batch = 2;
    params.preview_every = 2;
    float *want = ht_test_golden_read(&golden, "frames", NULL);
    must(p->context, ht_pipeline_generate(p, &params, NULL, frames, NULL));
    assert_true(square_error(frames, FEW, want) < 1.0 / (255.0 * 255.0 * 10));
    assert_true(square_error(frames + FEW, FEW, want) > 1e-3);
    clear(p, frames, 2 * FEW);
    params = params_of(1, FRAMES); // a second piece
    must(p->context, ht_pipeline_generate(p, &params, NULL, frames, NULL));
    clear(p, frames, FRAMES);
    free(want);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

// The 5B model's rotary positions, and its scheduler, which draws noise.
static void test_5b(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_pipeline *p = open_in(FOLDER "-5b", &exact);
    ht_test_golden_open(&golden, "pipeline_cogvideox");
    const ht_generate_params params = params_of(6, FRAMES);
    assert_int_equal(p->sampler.kind, HT_SAMPLER_DPM_TABLE);
    assert_true(latents_error(p, &golden, "latents.5b", &params) < BOUND);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

// Low bits in the linear layers of the blocks and behind the timestep: four bits stay near, and are used.
static void test_recipe(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_pipeline_options options = exact;
    options.recipe = "assets/recipes/w4a8.json";
    ht_pipeline *p = open_in(FOLDER, &options);
    ht_test_golden_open(&golden, "pipeline_cogvideox");
    const ht_generate_params params = params_of(1, FRAMES);
    const double error = latents_error(p, &golden, "latents.cfg1", &params);
    assert_true(error > 1e-3 && error < 0.2);
    ht_layer_formats formats;
    assert_true(ht_recipe_find(p->recipe, "transformer_blocks.1.norm2.linear", &formats));
    assert_true(formats.weights == HT_FORMAT_FP4_I8 && formats.activations == HT_FORMAT_NONE);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

enum { ROWS = 4, COLUMNS = 10, LATENT_FRAMES = 5 }; // of a clip for tiles

// The frames of a latent, decoded whole or where memory is short.
static void decode(ht_run *run, const float *latent, bool tiled, ht_image frames[FRAMES]) {
    ht_pipeline *p = run->pipeline;
    p->options.max_device_bytes = tiled ? 1 : 0;
    run->report->tiled = false;
    must(p->context, ht_clip_decode(run, &p->vae, latent, FRAMES, frames));
    assert_true(run->report->tiled == tiled);
}

static double square_between(const ht_image *a, const ht_image *b) {
    double square = 0;
    for (size_t i = 0; i < (size_t)a->width * a->height * 3; ++i) {
        square += (a->rgb[i] - b->rgb[i]) * (a->rgb[i] - b->rgb[i]) / (255.0 * 255.0);
    }
    return square / ((double)a->width * a->height * 3);
}

// Group norms of a tile are its own, as where the reference tiles, which with weights that mean nothing is
// most of what differs. So tiles are compared with what tiles of wrong moments would be.
static void test_tiles(void **state) {
    (void)state;
    ht_pipeline *p = open_in(FOLDER, &exact);
    const ht_generate_params params = HT_GENERATE_DEFAULTS;
    ht_report *report = calloc(1, sizeof(*report));
    ht_run *run = calloc(1, sizeof(*run));
    ht_image whole[FRAMES], tiled[FRAMES];
    float latent[4 * LATENT_FRAMES * ROWS * COLUMNS];
    *run = (ht_run){.pipeline = p,
                    .params = &params,
                    .report = report,
                    .width = COLUMNS * 8,
                    .height = ROWS * 8,
                    .frames = FRAMES,
                    .latent_frames = LATENT_FRAMES,
                    .latent_height = ROWS,
                    .latent_width = COLUMNS};
    ht_random random;
    ht_random_seed(&random, 7);
    ht_random_normal(&random, latent, HT_COUNT(latent));
    assert_int_equal(p->vae.config.sample_size, 24); // half of the usual height
    p->vae.config.sample_size = ROWS * 8;
    decode(run, latent, false, whole);
    decode(run, latent, true, tiled);
    double square = 0, wrong = 0;
    for (size_t f = 0; f < FRAMES; ++f) {
        square += square_between(&tiled[f], &whole[f]) / FRAMES;
        wrong += square_between(&tiled[f], &whole[(f + 1) % FRAMES]) / FRAMES;
    }
    print_message("in tiles: %.1f dB, wrong ones %.1f\n", -10 * log10(square), -10 * log10(wrong));
    assert_true(square > 0 && 4 * square < wrong);
    clear(p, whole, FRAMES);
    clear(p, tiled, FRAMES);
    free(run);
    free(report);
    ht_pipeline_destroy(&p);
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
    ht_pipeline *p = open_in(FOLDER, &exact);
    const ht_pipeline_info *info = ht_pipeline_get_info(p);
    static const uint32_t rows[][2] = {{0, 1}, {1, 1}, {8, 1}, {9, 9}, {16, 9}, {49, 49}, {81, 81}};
    assert_true(info->frames == 9 && info->fps == 8 && info->width == 64 && info->height == 48);
    assert_true(info->grid == 16 && info->steps == 50 && info->max_tokens == 226);
    assert_false(info->takes_loras || info->takes_pictures || info->begins_with_picture);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        uint32_t frames = rows[i][0];
        must(p->context, ht_pipeline_frames(p, &frames));
        assert_int_equal(frames, rows[i][1]);
    }
    uint8_t pixel[3] = {0};
    const ht_image init = {.width = 1, .height = 1, .rgb = pixel};
    ht_generate_params params = params_of(6, FEW);
    params.init = &init;
    refuse(p, &params, "an initial picture is not possible with this model (CogVideoXPipeline)");
    const ht_lora_file lora = {.path = "tests/data/loras/pixart.safetensors", .scale = 1};
    assert_int_equal(ht_pipeline_set_loras(p, &lora, 1), HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(p->context), "a 'CogVideoXPipeline' takes no LoRAs"));
    ht_pipeline_destroy(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clips), cmocka_unit_test(test_5b),    cmocka_unit_test(test_recipe),
        cmocka_unit_test(test_tiles), cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// The VAE by tiles against the same in one run: on the tiny network beside diffusers' way of tiling,
// on the VAE that is shipped, and on clips.
#include "pipeline_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ht_pipeline_options exact = {.weights = HT_FORMAT_F32, .activations = HT_FORMAT_F32};

static ht_pipeline *open_model(const char *folder, uint32_t tile) {
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_pipeline *p = NULL;
    must(context, ht_pipeline_open(context, folder, &exact, &p));
    p->vae.config.sample_size = tile;
    must(context, ht_part_open(p, PART_VAE));
    return p;
}

static float *convert(ht_pipeline *p, const ht_vae_work *all, bool tiled, const float *in,
                      size_t count) {
    float *out = malloc(count * sizeof(*out));
    assert_non_null(out);
    must(p->context, tiled
                         ? ht_vae_tiled(p, &p->vae, all->encoder, in, all->height, all->width, out)
                         : ht_vae_run(p, &p->vae, all, in, NULL, out));
    return out;
}

// Peak signal to noise of values in -1..1, in dB.
static double psnr(const float *got, const float *want, size_t count) {
    double squares = 0;
    for (size_t i = 0; i < count; ++i) {
        squares += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
    }
    return 10 * log10(4.0 * (double)count / squares);
}

// Signal to noise, in dB.
static double snr(const float *got, const float *want, size_t count) {
    return -20 * log10(ht_test_compare(got, want, count).rel_l2);
}

// Tiles of 16 pixels are so small that what they do not see is most of their error; still they must
// be far nearer to the whole than tiles of diffusers are: by 10 dB.
static void test_beside_diffusers(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_pipeline *p = open_model("tests/data/models/tiny-pixart", 16);
    ht_test_golden_open(&golden, "vae_tiny");
    float *z = ht_test_golden_read_nhwc(&golden, "tiled.latent", &desc);
    float *theirs = ht_test_golden_read_nhwc(&golden, "tiled.decoded", &desc);
    float *whole = ht_test_golden_read_nhwc(&golden, "tiled.decoded_whole", &desc);
    const size_t pixels = ht_desc_count(&desc);
    float *got = convert(p, &(ht_vae_work){VAE_WHOLE, false, 27, 18}, true, z, pixels);
    print_message("decoded: %.1f dB, diffusers' tiles %.1f dB\n", snr(got, whole, pixels),
                  snr(theirs, whole, pixels));
    assert_true(snr(got, whole, pixels) > snr(theirs, whole, pixels) + 10);
    free(z);
    free(theirs);
    free(whole);
    free(got);
    float *picture = ht_test_golden_read_nhwc(&golden, "tiled.image", &desc);
    theirs = ht_test_golden_read_nhwc(&golden, "tiled.mean", &desc); // [1, 20, 28, 4]
    const ht_vae_work encode = {VAE_WHOLE, true, 40, 56};
    const size_t means = ht_desc_count(&desc);
    whole = convert(p, &encode, false, picture, 2 * means);
    got = convert(p, &encode, true, picture, 2 * means);
    for (size_t i = 0; i < means / 4; ++i) { // the first half of the moments
        memmove(got + i * 4, got + i * 8, 4 * sizeof(*got));
        memmove(whole + i * 4, whole + i * 8, 4 * sizeof(*whole));
    }
    print_message("encoded: %.1f dB, diffusers' tiles %.1f dB\n", snr(got, whole, means),
                  snr(theirs, whole, means));
    assert_true(snr(got, whole, means) > snr(theirs, whole, means) + 10);
    free(picture);
    free(theirs);
    free(whole);
    free(got);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

// Of the drawn picture; HT_TEST_EDGE asks for another, a multiple of 8 (docs/benchmarks.md has 2048).
static uint32_t edge(void) {
    const char *text = getenv("HT_TEST_EDGE");
    return text ? (uint32_t)strtoul(text, NULL, 10) : 384;
}

// Discs of different colours and sizes on a slope, so that parts of the picture differ.
static float *draw(uint32_t size) {
    float *picture = malloc((size_t)size * size * 3 * sizeof(*picture));
    assert_non_null(picture);
    for (uint32_t y = 0; y < size; ++y) {
        for (uint32_t x = 0; x < size; ++x) {
            float *pixel = picture + ((size_t)y * size + x) * 3;
            const float dx = (float)(x % 96) - 48, dy = (float)(y % 128) - 64;
            const bool disc = dx * dx + dy * dy < 30.0f * 30.0f;
            for (uint32_t c = 0; c < 3; ++c) {
                const bool lit = (x / 96 + y / 128 * 2 + c) % 3 == 0;
                pixel[c] = disc ? (lit ? 0.8f : -0.7f) : (float)(x + y) / size - 1.0f;
            }
        }
    }
    return picture;
}

// The seams of the shipped VAE: 45 dB is where 8-bit pixels differ by less than 1.5 levels (root of
// the mean square).
static void test_shipped(void **state) {
    (void)state;
    ht_pipeline *p = open_model("assets/models/scenes-dit", 256);
    const uint32_t size = edge();
    const ht_vae_work encode = {VAE_WHOLE, true, size, size};
    const ht_vae_work decode = {VAE_WHOLE, false, size / 8, size / 8};
    const size_t z_channels = p->vae.config.latent_channels,
                 places = (size_t)(size / 8) * (size / 8);
    float *picture = draw(size);
    float *moments = convert(p, &encode, false, picture, 2 * places * z_channels);
    float *tiled = convert(p, &encode, true, picture, 2 * places * z_channels);
    const double encoded = snr(tiled, moments, 2 * places * z_channels);
    for (size_t i = 0; i < places; ++i) {
        memmove(moments + i * z_channels, moments + 2 * i * z_channels,
                z_channels * sizeof(*moments));
    }
    const size_t pixels = (size_t)size * size * 3;
    float *whole = convert(p, &decode, false, moments, pixels);
    float *pieces = convert(p, &decode, true, moments, pixels);
    print_message("decoded: %.1f dB, encoded: %.1f dB\n", psnr(pieces, whole, pixels), encoded);
    assert_true(psnr(pieces, whole, pixels) >= 45);
    assert_true(encoded >= 45);
    free(picture);
    free(moments);
    free(tiled);
    free(whole);
    free(pieces);
    ht_pipeline_destroy(&p);
}

// Device memory that a piece of the decoder plans for, its inputs and result included.
static double planned(ht_pipeline *p, ht_vae_piece piece, uint32_t size) {
    ht_vae_graph graph = {.work = {piece, false, size, size}};
    ht_memory_use before, after;
    ht_context_memory(p->context, &before);
    must(p->context, ht_vae_graph_build(p, &p->vae, &graph));
    ht_context_memory(p->context, &after);
    ht_vae_graph_clear(&graph);
    return (double)(after.allocated - before.allocated) / (1 << 20);
}

// A published VAE in full size, on demand (HT_TEST_FULLSIZE, see tools/golden/make_fullsize_sd.py):
// 2048 x 2048 pixels by tiles of 512 need at most 2 GB. Graphs are planned, not run.
static void test_published_memory(void **state) {
    (void)state;
    const char *folder = getenv("HT_TEST_FULLSIZE");
    if (!folder) {
        print_message("skipped: HT_TEST_FULLSIZE names no folder\n");
        skip();
    }
    ht_pipeline *p = open_model(folder, 512);
    ht_memory_use own;
    const double global = planned(p, VAE_GLOBAL, 256), local = planned(p, VAE_LOCAL, 64);
    const double whole =
        (double)ht_vae_decode_bytes(&p->vae.config, 256, 256, p->vae.activations) / (1 << 20);
    ht_context_memory(p->context, &own);
    const double weights = (double)own.allocated / (1 << 20);
    print_message("decoding 2048 x 2048: weights %.0f MiB, in one run %.0f MiB beside them, "
                  "by tiles %.0f MiB for all at once, then %.0f MiB for a tile\n",
                  weights, whole, global, local);
    assert_true(weights + global + local <= 2e9 / (1 << 20));
    ht_pipeline_destroy(&p);
}

enum { CLIP_ROWS = 8, CLIP_COLUMNS = 40, CLIP_FRAMES = 9, CLIP_LATENT_FRAMES = 3 };

// A run of nothing but the VAE.
static ht_run *clip_run(ht_pipeline *p, const ht_generate_params *params, ht_report *report) {
    ht_run *run = calloc(1, sizeof(*run));
    assert_non_null(run);
    *run = (ht_run){.pipeline = p,
                    .params = params,
                    .report = report,
                    .width = CLIP_COLUMNS * 8,
                    .height = CLIP_ROWS * 8,
                    .frames = CLIP_FRAMES,
                    .latent_frames = CLIP_LATENT_FRAMES,
                    .latent_height = CLIP_ROWS,
                    .latent_width = CLIP_COLUMNS};
    return run;
}

// Frames as they are, [CLIP_FRAMES, H, W, 3] bytes as floats in -1..1.
static float *decode_clip(ht_run *run, const float *latent, bool tiled) {
    ht_pipeline *p = run->pipeline;
    ht_image frames[CLIP_FRAMES];
    const size_t values = (size_t)run->width * run->height * 3;
    float *out = malloc(CLIP_FRAMES * values * sizeof(*out));
    p->options.max_device_bytes = tiled ? 1 : 0;
    must(p->context, ht_clip_decode(run, &p->vae, latent, CLIP_FRAMES, frames));
    for (size_t f = 0; f < CLIP_FRAMES; ++f) {
        ht_image_to_floats(&frames[f], out + f * values);
        ht_image_clear(p->context, &frames[f]);
    }
    assert_true(run->report->tiled == tiled);
    run->report->tiled = false;
    return out;
}

static float *encode_clip(ht_run *run, size_t count, bool tiled) {
    float *out = malloc(count * sizeof(*out));
    run->pipeline->options.max_device_bytes = tiled ? 1 : 0;
    must(run->pipeline->context, ht_clip_picture_start(run));
    memcpy(out, run->condition, count * sizeof(*out));
    assert_true(run->report->tiled == tiled);
    run->report->tiled = false;
    return out;
}

// Tiles of 32 latents, each through all frames; what the parts of a tile that are kept do not see is far
// away. Rounding to bytes alone is 58.9 dB of the range.
static void test_clips(void **state) {
    (void)state;
    enum { PLANE = CLIP_ROWS * CLIP_COLUMNS * CLIP_LATENT_FRAMES };
    ht_pipeline *p = open_model("tests/data/models/tiny-wan-i2v", 256);
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    ht_report *report = calloc(1, sizeof(*report));
    ht_run *run = clip_run(p, &params, report);
    float latent[4 * PLANE];
    ht_random random;
    ht_random_seed(&random, 7);
    ht_random_normal(&random, latent, 4 * PLANE);
    const size_t values = (size_t)run->width * run->height * 3 * CLIP_FRAMES;
    float *whole = decode_clip(run, latent, false), *tiled = decode_clip(run, latent, true);
    print_message("clip decoded: %.1f dB\n", psnr(tiled, whole, values));
    assert_true(psnr(tiled, whole, values) >= 45);
    ht_image picture;
    must(p->context, ht_image_create(p->context, run->width, run->height, &picture));
    for (size_t i = 0; i < (size_t)run->width * run->height * 3; ++i) {
        picture.rgb[i] = (uint8_t)((whole[i] + 1) * 127.5f);
    }
    params.init = &picture;
    float *moments = encode_clip(run, 8 * PLANE, false),
          *pieces = encode_clip(run, 8 * PLANE, true);
    print_message("clip encoded: %.1f dB\n", snr(pieces, moments, 8 * PLANE));
    assert_true(snr(pieces, moments, 8 * PLANE) >= 45);
    ht_image_clear(p->context, &picture);
    ht_free(p->context, run->condition);
    free(moments);
    free(pieces);
    free(whole);
    free(tiled);
    free(run);
    free(report);
    ht_pipeline_destroy(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_diffusers),
        cmocka_unit_test(test_shipped),
        cmocka_unit_test(test_clips),
        cmocka_unit_test(test_published_memory),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

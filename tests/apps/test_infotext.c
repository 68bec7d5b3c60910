// Settings read back from PNGs: ours, A1111's, stable-diffusion.cpp's, ComfyUI's; damaged files.
#include "support.h"

#include "own_folder.h"

#include <common/infotext.h>
#include <common/png.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// A PNG of one pixel with these texts; its path.
static const char *make_png(const ht_png_text *texts, size_t count) {
    uint8_t pixel[3] = {1, 2, 3};
    const ht_image image = {1, 1, pixel};
    ht_bytes png;
    assert_true(ht_png_encode(&image, texts, count, &png));
    const char *path = ht_test_write(&folder, "a.png", png.data, png.count);
    free(png.data);
    return path;
}

static void read_text(const char *key, const char *text, ht_infotext *info) {
    const ht_png_text texts[] = {{key, text}};
    char why[512] = "";
    if (!ht_infotext_read(make_png(texts, 1), info, why, sizeof(why))) {
        fail_msg("%s", why);
    }
}

static void test_a1111(void **state) {
    (void)state;
    ht_infotext info;
    read_text("parameters",
              "a caf\xc3\xa9, (red:1.2) fox\nsecond line\nNegative prompt: blurry,\nugly: yes\n"
              "Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: "
              "4294967297, Size: 512x768, Model hash: 0a1b2c3d4e, Model: some.model, Denoising "
              "strength: 0.4, Clip skip: 2, Lora hashes: \"a: 1, Steps: 99\", Version: v1.9",
              &info);
    assert_string_equal(info.source, "A1111");
    assert_string_equal(info.prompt, "a caf\xc3\xa9, (red:1.2) fox\nsecond line");
    assert_string_equal(info.negative, "blurry,\nugly: yes");
    assert_string_equal(info.sampler, "DPM++ 2M");
    assert_string_equal(info.schedule, "Karras");
    assert_string_equal(info.model, "some.model");
    assert_int_equal(info.steps, 25);
    assert_int_equal(info.width, 512);
    assert_int_equal(info.height, 768);
    assert_int_equal(info.clip_skip, 2);
    assert_true(info.has_seed && info.seed == 4294967297u);
    assert_true(info.cfg_scale == 6.5 && info.strength == 0.4 && isnan(info.eta));
    ht_infotext_free(&info);
}

static void test_sd_cpp(void **state) {
    (void)state;
    ht_infotext info;
    read_text("parameters",
              "a cat\nSteps: 20, CFG scale: 7.000000, Guidance: 3.5, Eta: 0.0, Seed: 42, Size: "
              "256x512, Model: x.gguf, RNG: cuda, Sampler: euler_a karras, Version: "
              "stable-diffusion.cpp, SDCPP: {\"seed\": 1, \"x\": [1, 2]}",
              &info);
    assert_string_equal(info.sampler, "euler_a karras");
    assert_string_equal(info.negative, "");
    assert_true(info.seed == 42 && info.eta == 0);
    ht_infotext_free(&info);
}

static void test_only_a_prompt(void **state) {
    (void)state;
    ht_infotext info;
    read_text("parameters", "Steps: to heaven\nNegative prompt: none", &info);
    assert_string_equal(info.prompt, "Steps: to heaven");
    assert_string_equal(info.negative, "none");
    assert_false(info.has_seed);
    ht_infotext_free(&info);
}

static void test_ours(void **state) {
    (void)state;
    ht_infotext info;
    const ht_png_text texts[] = {
        {"parameters", "\xe2\x98\x83 old\nSteps: 3, Sampler: Euler, Seed: 1, Size: 8x8"},
        {"halftone", "{\"prompt\": \"\\u2603 new\", \"steps\": 4, \"seed\": 9, \"width\": 128, "
                     "\"height\": 64, \"sampler\": \"flow_euler\", \"schedule\": \"uniform\", "
                     "\"recipe\": \"w4a8\", \"cfg_scale\": 2.5, \"model\": \"scenes-dit\", "
                     "\"strength\": 0.25}"}};
    char why[512] = "";
    assert_true(ht_infotext_read(make_png(texts, 2), &info, why, sizeof(why)));
    assert_string_equal(info.source, "halftone");
    assert_string_equal(info.prompt, "\xe2\x98\x83 new");
    assert_string_equal(info.recipe, "w4a8");
    assert_string_equal(info.schedule, "uniform");
    assert_int_equal(info.steps, 4);
    assert_int_equal(info.height, 64);
    assert_true(info.seed == 9 && info.cfg_scale == 2.5 && info.strength == 0.25);
    ht_infotext_free(&info);
}

static const char GRAPH[] =
    "{\"3\": {\"class_type\": \"KSampler\", \"inputs\": {\"seed\": [\"20\", 0], \"steps\": 20, "
    "\"cfg\": 8.0, \"sampler_name\": \"dpmpp_2m\", \"scheduler\": \"karras\", \"denoise\": 0.5, "
    "\"model\": [\"10\", 0], \"positive\": [\"11\", 0], \"negative\": [\"7\", 0], "
    "\"latent_image\": [\"5\", 0]}},"
    "\"4\": {\"class_type\": \"CheckpointLoaderSimple\", \"inputs\": {\"ckpt_name\": \"v1.5\"}},"
    "\"5\": {\"class_type\": \"EmptyLatentImage\", \"inputs\": {\"width\": 640, \"height\": 512}},"
    "\"6\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": [\"21\", 0], "
    "\"clip\": [\"4\", 1]}},"
    "\"7\": {\"class_type\": \"CLIPTextEncode\", \"inputs\": {\"text\": \"bad\"}},"
    "\"10\": {\"class_type\": \"LoraLoader\", \"inputs\": {\"model\": [\"4\", 0]}},"
    "\"11\": {\"class_type\": \"ControlNetApply\", \"inputs\": {\"conditioning\": [\"6\", 0]}},"
    "\"20\": {\"class_type\": \"Seed\", \"inputs\": {\"seed\": 77}},"
    "\"21\": {\"class_type\": \"Text\", \"inputs\": {\"string\": \"a glass house\"}}}";

static void test_comfy(void **state) {
    (void)state;
    ht_infotext info;
    read_text("prompt", GRAPH, &info);
    assert_string_equal(info.source, "ComfyUI");
    assert_string_equal(info.prompt, "a glass house");
    assert_string_equal(info.negative, "bad");
    assert_string_equal(info.sampler, "dpmpp_2m");
    assert_string_equal(info.schedule, "karras");
    assert_string_equal(info.model, "v1.5");
    assert_int_equal(info.steps, 20);
    assert_int_equal(info.width, 640);
    assert_true(info.seed == 77 && info.cfg_scale == 8 && info.strength == 0.5);
    ht_infotext_free(&info);
}

// Circles, wide graphs and nonsense end, with a sentence.
static void test_hostile_graphs(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"1\": {\"class_type\": \"KSampler\", \"inputs\": {\"positive\": [\"1\", 0], "
        "\"latent_image\": [\"1\", 0], \"negative\": [\"1\", 0], \"a\": [\"1\", 0]}}}",
        "{\"1\": {\"class_type\": \"KSampler\", \"inputs\": {\"positive\": [\"9\", 0]}}}",
        "{\"1\": 5, \"2\": [], \"3\": {\"class_type\": 7}}",
        "[1, 2]",
        "not json",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); ++i) {
        const ht_png_text text[] = {{"prompt", texts[i]}};
        char why[512] = "";
        ht_infotext info;
        assert_false(ht_infotext_read(make_png(text, 1), &info, why, sizeof(why)));
        assert_non_null(strstr(why, "holds no settings"));
    }
}

static void test_packed_text(void **state) {
    (void)state;
    // a zTXt chunk of "a dog\nSteps: 2, Seed: 3, Size: 8x8"
    static const uint8_t chunk[] = {
        0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
        0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00,
        0x00, 0x90, 0x77, 0x53, 0xde, 0x00, 0x00, 0x00, 0x34, 0x7a, 0x54, 0x58, 0x74, 0x70,
        0x61, 0x72, 0x61, 0x6d, 0x65, 0x74, 0x65, 0x72, 0x73, 0x00, 0x00, 0x78, 0x9c, 0x4b,
        0x54, 0x48, 0xc9, 0x4f, 0xe7, 0x0a, 0x2e, 0x49, 0x2d, 0x28, 0xb6, 0x52, 0x30, 0xd2,
        0x51, 0x08, 0x4e, 0x4d, 0x4d, 0xb1, 0x52, 0x30, 0x06, 0x32, 0x32, 0xab, 0x52, 0xad,
        0x14, 0x2c, 0x2a, 0x2c, 0x00, 0xb1, 0xd7, 0x09, 0xe4, 0x9a, 0x45, 0xc0, 0xc6, 0x00,
        0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
    ht_infotext info;
    char why[512] = "";
    const char *path = ht_test_write(&folder, "z.png", chunk, sizeof(chunk));
    if (!ht_infotext_read(path, &info, why, sizeof(why))) {
        fail_msg("%s", why);
    }
    assert_string_equal(info.prompt, "a dog");
    assert_int_equal(info.steps, 2);
    ht_infotext_free(&info);
}

// Whatever is cut off, or is no PNG, is refused by name.
static void test_damaged(void **state) {
    (void)state;
    const ht_png_text texts[] = {{"parameters", "a\nSteps: 1, Seed: 2, Size: 8x8"}};
    size_t bytes;
    uint8_t *whole = ht_test_read_file(make_png(texts, 1), &bytes);
    for (size_t cut = 0; cut < bytes - 4; ++cut) {
        char why[512] = "";
        ht_infotext info;
        const char *path = ht_test_write(&folder, "cut.png", whole, cut);
        assert_false(ht_infotext_read(path, &info, why, sizeof(why)));
        assert_non_null(strstr(why, "cut.png"));
    }
    whole[33] = 0x7f; // length of the first text chunk: 2 GB
    char why[512] = "";
    ht_infotext info;
    assert_false(ht_infotext_read(ht_test_write(&folder, "long.png", whole, bytes), &info, why,
                                  sizeof(why)));
    free(whole);
    assert_false(ht_infotext_read("no/such.png", &info, why, sizeof(why)));
    assert_non_null(strstr(why, "no/such.png"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a1111),         cmocka_unit_test(test_sd_cpp),
        cmocka_unit_test(test_only_a_prompt), cmocka_unit_test(test_ours),
        cmocka_unit_test(test_comfy),         cmocka_unit_test(test_hostile_graphs),
        cmocka_unit_test(test_packed_text),   cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}

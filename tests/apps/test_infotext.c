// Settings read back from PNGs: ours, A1111's, stable-diffusion.cpp's, ComfyUI's; damaged files.
#include "support.h"

#include "own_folder.h"

#include <common/infotext.h>
#include <common/png.h>
#include <jansson.h>
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

typedef struct row {
    const char *key, *text; // of the PNG
    const char *source;
    const char
        *job; // as JSON: what is not as in the defaults; "model" null and "strength" -1: not said
} row;

static const row rows[] = {
    {"parameters",
     "a caf\xc3\xa9, (red:1.2) fox\nsecond line\nNegative prompt: blurry,\nugly: yes\n"
     "Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 4294967297, "
     "Size: 512x768, Model hash: 0a1b2c3d4e, Model: some.model, Denoising strength: 0.4, Clip "
     "skip: 2, Lora hashes: \"a: 1, Steps: 99\", Version: v1.9",
     "A1111",
     "{\"prompt\": \"a caf\xc3\xa9, (red:1.2) fox\\nsecond line\", \"negative_prompt\": "
     "\"blurry,\\nugly: yes\", \"steps\": 25, \"sampler\": \"DPM++ 2M\", \"schedule\": \"Karras\", "
     "\"cfg_scale\": 6.5, \"seed\": 4294967297, \"width\": 512, \"height\": 768, \"model\": "
     "\"some.model\", \"strength\": 0.4, \"clip_skip\": 2}"},
    // of stable-diffusion.cpp
    {"parameters",
     "a cat\nSteps: 20, CFG scale: 7.000000, Guidance: 3.5, Eta: 0.0, Seed: 42, Size: 256x512, "
     "Model: x.gguf, RNG: cuda, Sampler: euler_a karras, Version: stable-diffusion.cpp, SDCPP: "
     "{\"seed\": 1, \"x\": [1, 2]}",
     "A1111",
     "{\"prompt\": \"a cat\", \"negative_prompt\": \"\", \"steps\": 20, \"cfg_scale\": 7.0, "
     "\"eta\": 0.0, "
     "\"seed\": 42, \"width\": 256, \"height\": 512, \"model\": \"x.gguf\", \"strength\": -1.0, "
     "\"sampler\": \"euler_a karras\"}"},
    // with a second pass, whose the strength is
    {"parameters",
     "a cat\nSteps: 20, Sampler: Euler, Seed: 42, Size: 256x512, Denoising strength: 0.4, Hires "
     "upscale: 1.5, Hires steps: 9, Hires upscaler: Latent, Attention: sage8",
     "A1111",
     "{\"prompt\": \"a cat\", \"negative_prompt\": \"\", \"steps\": 20, \"sampler\": \"Euler\", "
     "\"seed\": 42, \"width\": 256, \"height\": 512, \"model\": null, \"strength\": -1.0, "
     "\"hires_scale\": 1.5, \"hires_strength\": 0.4, \"hires_upscaler\": \"Latent\", "
     "\"attention\": "
     "\"sage8\"}"},
    {"parameters", "Steps: to heaven\nNegative prompt: none", "A1111",
     "{\"prompt\": \"Steps: to heaven\", \"negative_prompt\": \"none\", \"model\": null, "
     "\"strength\": -1.0}"},
    // ours: what is out of range or of no field does not count
    {"halftone",
     "{\"prompt\": \"\\u2603 new\", \"steps\": 4, \"seed\": 9, \"width\": 128, \"height\": 64, "
     "\"sampler\": \"flow_euler\", \"schedule\": \"uniform\", \"recipe\": \"w4a8\", \"cfg_scale\": "
     "2.5, \"model\": \"scenes-dit\", \"strength\": 0.25, \"attention\": \"paro:0.25\", "
     "\"hires_scale\": 2, \"hires_strength\": 0.4, \"lora\": [\"a.safetensors:0.5\", \"b\"], "
     "\"control_image\": \"edges.png\", \"control_strength\": 1e9, \"steps_\": 3, \"rng\": "
     "\"torch-cpu\"}",
     "halftone",
     "{\"prompt\": \"\xe2\x98\x83 new\", \"steps\": 4, \"seed\": 9, \"width\": 128, \"height\": "
     "64, "
     "\"sampler\": \"flow_euler\", \"schedule\": \"uniform\", \"recipe\": \"w4a8\", \"cfg_scale\": "
     "2.5, \"strength\": 0.25, \"attention\": \"paro:0.25\", \"hires_scale\": 2.0, "
     "\"hires_strength\": 0.4, \"lora\": [\"a.safetensors:0.5\", \"b\"], \"control_image\": "
     "\"edges.png\"}"},
    // of an older version
    {"halftone", "{\"prompt\": \"x\", \"loras\": [\"a\"], \"recipe\": \"fp32\"}", "halftone",
     "{\"prompt\": \"x\", \"lora\": [\"a\"], \"fp32\": true, \"model\": null}"},
    {"prompt", GRAPH, "ComfyUI",
     "{\"prompt\": \"a glass house\", \"negative_prompt\": \"bad\", \"steps\": 20, \"sampler\": "
     "\"dpmpp_2m\", \"schedule\": \"karras\", \"cfg_scale\": 8.0, \"seed\": 77, \"width\": 640, "
     "\"height\": 512, \"model\": \"v1.5\", \"strength\": 0.5}"},
};

static void test_sources(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_infotext info;
        json_t *expected = json_loads(rows[i].job, 0, NULL);
        read_text(rows[i].key, rows[i].text, &info);
        json_t *job = ht_job_json(&info.job);
        assert_non_null(expected);
        assert_string_equal(info.source, rows[i].source);
        if (!json_equal(job, expected)) {
            fail_msg("row %zu: %s", i, json_dumps(job, 0));
        }
        json_decref(job);
        json_decref(expected);
        ht_infotext_free(&info);
    }
}

// Where both are there, ours counts.
static void test_both(void **state) {
    (void)state;
    const ht_png_text texts[] = {
        {"parameters", "\xe2\x98\x83 old\nSteps: 3, Sampler: Euler, Seed: 1, Size: 8x8"},
        {"halftone", "{\"prompt\": \"new\", \"steps\": 4}"}};
    ht_infotext info;
    char why[512] = "";
    assert_true(ht_infotext_read(make_png(texts, 2), &info, why, sizeof(why)));
    assert_string_equal(info.source, "halftone");
    assert_string_equal(info.job.prompt, "new");
    assert_true(info.job.steps == 4 && info.job.seed < 0);
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
    assert_string_equal(info.job.prompt, "a dog");
    assert_int_equal(info.job.steps, 2);
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
        cmocka_unit_test(test_sources),        cmocka_unit_test(test_both),
        cmocka_unit_test(test_hostile_graphs), cmocka_unit_test(test_packed_text),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}

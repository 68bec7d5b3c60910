// Generations with a ControlNet against diffusers: SD, SDXL, part of the steps, from a picture.
#include "pipeline_test.h"

#include "files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EDGE = 16 };
#define CONTROL(name) "tests/data/models/tiny-control/" name
#define SD "tests/data/models/tiny-sd"

// As in test_pipeline_sd.c, over four steps.
static const double BOUND = 1e-4;

static ht_pipeline *open_model(const char *folder, const char *control, const char *recipe) {
    ht_pipeline *pipeline;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_format format = recipe ? HT_FORMAT_NONE : HT_FORMAT_F32;
    const ht_pipeline_options options = {.weights = format,
                                         .activations = format,
                                         .control = control,
                                         .recipe = recipe,
                                         .keep_loaded = true};
    must(context, ht_pipeline_open(context, folder, &options, &pipeline));
    return pipeline;
}

static ht_image picture_of(const char *name) {
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_image image;
    ht_test_golden_open(&golden, "pipeline_control");
    float *values = ht_test_golden_read(&golden, name, &desc);
    must(ht_test_context(HT_TIER_AUTO),
         ht_image_create(ht_test_context(HT_TIER_AUTO), EDGE, EDGE, &image));
    for (size_t i = 0; i < EDGE * EDGE * 3; ++i) {
        image.rgb[i] = (uint8_t)values[i];
    }
    free(values);
    ht_test_golden_close(&golden);
    return image;
}

static ht_generate_params params_of(const ht_image *picture) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = "A red shiny sphere left of a blue cube.";
    params.negative_prompt = "blurry, low quality";
    params.cfg_scale = 4.5f;
    params.seed = 42;
    params.steps = 4;
    params.width = params.height = EDGE;
    params.control = picture;
    return params;
}

// The latent of a run, [C, h, w]; free it.
static float *latent_of(ht_pipeline *p, const ht_generate_params *params, ht_report *report) {
    ht_run run;
    ht_run_begin(&run, p, params, NULL, report);
    must(p->context, ht_run_sample(&run));
    float *latent = malloc(run.latent_count * sizeof(*latent));
    assert_non_null(latent);
    memcpy(latent, run.items[0].latent, run.latent_count * sizeof(*latent));
    ht_run_end(&run);
    return latent;
}

static void expect_latents(ht_pipeline *p, const char *golden_name, const char *name,
                           const ht_generate_params *params) {
    ht_test_golden golden;
    ht_report report;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, golden_name);
    float *want = ht_test_golden_read(&golden, name, &desc);
    float *got = latent_of(p, params, &report);
    ht_test_error error = ht_test_compare(got, want, ht_desc_count(&desc));
    print_message("%s: rel L2 %.2e\n", name, error.rel_l2);
    ht_test_assert_close(name, got, want, ht_desc_count(&desc), BOUND);
    free(got);
    free(want);
    ht_test_golden_close(&golden);
}

// One after another on a pipeline that keeps its parts: nothing of the former may stay.
static void test_latents(void **state) {
    (void)state;
    ht_image picture = picture_of("picture"), init = picture_of("init");
    ht_pipeline *p = open_model(SD, CONTROL("sd"), NULL);
    ht_generate_params params = params_of(&picture);
    expect_latents(p, "pipeline_control", "sd.1", &params);
    params.control_strength = 0.6f;
    params.control_start = 0.25f;
    params.control_end = 0.75f;
    expect_latents(p, "pipeline_control", "sd.some", &params);
    params = params_of(NULL); // as without a ControlNet
    params.steps = 3;
    expect_latents(p, "pipeline_sd", "latents.final", &params);
    params = params_of(&picture);
    params.init = &init;
    params.control_strength = 0.8f;
    params.control_end = 0.5f;
    expect_latents(p, "pipeline_control", "sd.init", &params);
    ht_pipeline_destroy(&p);
    p = open_model("tests/data/models/tiny-xl", CONTROL("xl"), NULL);
    params = params_of(&picture);
    expect_latents(p, "pipeline_control", "xl.1", &params);
    ht_pipeline_destroy(&p);
    ht_image_clear(ht_test_context(HT_TIER_AUTO), &picture);
    ht_image_clear(ht_test_context(HT_TIER_AUTO), &init);
}

// The ControlNet under the names of the original code: the same bytes, another table of tensors.
static void write_original(ht_test_folder *folder, const char *name) {
    size_t bytes;
    uint64_t head;
    char original[256], ours[256];
    uint8_t *data = ht_test_read_file(CONTROL("sd") "/diffusion_pytorch_model.safetensors", &bytes);
    memcpy(&head, data, sizeof(head));
    json_t *table = json_loadb((const char *)data + 8, (size_t)head, 0, NULL);
    FILE *names = fopen("tests/data/golden/controlnet_original.txt", "r");
    assert_true(table && names);
    while (fscanf(names, "%255s %255s", original, ours) == 2) {
        assert_int_equal(json_object_set(table, original, json_object_get(table, ours)), 0);
        assert_int_equal(json_object_del(table, ours), 0);
    }
    fclose(names);
    char *text = json_dumps(table, JSON_COMPACT);
    uint64_t length = strlen(text);
    uint8_t *file = malloc(8 + length + bytes);
    assert_non_null(file);
    memcpy(file, &length, 8);
    memcpy(file + 8, text, length);
    memcpy(file + 8 + length, data + 8 + head, bytes - 8 - head);
    ht_test_write(folder, name, file, 8 + length + bytes - 8 - head);
    free(file);
    free(text);
    free(data);
    json_decref(table);
}

// A model that brings its ControlNet; one from a file of weights alone, under either names.
static void test_sources(void **state) {
    (void)state;
    ht_image picture = picture_of("picture");
    ht_generate_params params = params_of(&picture);
    ht_test_folder folder;
    size_t bytes;
    ht_pipeline *p = open_model("tests/data/models/tiny-sd-control", NULL, NULL);
    expect_latents(p, "pipeline_control", "sd.1", &params);
    ht_pipeline_destroy(&p);
    ht_test_folder_open(&folder);
    uint8_t *data = ht_test_read_file(CONTROL("sd") "/diffusion_pytorch_model.safetensors", &bytes);
    ht_test_write(&folder, "net.safetensors", data, bytes);
    free(data);
    p = open_model(SD, ht_test_folder_file(&folder, "net.safetensors"), NULL);
    expect_latents(p, "pipeline_control", "sd.1", &params);
    ht_pipeline_destroy(&p);
    write_original(&folder, "original.safetensors");
    p = open_model(SD, ht_test_folder_file(&folder, "original.safetensors"), NULL);
    expect_latents(p, "pipeline_control", "sd.1", &params);
    ht_pipeline_destroy(&p);
    ht_test_folder_close(&folder);
    ht_image_clear(ht_test_context(HT_TIER_AUTO), &picture);
}

// The recipe packs the ControlNet's layers too; the picture stays near, and differs from that
// without control by more.
static void test_packed(void **state) {
    (void)state;
    ht_image picture = picture_of("picture");
    ht_generate_params params = params_of(&picture), plain = params_of(NULL);
    ht_report report;
    ht_pipeline *p = open_model(SD, CONTROL("sd"), NULL);
    float *want = latent_of(p, &params, &report), *without = latent_of(p, &plain, &report);
    size_t count = 4 * 8 * 8;
    ht_pipeline_destroy(&p);
    p = open_model(SD, CONTROL("sd"), "assets/recipes/w8a8.json");
    float *got = latent_of(p, &params, &report);
    const ht_part_report *part = &report.parts[PART_CONTROL];
    assert_string_equal(part->name, "controlnet");
    bool packed = false;
    for (uint32_t i = 0; i < part->n_formats; ++i) {
        packed = packed || ht_format_is_packed(part->formats[i].format);
    }
    assert_true(packed);
    double apart = ht_test_compare(got, want, count).rel_l2;
    double effect = ht_test_compare(without, want, count).rel_l2;
    print_message("w8a8: rel L2 %.3f; without control %.3f\n", apart, effect);
    assert_true(apart < 0.25 * effect);
    free(got);
    free(want);
    free(without);
    ht_pipeline_destroy(&p);
    ht_image_clear(ht_test_context(HT_TIER_AUTO), &picture);
}

static void expect_open_refusal(const char *folder, const char *control, const char *part) {
    ht_pipeline *p;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    const ht_pipeline_options options = {.control = control};
    assert_true(ht_pipeline_open(context, folder, &options, &p) != HT_OK);
    if (!strstr(ht_context_message(context), part)) {
        fail_msg("'%s' without '%s'", ht_context_message(context), part);
    }
}

static void test_refusals(void **state) {
    (void)state;
    expect_open_refusal("tests/data/models/tiny-xl", CONTROL("sd"), "its width of the text is 32");
    expect_open_refusal("tests/data/models/tiny-pixart", CONTROL("sd"),
                        "a ControlNet serves Stable Diffusion and SDXL");
    expect_open_refusal(SD, "tests/data/models/none", "'tests/data/models/none'");
    ht_image picture = picture_of("picture"), image;
    ht_generate_params params = params_of(&picture);
    ht_pipeline *p = open_model(SD, NULL, NULL);
    assert_int_equal(ht_pipeline_generate(p, &params, NULL, &image, NULL), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(p->context), "a control picture needs a ControlNet"));
    ht_pipeline_destroy(&p);
    p = open_model(SD, CONTROL("sd"), NULL);
    params.control_start = 0.5f;
    params.control_end = 0.5f;
    assert_int_equal(ht_pipeline_generate(p, &params, NULL, &image, NULL), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(p->context), "control from 0.5 to 0.5"));
    ht_pipeline_destroy(&p);
    ht_image_clear(ht_test_context(HT_TIER_AUTO), &picture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latents),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_refusals),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

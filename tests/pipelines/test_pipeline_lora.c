// Generations with LoRAs against diffusers; LoRAs taken in and out between pictures; packed weights.
#include "pipeline_test.h"

#include "files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LORAS "tests/data/loras/"
#define SD "tests/data/models/tiny-sd"

// As in test_pipeline_sd.c.
static const double BOUND = 3 * 8 * 1e-5;

static ht_pipeline *open_controlled(const char *folder, const char *recipe, const char *control) {
    ht_pipeline *pipeline;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    const ht_pipeline_options options = {.weights = HT_FORMAT_F32,
                                         .activations = HT_FORMAT_F32,
                                         .recipe = recipe,
                                         .control = control,
                                         .keep_loaded = true};
    must(context, ht_pipeline_open(context, folder, &options, &pipeline));
    return pipeline;
}

static ht_pipeline *open_model(const char *folder, const char *recipe) {
    return open_controlled(folder, recipe, NULL);
}

enum { LATENT = 4 * 8 * 8 };

static void run_with(ht_pipeline *p, uint32_t steps, const ht_image *control,
                     float latent[LATENT]) {
    ht_run r;
    ht_report report;
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = "a red cube";
    params.negative_prompt = "blurry";
    params.cfg_scale = 4.5f;
    params.seed = 42;
    params.steps = steps;
    params.control = control;
    params.width = params.height = 16;
    ht_run_begin(&r, p, &params, NULL, &report);
    must(p->context, ht_run_sample(&r));
    assert_int_equal(r.latent_count, LATENT);
    memcpy(latent, r.items[0].latent, LATENT * sizeof(*latent));
    ht_run_end(&r);
    assert_int_equal(report.parts[PART_DENOISER].lora_bytes > 0, p->lora != NULL);
}

static void run(ht_pipeline *p, uint32_t steps, float latent[LATENT]) {
    run_with(p, steps, NULL, latent);
}

static void set(ht_pipeline *p, const char *path, float scale) {
    const ht_lora_file file = {.path = path, .scale = scale, .text_scale = scale};
    must(p->context, ht_pipeline_set_loras(p, &file, path ? 1 : 0));
}

static void expect(const char *name, const float got[LATENT]) {
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "pipeline_lora");
    float *want = ht_test_golden_read(&golden, name, &desc);
    assert_int_equal(ht_desc_count(&desc), LATENT);
    print_message("%s: rel L2 %.2e\n", name, ht_test_compare(got, want, LATENT).rel_l2);
    ht_test_assert_close(name, got, want, LATENT, BOUND);
    free(want);
    ht_test_golden_close(&golden);
}

// In, out, and in again: nothing of one stays for the next, and nothing changes without.
static void test_sd(void **state) {
    (void)state;
    float before[LATENT], with[LATENT], without[LATENT], again[LATENT];
    ht_pipeline *p = open_model(SD, NULL);
    run(p, 3, before);
    set(p, LORAS "sd_kohya.safetensors", 0.7f);
    run(p, 3, with);
    expect("latents.sd", with);
    const ht_graph *graph = p->denoise.step_graph;
    set(p, LORAS "sd_kohya.safetensors", 0.7f); // the same: nothing is built anew
    assert_ptr_equal(p->denoise.step_graph, graph);
    run(p, 3, again);
    assert_memory_equal(with, again, sizeof(with));
    set(p, NULL, 0);
    run(p, 3, without);
    assert_memory_equal(before, without, sizeof(before));
    set(p, LORAS "sd_diffusers.safetensors", 0.7f);
    run(p, 3, again);
    expect("latents.sd", again);
    // One that fails leaves none.
    const ht_lora_file wrong = {.path = LORAS "pixart.safetensors", .scale = 1, .text_scale = 1};
    assert_int_equal(ht_pipeline_set_loras(p, &wrong, 1), HT_ERR_UNSUPPORTED);
    run(p, 3, without);
    assert_memory_equal(before, without, sizeof(before));
    ht_pipeline_destroy(&p);
}

static void test_xl(void **state) {
    (void)state;
    float latent[LATENT];
    ht_pipeline *p = open_model("tests/data/models/tiny-xl", NULL);
    set(p, LORAS "xl_kohya.safetensors", 0.8f);
    run(p, 3, latent);
    expect("latents.xl", latent);
    ht_pipeline_destroy(&p);
}

// Beside a ControlNet: at scale 0 what the ControlNet gives, at 1 something else, and without the
// control picture what the LoRA gives alone.
static void test_controlled(void **state) {
    (void)state;
    float control[LATENT], zero[LATENT], both[LATENT], alone[LATENT];
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_image picture;
    ht_pipeline *p = open_controlled(SD, NULL, "tests/data/models/tiny-control/sd");
    ht_test_golden_open(&golden, "pipeline_control");
    float *values = ht_test_golden_read(&golden, "picture", &desc);
    must(p->context, ht_image_create(p->context, 16, 16, &picture));
    for (size_t i = 0; i < ht_desc_count(&desc); ++i) {
        picture.rgb[i] = (uint8_t)values[i];
    }
    run_with(p, 3, &picture, control);
    set(p, LORAS "sd_kohya.safetensors", 0);
    run_with(p, 3, &picture, zero);
    ht_test_assert_close("scale 0", zero, control, LATENT, BOUND);
    set(p, LORAS "sd_kohya.safetensors", 0.7f);
    run_with(p, 3, &picture, both);
    run(p, 3, alone);
    expect("latents.sd", alone);
    assert_true(ht_test_compare(both, control, LATENT).rel_l2 > 0.01);
    assert_true(ht_test_compare(both, alone, LATENT).rel_l2 > 0.01);
    ht_image_clear(p->context, &picture);
    free(values);
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

// What a LoRA changes is the same beside packed weights as beside floats, but for the errors of
// packing, which are smaller than the change: an effect that were lost or doubled would be off by
// all of its norm, one of another sign by twice that. (That a layer's branch is exact beside packed
// weights is tested with models/.)
static void test_packed(void **state) {
    (void)state;
    static const char *const recipes[] = {"assets/recipes/w8a8.json", "assets/recipes/w4a8.json"};
    float plain[LATENT], plain_lora[LATENT], packed[LATENT], packed_lora[LATENT];
    ht_pipeline *p = open_model(SD, NULL);
    run(p, 1, plain);
    set(p, LORAS "sd_kohya.safetensors", 1);
    run(p, 1, plain_lora);
    ht_pipeline_destroy(&p);
    for (size_t i = 0; i < HT_COUNT(recipes); ++i) {
        double effect = 0, apart = 0, error = 0, error_lora = 0;
        p = open_model(SD, recipes[i]);
        run(p, 1, packed);
        set(p, LORAS "sd_kohya.safetensors", 1);
        run(p, 1, packed_lora);
        ht_pipeline_destroy(&p);
        for (size_t v = 0; v < LATENT; ++v) {
            const double n = plain_lora[v] - plain[v], q = packed_lora[v] - packed[v];
            effect += n * n;
            apart += (q - n) * (q - n);
            error += pow(packed[v] - plain[v], 2);
            error_lora += pow(packed_lora[v] - plain_lora[v], 2);
        }
        print_message("%s: effect %.3f, apart %.3f, errors of packing %.3f and %.3f with it\n",
                      recipes[i], sqrt(effect), sqrt(apart), sqrt(error), sqrt(error_lora));
        assert_true(sqrt(apart) < 0.5 * sqrt(effect));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sd),
        cmocka_unit_test(test_xl),
        cmocka_unit_test(test_controlled),
        cmocka_unit_test(test_packed),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// Every sampler over whole schedules against the trajectories of the diffusers schedulers.
#include "support.h"

#include "files.h"
#include "samplers/sampler.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Both sides work in f32 (2^-24 per operation) over at most 20 steps of some ten operations; the
// model that stands in for the network has a slope below 1.2.
static const double BOUND = 1e-5;

typedef struct fixture {
    ht_test_golden golden;
    ht_test_folder folder;
    json_t *index;
} fixture;

// A file of trajectories and what they are of.
static void open_golden(fixture *f, const char *name) {
    char path[96];
    json_error_t error;
    snprintf(path, sizeof(path), "tests/data/golden/%s.json", name);
    ht_test_golden_open(&f->golden, name);
    f->index = json_load_file(path, 0, &error);
    assert_non_null(f->index);
}

static void close_golden(fixture *f) {
    json_decref(f->index);
    ht_test_golden_close(&f->golden);
}

static int open_all(void **state) {
    static fixture f;
    open_golden(&f, "samplers");
    ht_test_folder_open(&f.folder);
    *state = &f;
    return 0;
}

static int close_all(void **state) {
    fixture *f = *state;
    ht_test_folder_close(&f->folder);
    close_golden(f);
    return 0;
}

// What stands in for the network: 0.6 x + 0.3 sin(2 x + t / 1000).
static void predict(const float *x, float t, float *out, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        out[i] = 0.6f * x[i] + 0.3f * sinf(2.0f * x[i] + t / 1000.0f);
    }
}

static void read_config(fixture *f, const json_t *entry, ht_sampler_config *config) {
    json_t *object = json_deep_copy(json_object_get(entry, "config"));
    const char *limit = json_string_value(json_object_get(object, "lambda_min_clipped"));
    if (limit) { // as the file of a real model spells minus infinity
        json_object_set_new(object, "lambda_min_clipped", json_null());
    }
    char *text = json_dumps(object, 0);
    ht_test_write(&f->folder, "scheduler_config.json", text, strlen(text));
    ht_status status = ht_sampler_config_read(f->golden.context, f->folder.path, config);
    if (status != HT_OK) {
        fail_msg("%s", ht_context_message(f->golden.context));
    }
    free(text);
    json_decref(object);
}

static void compare(fixture *f, const char *name, const float *got, size_t count) {
    ht_tensor_desc desc;
    float *want = ht_test_golden_read(&f->golden, name, &desc);
    assert_int_equal(ht_desc_count(&desc), count);
    ht_test_assert_close(name, got, want, count, BOUND);
    free(want);
}

static ht_sampler *make(fixture *f, const ht_sampler_config *config, uint32_t steps, bool given,
                        size_t count) {
    float sigmas[64];
    for (uint32_t i = 0; i < steps; ++i) {
        sigmas[i] = (float)(1.0 - (double)i / steps);
    }
    ht_sampler *sampler;
    static ht_random random; // the golden file's noise
    ht_random_seed(&random, 7);
    ht_sampler_desc desc = {.config = config,
                            .steps = steps,
                            .count = count,
                            .sigmas = given ? sigmas : NULL,
                            .random = &random};
    if (ht_sampler_create(f->golden.context, &desc, &sampler) != HT_OK) {
        fail_msg("%s", ht_context_message(f->golden.context));
    }
    return sampler;
}

// Run from sample `name`[0] and compare all of it.
static void follow(fixture *f, const char *name, ht_sampler *sampler, uint32_t first,
                   const float *begin) {
    ht_tensor_desc desc;
    float *want = ht_test_golden_read(&f->golden, name, &desc);
    uint32_t steps = ht_sampler_steps(sampler) - first;
    assert_int_equal(desc.dims[0], steps + 1);
    size_t count = ht_desc_count(&desc) / desc.dims[0];
    float x[64], input[64], output[64];
    memcpy(x, begin ? begin : want, count * sizeof(*x));
    for (uint32_t i = 0; i < steps; ++i) {
        char what[96];
        snprintf(what, sizeof(what), "%s before step %u", name, i);
        ht_test_assert_close(what, x, want + i * count, count, BOUND);
        ht_sampler_input(sampler, first + i, x, input);
        predict(input, ht_sampler_timesteps(sampler)[first + i], output, count);
        ht_sampler_step(sampler, first + i, output, x);
    }
    ht_test_assert_close(name, x, want + steps * count, count, BOUND);
    free(want);
}

static void check_run(fixture *f, const char *name, const ht_sampler_config *config, bool given,
                      const json_t *run) {
    char key[96];
    uint32_t steps = (uint32_t)json_integer_value(json_object_get(run, "steps"));
    double scale = json_number_value(json_object_get(run, "init_noise_sigma"));
    ht_sampler *sampler = make(f, config, steps, given, 16);
    assert_true(fabs(ht_sampler_initial_scale(sampler) - scale) <= 1e-6 * scale);
    snprintf(key, sizeof(key), "%s/%u/timesteps", name, steps);
    compare(f, key, ht_sampler_timesteps(sampler), ht_sampler_steps(sampler));
    if (ht_sampler_sigmas(sampler)) {
        snprintf(key, sizeof(key), "%s/%u/sigmas", name, steps);
        compare(f, key, ht_sampler_sigmas(sampler), ht_sampler_steps(sampler) + 1);
    }
    snprintf(key, sizeof(key), "%s/%u/sample", name, steps);
    follow(f, key, sampler, 0, NULL);
    ht_sampler_destroy(&sampler);
}

// Noise added to a clean latent, then the rest of the schedule.
static void check_img2img(fixture *f, const char *name, const ht_sampler_config *config,
                          bool given) {
    char key[96];
    ht_tensor_desc desc;
    ht_sampler *sampler = make(f, config, 10, given, 16);
    const uint32_t first = ht_sampler_first(sampler, 0.6);
    snprintf(key, sizeof(key), "%s/img2img/clean", name);
    float *x = ht_test_golden_read(&f->golden, key, &desc);
    snprintf(key, sizeof(key), "%s/img2img/noise", name);
    float *noise = ht_test_golden_read(&f->golden, key, &desc);
    ht_sampler_add_noise(sampler, first, noise, x);
    snprintf(key, sizeof(key), "%s/img2img/sample", name);
    follow(f, key, sampler, first, x);
    free(x);
    free(noise);
    ht_sampler_destroy(&sampler);
}

static size_t check_trajectories(fixture *f) {
    size_t i, j;
    json_t *entry, *run;
    json_array_foreach(json_object_get(f->index, "cases"), i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        bool given = json_is_true(json_object_get(entry, "given_sigmas"));
        ht_sampler_config config;
        read_config(f, entry, &config);
        const json_t *eta = json_object_get(entry, "eta");
        if (eta) {
            assert_int_equal(
                ht_sampler_config_eta(f->golden.context, json_number_value(eta), &config), HT_OK);
        }
        json_array_foreach(json_object_get(entry, "runs"), j, run) {
            check_run(f, name, &config, given, run);
        }
        check_img2img(f, name, &config, given);
    }
    return i;
}

static void test_trajectories(void **state) {
    assert_true(check_trajectories(*state) > 100);
}

static void test_cogvideox(void **state) {
    fixture f = *(fixture *)*state; // the same folder
    open_golden(&f, "samplers_cogvideox");
    assert_int_equal(check_trajectories(&f), 6);
    close_golden(&f);
}

// A prediction that always means the same clean picture must end exactly there.
static void test_constant_data(void **state) {
    fixture *f = *state;
    static const ht_sampler_kind kinds[] = {
        HT_SAMPLER_EULER, HT_SAMPLER_DDIM,     HT_SAMPLER_DPMPP_2M,  HT_SAMPLER_HEUN,
        HT_SAMPLER_UNIPC, HT_SAMPLER_DPMPP_3M, HT_SAMPLER_DPMPP_SDE, HT_SAMPLER_DPM_TABLE};
    for (size_t k = 0; k < HT_COUNT(kinds); ++k) {
        ht_sampler_config config = {.kind = kinds[k],
                                    .prediction = HT_PREDICT_SAMPLE,
                                    .train_steps = 1000,
                                    .beta_curve = HT_BETA_SCALED_LINEAR,
                                    .beta_start = 0.00085,
                                    .beta_end = 0.012,
                                    .spacing = HT_SPACING_TRAILING,
                                    .final_zero = true,
                                    .alpha_to_one = true,
                                    .lambda_min = -HUGE_VAL,
                                    .original_steps = 50,
                                    .order = 2};
        float data[4] = {0.5f, -1.25f, 0, 2}, x[4] = {8, -3, 1, 0.25f}, clean[4];
        ht_sampler *sampler = make(f, &config, 10, false, 4);
        for (uint32_t i = 0; i < ht_sampler_steps(sampler); ++i) {
            ht_sampler_denoised(sampler, i, x, data, clean);
            ht_test_assert_close("clean", clean, data, 4, 0);
            ht_sampler_step(sampler, i, data, x);
        }
        ht_test_assert_close(ht_sampler_name(kinds[k]), x, data, 4, 1e-6);
        ht_sampler_destroy(&sampler);
    }
}

static void test_names(void **state) {
    fixture *f = *state;
    static const struct {
        const char *sampler, *schedule;
        ht_prediction prediction;
        ht_sampler_kind kind;
        ht_sigma_curve curve;
    } rows[] = {
        {"euler", NULL, HT_PREDICT_EPSILON, HT_SAMPLER_EULER, HT_SIGMA_DEFAULT},
        {"Euler", "karras", HT_PREDICT_FLOW, HT_SAMPLER_FLOW_EULER, HT_SIGMA_KARRAS},
        {"flow_euler", "simple", HT_PREDICT_FLOW, HT_SAMPLER_FLOW_EULER, HT_SIGMA_UNIFORM},
        {"dpm++2m", NULL, HT_PREDICT_EPSILON, HT_SAMPLER_DPMPP_2M, HT_SIGMA_DEFAULT},
        {"dpmpp_2m", "Exponential", HT_PREDICT_V, HT_SAMPLER_DPMPP_2M, HT_SIGMA_EXPONENTIAL},
        {"DPM++ 2M Karras", NULL, HT_PREDICT_EPSILON, HT_SAMPLER_DPMPP_2M, HT_SIGMA_KARRAS},
        {"ddim_trailing", NULL, HT_PREDICT_EPSILON, HT_SAMPLER_DDIM, HT_SIGMA_DEFAULT},
        {"DDIM", "Normal", HT_PREDICT_V, HT_SAMPLER_DDIM, HT_SIGMA_DEFAULT},
        {"DPM++ 2M SDE Karras", NULL, HT_PREDICT_V, HT_SAMPLER_DPMPP_2M_SDE, HT_SIGMA_KARRAS},
        {"DPM++ 3M SDE", "Exponential", HT_PREDICT_V, HT_SAMPLER_DPMPP_3M_SDE,
         HT_SIGMA_EXPONENTIAL},
        {"dpm++_sde", NULL, HT_PREDICT_EPSILON, HT_SAMPLER_DPMPP_SDE, HT_SIGMA_DEFAULT},
        {"uni_pc", "beta", HT_PREDICT_EPSILON, HT_SAMPLER_UNIPC, HT_SIGMA_BETA},
        {"PLMS", NULL, HT_PREDICT_EPSILON, HT_SAMPLER_PNDM, HT_SIGMA_DEFAULT},
        {"UniPC", NULL, HT_PREDICT_FLOW, HT_SAMPLER_UNIPC, HT_SIGMA_DEFAULT},
        {"dpm_cogvideox", "karras", HT_PREDICT_V, HT_SAMPLER_DPM_TABLE, HT_SIGMA_KARRAS},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_sampler_config config = {.prediction = rows[i].prediction};
        assert_int_equal(
            ht_sampler_config_choose(f->golden.context, rows[i].sampler, rows[i].schedule, &config),
            HT_OK);
        assert_int_equal(config.kind, rows[i].kind);
        assert_int_equal(config.sigma_curve, rows[i].curve);
    }
    ht_sampler_config config = {.kind = HT_SAMPLER_EULER};
    assert_int_equal(ht_sampler_config_eta(f->golden.context, 0.5, &config), HT_ERR_INVALID);
    config.kind = HT_SAMPLER_DDIM;
    assert_int_equal(ht_sampler_config_eta(f->golden.context, 1.5, &config), HT_ERR_INVALID);
    assert_int_equal(ht_sampler_config_eta(f->golden.context, 0.5, &config), HT_OK);
    assert_int_equal(ht_sampler_config_choose(f->golden.context, "magic", NULL, &config),
                     HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(f->golden.context), "magic"));
    assert_int_equal(ht_sampler_config_choose(f->golden.context, NULL, "magic", &config),
                     HT_ERR_INVALID);
}

// Configurations that would give something else than they say.
static void test_refusals(void **state) {
    fixture *f = *state;
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{\"_class_name\": \"KDPM2DiscreteScheduler\"}", "FlowMatchEulerDiscreteScheduler, Euler"},
        {"{\"_class_name\": \"UniPCMultistepScheduler\", \"predict_x0\": false}", "predict_x0"},
        {"{\"_class_name\": \"UniPCMultistepScheduler\", \"disable_corrector\": [0]}",
         "disable_corrector"},
        {"{\"_class_name\": \"DDIMScheduler\", \"thresholding\": true}", "thresholding"},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_schedule\": \"odd\"}", "squaredcos_cap_v2"},
        {"{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": [0.1]}", "trained_betas"},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 1e9}", "from 2 to 100000"},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_start\": \"low\"}", "beta_start"},
        {"{\"_class_name\": 3}", "a text"},
        {"[1]", "JSON object"},
        {"{\"_class_name\": ", "scheduler_config.json"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_sampler_config config;
        ht_test_write(&f->folder, "scheduler_config.json", rows[i].json, strlen(rows[i].json));
        assert_int_not_equal(ht_sampler_config_read(f->golden.context, f->folder.path, &config),
                             HT_OK);
        const char *message = ht_context_message(f->golden.context);
        if (!strstr(message, rows[i].part)) {
            fail_msg("%s: '%s'", rows[i].json, message);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trajectories),  cmocka_unit_test(test_cogvideox),
        cmocka_unit_test(test_constant_data), cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

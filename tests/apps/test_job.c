// Jobs: from and to JSON by the table of fields, what excludes what, copies, which share a model.
#include "support.h"

#include "common/job_output.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The job that a text of JSON makes, from `job`; the value must live as long.
static json_t *read(const char *text, ht_job *job) {
    char why[512];
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    if (!ht_job_read_json(job, object, why, sizeof(why))) {
        fail_msg("%s: %s", text, why);
    }
    return object;
}

static void test_values(void **state) {
    (void)state;
    ht_job job = ht_job_defaults;
    json_t *object = read("{\"prompt\": \"a fox\", \"steps\": 7, \"guidance_scale\": 2.5, "
                          "\"seed\": -9007199254740993, \"lora\": [\"a.st:0.5\", \"b\"], "
                          "\"embedding\": \"one\", \"strict\": true, \"width\": 64.0}",
                          &job);
    assert_string_equal(job.prompt, "a fox");
    assert_int_equal(job.steps, 7);
    assert_true(job.cfg_scale == 2.5 && job.strict && job.width == 64);
    assert_true(job.seed == INT64_C(-9007199254740993));
    assert_int_equal(job.loras.count, 2);
    assert_string_equal(job.loras.items[1], "b");
    assert_int_equal(job.embeddings.count, 1);
    assert_string_equal(job.model, "scenes-dit");
    json_t *back = read("{\"steps\": null, \"lora\": []}", &job);
    assert_true(job.steps == ht_job_defaults.steps && job.loras.count == 0);
    json_decref(back);
    json_decref(object);
}

static void test_model_of_clips(void **state) {
    (void)state;
    static const struct {
        const char *text, *output, *model;
    } rows[] = {
        {"{\"prompt\": \"a\"}", NULL, "scenes-dit"},
        {"{\"prompt\": \"a\", \"frames\": 1}", "a.png", "scenes-dit"},
        {"{\"prompt\": \"a\"}", "a.mp4", "scenes-video"},
        {"{\"prompt\": \"a\", \"frames\": 17}", NULL, "scenes-video"},
        {"{\"prompt\": \"a\", \"frames\": 17, \"model\": \"scenes-dit\"}", NULL, "scenes-dit"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); ++i) {
        ht_job job = ht_job_defaults;
        char why[256];
        json_t *object = read(rows[i].text, &job);
        ht_job_choose_model(&job, rows[i].output);
        assert_true(ht_job_finish(&job, true, why, sizeof(why)));
        assert_string_equal(job.model, rows[i].model);
        json_decref(object);
    }
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"[1]", "expected an object"},
        {"{\"stps\": 3}", "there is no field \"stps\"; did you mean \"steps\"?"},
        {"{\"cfg-scale\": 3}", "there is no field \"cfg-scale\"; did you mean \"cfg_scale\"?"},
        {"{\"\": 3}", "there is no field \"\""},
        {"{\"steps hires\": 3}", "there is no field"},
        {"{\"What to draw\": 3}", "there is no field"},
        {"{\"steps\": 0}", "\"steps\": expected a whole number from 1 to 1000"},
        {"{\"steps\": 2.5}", "a whole number from 1 to 1000"},
        {"{\"steps\": \"4\"}", "a whole number from 1 to 1000"},
        {"{\"steps\": 1e300}", "a whole number from 1 to 1000"},
        {"{\"strength\": 1.01}", "\"strength\": expected a number from 0 to 1"},
        {"{\"strength\": true}", "expected a number from 0 to 1"},
        {"{\"seed\": 1.5}", "\"seed\": expected a whole number"},
        {"{\"prompt\": 3}", "\"prompt\": expected a text"},
        {"{\"prompt\": \"a\\u0000b\"}", "\"prompt\": expected a text"},
        {"{\"strict\": 1}", "\"strict\": expected true or false"},
        {"{\"lora\": [\"a\", 1]}", "\"lora\": expected a text or a list of at most 32 texts"},
        {"{\"lora\": {}}", "expected a text or a list"},
        {"{\"vae_tiling\": true}", "is not in this version"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        char why[512] = "";
        ht_job job = ht_job_defaults;
        json_t *object = json_loads(rows[i].text, JSON_ALLOW_NUL, NULL);
        assert_non_null(object);
        if (ht_job_read_json(&job, object, why, sizeof(why)) || !strstr(why, rows[i].part)) {
            fail_msg("%s: '%s', expected '%s'", rows[i].text, why, rows[i].part);
        }
        json_decref(object);
    }
    char why[512], long_list[400] = "[\"x\"";
    for (int i = 0; i < HT_FLAG_LIST_ITEMS; ++i) {
        strcat(long_list, ",\"x\"");
    }
    strcat(long_list, "]");
    ht_job job = ht_job_defaults;
    json_t *list = json_loads(long_list, 0, NULL);
    assert_false(ht_job_set_json(&job, "lora", list, why, sizeof(why)));
    json_decref(list);
}

// A later statement about the recipe replaces an earlier one of another form.
static void test_alternatives(void **state) {
    (void)state;
    char why[512];
    ht_job job = ht_job_defaults;
    json_t *first = read("{\"w4a8\": true, \"hires\": true}", &job);
    assert_true(ht_job_finish(&job, false, why, sizeof(why)));
    assert_string_equal(job.recipe, "w4a8");
    assert_true(job.hires_scale == 2);
    assert_true(ht_job_finish(&job, false, why, sizeof(why))); // twice is the same
    json_t *second = read("{\"fp32\": true, \"hires_width\": 96}", &job);
    assert_true(ht_job_finish(&job, false, why, sizeof(why)));
    assert_true(!job.recipe && job.fp32 && job.hires_scale == 0 && !job.hires);
    json_t *both = read("{\"w4a8\": true, \"w8a8\": true}", &job);
    assert_false(ht_job_finish(&job, false, why, sizeof(why)));
    assert_non_null(strstr(why, "exclude each other"));
    json_decref(first);
    json_decref(second);
    json_decref(both);
}

// A value that is no default, for each kind of field.
static json_t *other_value(const ht_flag *field) {
    switch (field->kind) {
    case HT_FLAG_BOOL: return json_true();
    case HT_FLAG_TEXT: return json_string("\xc3\xa9 \"text\"");
    case HT_FLAG_U32: return json_integer((json_int_t)field->max);
    case HT_FLAG_I64: return json_integer(INT64_C(9007199254740993));
    case HT_FLAG_REAL: return json_real(field->max * 0.37);
    default: return json_pack("[s, s]", "one", "two");
    }
}

// Every field of the table: into JSON and back, into a copy, and what it says about models.
static void test_every_field(void **state) {
    (void)state;
    char why[512];
    for (size_t i = 0; i < ht_job_field_count; ++i) {
        const ht_flag *field = &ht_job_fields[i];
        char key[64];
        if (field->kind == HT_FLAG_GROUP || field->kind == HT_FLAG_LATER) {
            continue;
        }
        ht_job_field_key(field, key);
        assert_ptr_equal(ht_job_field_find(key), field);
        ht_job job = ht_job_defaults, again = ht_job_defaults, copy;
        json_t *value = other_value(field);
        assert_true(ht_job_set_json(&job, key, value, why, sizeof(why)));
        json_t *object = ht_job_json(&job);
        assert_int_equal(json_object_size(object), 1);
        assert_non_null(json_object_get(object, key));
        assert_true(ht_job_read_json(&again, object, why, sizeof(why)));
        assert_true(ht_job_copy(&job, &copy));
        for (size_t k = 0; k < ht_job_field_count; ++k) {
            const ht_flag *any = &ht_job_fields[k];
            assert_true(ht_job_same_field(&job, &again, any));
            assert_true(ht_job_same_field(&job, &copy, any));
            assert_int_equal(ht_job_same_field(&job, &ht_job_defaults, any),
                             any != field);
        }
        assert_true(ht_job_finish(&job, false, why, sizeof(why)) || *why);
        assert_int_equal(ht_job_same_model(&job, &ht_job_defaults), // clips have a model of their own
                         ht_job_field_scope(i) == HT_JOB_SCOPE_PICTURE && strcmp(key, "frames") != 0);
        ht_job_clear(&copy);
        json_decref(object);
        json_decref(value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_model_of_clips),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_alternatives),
        cmocka_unit_test(test_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

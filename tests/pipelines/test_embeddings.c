// Textual inversion: encoded prompts against diffusers, words, chunks, refusals.
#include "pipeline_test.h"

#include <stdlib.h>
#include <string.h>

#define FILES "tests/data/embeddings/"
#define SD "tests/data/models/tiny-sd"
#define XL "tests/data/models/tiny-xl"

static const ht_embedding_file sd_files[] = {{FILES "toy.safetensors", NULL},
                                             {FILES "foggy.safetensors", NULL}};
static const ht_embedding_file xl_files[] = {{FILES "toy_xl.safetensors", "<cat-toy>"},
                                             {FILES "foggy_xl.safetensors", "foggy"}};

static ht_status try_open(const char *model, const ht_embedding_file *files, size_t count,
                          ht_pipeline **out) {
    const ht_pipeline_options options = {.weights = HT_FORMAT_F32,
                                         .activations = HT_FORMAT_F32,
                                         .keep_loaded = true,
                                         .embeddings = files,
                                         .n_embeddings = count};
    return ht_pipeline_open(ht_test_context(HT_TIER_AUTO), model, &options, out);
}

static ht_pipeline *open_with(const char *model, const ht_embedding_file *files, size_t count) {
    ht_pipeline *p;
    must(ht_test_context(HT_TIER_AUTO), try_open(model, files, count, &p));
    return p;
}

// Values of p->text.embeds, or pooled, of a run with these prompts; *count is how many.
static float *encoded(ht_pipeline *p, const char *prompt, const char *negative, bool pooled,
                      size_t *count) {
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    ht_run run;
    ht_report report;
    params.prompt = prompt;
    params.negative_prompt = negative;
    params.cfg_scale = negative ? 4.5f : 1;
    params.width = params.height = 16;
    params.steps = 1;
    ht_run_begin(&run, p, &params, NULL, &report);
    must(p->context, ht_run_sample(&run));
    ht_tensor *tensor = pooled ? p->text.pooled : p->text.embeds;
    *count = ht_desc_count(ht_tensor_get_desc(tensor));
    float *values = malloc(*count * sizeof(*values));
    assert_non_null(values);
    must(p->context, ht_tensor_read_f32(tensor, values, *count));
    ht_run_end(&run);
    return values;
}

static void check(const char *model, const ht_embedding_file *files, const char *embeds,
                  const char *pooled) {
    ht_test_golden golden;
    ht_pipeline *p = open_with(model, files, 2);
    ht_test_golden_open(&golden, "embeddings");
    const char *const names[] = {embeds, pooled};
    for (size_t i = 0; i < 2 && names[i]; ++i) {
        size_t count;
        ht_tensor_desc desc;
        float *want = ht_test_golden_read(&golden, names[i], &desc);
        float *got = encoded(p, "A shiny <cat-toy> left of foggy cube.", "blurry foggy, low",
                             i == 1, &count);
        assert_int_equal(count, ht_desc_count(&desc));
        print_message("%s: rel L2 %.2e\n", names[i], ht_test_compare(got, want, count).rel_l2);
        ht_test_assert_close(names[i], got, want, count, 1e-5); // of one network in f32
        free(got);
        free(want);
    }
    ht_test_golden_close(&golden);
    ht_pipeline_destroy(&p);
}

static void test_encoded(void **state) {
    (void)state;
    check(SD, sd_files, "sd.embeds", NULL);
    check(XL, xl_files, "xl.embeds", "xl.pooled");
}

static void expect_same(ht_pipeline *p, const char *a, const char *b, bool same) {
    size_t n, m;
    float *x = encoded(p, a, NULL, false, &n), *y = encoded(p, b, NULL, false, &m);
    assert_int_equal(n, m);
    bool equal = memcmp(x, y, n * sizeof(*x)) == 0;
    if (equal != same) {
        fail_msg("'%s' and '%s' are%s the same", a, b, equal ? "" : " not");
    }
    free(x);
    free(y);
}

static void test_words(void **state) {
    (void)state;
    ht_pipeline *p = open_with(SD, sd_files, 2), *plain = open_with(SD, NULL, 0);
    expect_same(p, "a foggy cube", "a FOGGY cube", true);
    expect_same(p, "a foggy cube", "a embedding:foggy cube", true);
    expect_same(p, "a foggy cube", "a (foggy:1.0) cube", true);
    expect_same(p, "a foggy cube", "a (foggy:1.3) cube", false);
    size_t n, m; // within another word it is none
    float *x = encoded(p, "a foggyish cube", NULL, false, &n);
    float *y = encoded(plain, "a foggyish cube", NULL, false, &m);
    assert_int_equal(n, m);
    ht_test_assert_close("another word", x, y, n, 1e-6);
    free(x);
    free(y);
    ht_pipeline_destroy(&p);
    ht_pipeline_destroy(&plain);
    assert_true(ht_prompt_has_word("x, Foggy-y", "foggy"));
    assert_false(ht_prompt_has_word("foggyish unfoggy foggy_2", "foggy"));
    assert_true(ht_prompt_has_word("a<cat-toy>b", "<cat-toy>"));
    assert_false(ht_prompt_has_word("anything", ""));
}

// Three vectors do not fit behind 16 words of a chunk of 18: all go to the next, which is then as if
// they began the prompt.
static void test_chunks(void **state) {
    (void)state;
    ht_pipeline *p = open_with(SD, sd_files, 2);
    size_t n, m, width = p->shape.text_width;
    float *longer = encoded(p, "a a a a a a a a a a a a a a a a foggy cube", NULL, false, &n);
    float *alone = encoded(p, "foggy cube", NULL, false, &m);
    assert_int_equal(n, 40 * width);
    assert_int_equal(m, 20 * width);
    ht_test_assert_close("second chunk", longer + 20 * width, alone, m, 1e-6);
    free(longer);
    free(alone);
    ht_pipeline_destroy(&p);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *model, *path, *token, *sentence;
    } rows[] = {
        {XL, FILES "foggy.safetensors", NULL, "it has vectors for one text encoder, the model has two"},
        {SD, FILES "foggy_xl.safetensors", NULL, "vectors for two text encoders, the model has one"},
        {SD, "tests/data/models/tiny-sd/vae/diffusion_pytorch_model.safetensors", NULL,
         "is not an embedding of textual inversion"},
        {SD, FILES "foggy.safetensors", "two words", "'two words' cannot be a word of a prompt"},
        {SD, FILES "toy.safetensors", "<cat-toy>", "another one is called '<cat-toy>', too"},
        {SD, FILES "none.safetensors", NULL, "none.safetensors"},
        {"tests/data/models/tiny-pixart", FILES "foggy.safetensors", NULL,
         "needs a CLIP text encoder"},
        {"tests/data/models/tiny-xl", FILES "toy.safetensors", NULL, "one text encoder"},
    };
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_pipeline *p;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        const ht_embedding_file files[] = {{rows[i].path, rows[i].token}, sd_files[0]};
        assert_int_not_equal(try_open(rows[i].model, files, 2, &p), HT_OK);
        if (!strstr(ht_context_message(context), rows[i].sentence)) {
            fail_msg("row %zu: %s", i, ht_context_message(context));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoded),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_refusals),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

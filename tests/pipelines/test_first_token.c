// Keys and values of the text's first token, kept beside packed layers: they are the float weights'
// where the text has that token, and nowhere else.
#include "pipeline_test.h"

#include "own_folder.h"

#include <halftone/quantize.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SD "tests/data/models/tiny-sd"

// Keys and values of the first layer, and the text, [2, T, K].
typedef struct seen {
    uint32_t rows, length, width, text_width;
    float *keys, *values, *text;
    char key_layer[160], value_layer[160];
} seen;

static float *read_tensor(ht_tensor *tensor) {
    const size_t count = ht_desc_count(ht_tensor_get_desc(tensor));
    float *values = malloc(count * sizeof(*values));
    assert_non_null(values);
    must(ht_test_context(HT_TIER_AUTO), ht_tensor_read_f32(tensor, values, count));
    return values;
}

static const ht_lora_file lora = {"tests/data/loras/sd_kohya.safetensors", 0.5f, 0.5f};

static ht_status run(const char *file, bool with_lora, seen *out) {
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    const ht_pipeline_options options = {.weights = HT_FORMAT_F32,
                                         .activations = HT_FORMAT_F32,
                                         .keep_loaded = true,
                                         .denoiser = file};
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    ht_pipeline *p;
    ht_run r;
    ht_report report;
    must(context, ht_pipeline_open(context, SD, &options, &p));
    must(context, with_lora ? ht_pipeline_set_loras(p, &lora, 1) : HT_OK);
    params.prompt = "a red ball on a cube";
    params.negative_prompt = "fog";
    params.cfg_scale = 4;
    params.width = params.height = 16;
    params.steps = 1;
    ht_run_begin(&r, p, &params, NULL, &report);
    const ht_status status = ht_run_sample(&r);
    if (status == HT_OK) {
        *out = (seen){.rows = p->text.batch * p->text.length,
                      .length = p->text.length,
                      .width = p->family->denoiser->layer_width(p, 0),
                      .text_width = p->shape.text_width,
                      .keys = read_tensor(p->denoise.keys[0]),
                      .values = read_tensor(p->denoise.values[0]),
                      .text = read_tensor(p->text.embeds)};
        ht_unet_text_layer(p->unet_plan, 0, "to_k", out->key_layer);
        ht_unet_text_layer(p->unet_plan, 0, "to_v", out->value_layer);
    }
    ht_run_end(&r);
    ht_pipeline_destroy(&p);
    return status;
}

static void forget(seen *s) {
    free(s->keys);
    free(s->values);
    free(s->text);
}

// ---- a packed file

static ht_format format_of(void *user, const char *layer) {
    (void)user;
    return strstr(layer, ".attn2.to_k") || strstr(layer, ".attn2.to_v") ? HT_FORMAT_INT8
                                                                        : HT_FORMAT_NONE;
}

static const char *pack(const char *name, const ht_quantize_extra *extra, uint32_t count) {
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    const ht_weights_desc from = {.path = SD "/unet"};
    static char path[192];
    ht_weights *weights;
    snprintf(path, sizeof(path), "%s", ht_test_folder_file(&folder, name));
    const ht_quantize_desc desc = {
        .path = path,
        .recipe =
            "{\"name\":\"text\",\"layers\":[{\"match\":\"*.attn2.to_k\",\"weights\":\"int8\"},"
            "{\"match\":\"*.attn2.to_v\",\"weights\":\"int8\"}]}",
        .extra = extra,
        .n_extra = count,
        .format = format_of};
    must(context, ht_weights_open(context, &from, &weights));
    must(context, ht_weights_quantize(weights, &desc));
    ht_weights_destroy(&weights);
    return path;
}

static float mark(uint32_t i, bool value) {
    return (value ? 500.0f : 300.0f) + (float)i;
}

// Rows that changed between two runs, which must be those of the first token and have the marks.
static uint32_t count_marked(const seen *plain, const seen *now) {
    uint32_t marked = 0;
    for (uint32_t r = 0; r < plain->rows; ++r) {
        const size_t at = (size_t)r * plain->width, bytes = plain->width * sizeof(float);
        if (memcmp(plain->keys + at, now->keys + at, bytes) == 0) {
            assert_memory_equal(plain->values + at, now->values + at, bytes);
            continue;
        }
        assert_int_equal(r % plain->length, 0);
        for (uint32_t i = 0; i < plain->width; ++i) {
            assert_float_equal(now->keys[at + i], mark(i, false), 0);
            assert_float_equal(now->values[at + i], mark(i, true), 0);
        }
        ++marked;
    }
    return marked;
}

static void test_places(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    seen plain, now;
    must(context, run(pack("plain.safetensors", NULL, 0), false, &plain));
    float *keys = malloc(plain.width * sizeof(*keys)),
          *values = malloc(plain.width * sizeof(*keys));
    for (uint32_t i = 0; i < plain.width; ++i) {
        keys[i] = mark(i, false);
        values[i] = mark(i, true);
    }
    char names[2][192];
    snprintf(names[0], sizeof(names[0]), "%s" HT_FIRST_TOKEN, plain.key_layer);
    snprintf(names[1], sizeof(names[1]), "%s" HT_FIRST_TOKEN, plain.value_layer);
    ht_quantize_extra extra[] = {{HT_FIRST_TOKEN_TEXT, plain.text, plain.text_width},
                                 {names[0], keys, plain.width},
                                 {names[1], values, plain.width}};
    must(context, run(pack("marked.safetensors", extra, 3), false, &now));
    assert_int_equal(count_marked(&plain, &now), 2); // of both prompts
    forget(&now);

    // Another encoder's token, or changed layers: as the packed weights have it.
    float *other = malloc(plain.text_width * sizeof(*other));
    memcpy(other, plain.text, plain.text_width * sizeof(*other));
    other[3] += 1;
    extra[0].values = other;
    must(context, run(pack("other.safetensors", extra, 3), false, &now));
    assert_int_equal(count_marked(&plain, &now), 0);
    forget(&now);
    extra[0].values = plain.text;
    must(context, run(ht_test_folder_file(&folder, "marked.safetensors"), true, &now));
    assert_true(now.keys[0] < 300);
    forget(&now);

    extra[1].count--;
    assert_int_equal(run(pack("short.safetensors", extra, 3), false, &now), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "to_k.first_token' has"));
    free(other);
    free(keys);
    free(values);
    forget(&plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, open_folder, close_folder)};
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

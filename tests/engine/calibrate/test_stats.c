// Statistics of layers' inputs: against NumPy and plain loops, kept in files, gone on with, and what
// is refused.
#include "support.h"

#include "own_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 6, K = 20, STEPS = 3, ROWS = 7 };

typedef struct fixture {
    ht_context *context;
    ht_stats *stats;
} fixture;

static ht_stats_desc small_desc(void) {
    return (ht_stats_desc){.conditions = "{\"a\":1}",
                           .rows = ROWS,
                           .gram = true,
                           .gram_width = 64,
                           .gram_rows = 1000};
}

static void start(fixture *f) {
    const ht_context_desc host = {.host_only = true};
    const ht_stats_desc desc = small_desc();
    assert_int_equal(ht_context_create(&host, &f->context), HT_OK);
    assert_int_equal(ht_stats_create(f->context, &desc, &f->stats), HT_OK);
}

static void stop(fixture *f) {
    ht_stats_destroy(&f->stats);
    ht_context_destroy(&f->context);
}

static ht_layer_run linear_run(const char *layer, uint32_t input, const float *x) {
    return (ht_layer_run){.layer = layer,
                          .input = input,
                          .window = {1, 1, 1, 2 * T, 1, 2 * T, 1, 1, 0, 0},
                          .x_desc = {.format = HT_FORMAT_F32, .rank = 3, .dims = {2, T, K}},
                          .x = x};
}

// Two layers that read the same, and a layer of the text with padding.
static ht_status add_prompt(ht_stats *stats, uint64_t seed) {
    float x[2 * T * K];
    ht_status status = HT_OK;
    for (uint32_t step = 0; step < STEPS && status == HT_OK; step++) {
        const ht_stats_place place = {
            .stage = HT_STATS_STEP, .step = step, .steps = STEPS, .timestep = 900 - 300.0f * step};
        const ht_layer_run q = linear_run("q", 4, x), k = linear_run("k", 4, x);
        ht_test_fill_normal(seed * 10 + step, x, 2 * T * K);
        x[step] *= 100;
        status = ht_stats_add(stats, &q, &place);
        status = status == HT_OK ? ht_stats_add(stats, &k, &place) : status;
    }
    const uint32_t tokens[2] = {2, 5};
    const ht_stats_place text = {.stage = HT_STATS_TEXT, .steps = 1, .tokens = tokens};
    const ht_layer_run to_k = linear_run("to_k", 4, x);
    memcpy(x + T * K, x, K * sizeof *x); // the first token of both texts
    status = status == HT_OK ? ht_stats_add(stats, &to_k, &text) : status;
    ht_stats_end_prompt(stats);
    return status;
}

static void test_convolution(void **state) {
    (void)state;
    fixture f;
    ht_test_golden golden;
    ht_tensor_desc desc;
    start(&f);
    ht_test_golden_open(&golden, "calibrate");
    float *x = ht_test_golden_read(&golden, "x", &desc);
    float *rows = ht_test_golden_read(&golden, "rows", NULL);
    float *gram = ht_test_golden_read(&golden, "gram", NULL);
    float *channel_max = ht_test_golden_read(&golden, "channel_max", NULL);
    float *moments = ht_test_golden_read(&golden, "moments", NULL);
    const ht_layer_run run = {.layer = "conv",
                              .input = 1,
                              .window = {3, 3, 5, 6, 3, 3, 2, 1, 1, 1},
                              .x_desc = desc,
                              .x = x};
    const ht_stats_place place = {.stage = HT_STATS_STEP, .steps = 1};
    assert_int_equal(ht_stats_add(f.stats, &run, &place), HT_OK);
    const ht_input_stats *s = ht_stats_find(f.stats, "conv");
    assert_non_null(s);
    assert_int_equal(s->columns, 36);
    assert_memory_equal(s->channel_max, channel_max, 4 * sizeof(float));
    const double found[] = {s->ranges[0].count, s->ranges[0].least, s->ranges[0].most,
                            s->ranges[0].sum, s->ranges[0].squares};
    for (int i = 0; i < 5; i++) {
        assert_true(fabs(found[i] - (double)moments[i]) <= 1e-6 * fabs((double)moments[i]));
    }
    assert_true(s->gram_rows == 18 && s->gram_block == 36 && s->gram_blocks == 1);
    for (uint32_t i = 0; i < 36; i++) { // the upper half is complete before saving
        ht_test_assert_close("gram", s->gram + 36 * i + i, gram + 36 * i + i, 36 - i, 1e-5);
    }
    for (uint32_t r = 0; r < s->n_rows; r++) { // each sample is one of the rows, as half floats
        bool any = false;
        for (uint32_t m = 0; m < 18 && !any; m++) {
            any = true;
            for (uint32_t i = 0; i < 36; i++) {
                const float want = rows[m * 36 + i], got = s->rows[r * 36 + i];
                any = any && fabsf(got - want) <= fabsf(want) / 2048 + 1e-7f;
            }
        }
        assert_true(any);
    }
    free(moments);
    free(channel_max);
    free(gram);
    free(rows);
    free(x);
    ht_test_golden_close(&golden);
    stop(&f);
}

static void test_sharing_and_text(void **state) {
    (void)state;
    fixture f;
    float x[2 * T * K];
    start(&f);
    assert_int_equal(add_prompt(f.stats, 1), HT_OK);
    assert_int_equal(ht_stats_count(f.stats), 2);
    const ht_input_stats *q = ht_stats_find(f.stats, "q");
    assert_ptr_equal(q, ht_stats_find(f.stats, "k"));
    assert_null(ht_stats_find(f.stats, "v"));
    ht_test_fill_normal(10, x, 2 * T * K);
    x[0] *= 100;
    double least = 0, most = 0, counted = 0;
    for (int i = 0; i < 2 * T * K; i++) {
        least = fmin(least, (double)x[i]);
        most = fmax(most, (double)x[i]);
        counted += i < HT_HISTOGRAM_BINS ? 1 : 0;
    }
    assert_true(q->ranges[0].count == counted && q->ranges[0].least == least &&
                q->ranges[0].most == most);
    double bins = 0;
    for (int i = 0; i < HT_HISTOGRAM_BINS; i++) {
        double want = 0;
        for (int v = 0; v < 2 * T * K; v++) {
            want += (int)(fabs((double)x[v]) / q->ranges[0].bin) == i;
        }
        assert_true(q->histograms[i] == want);
        bins += q->histograms[i];
    }
    assert_true(bins == q->ranges[0].count);
    const ht_input_stats *text = ht_stats_find(f.stats, "to_k");
    assert_true(text->ranges[0].count == 7 * K && text->tokens == T && text->token_texts == 2);
    assert_true(text->first_spread == 0 && text->token_sum[1] > 0 && text->token_sum[5] == 0);
    uint32_t steps;
    const float *timesteps = ht_stats_timesteps(f.stats, &steps);
    assert_true(steps == STEPS && timesteps[2] == 300);
    stop(&f);
}

// Stopped after a prompt, read back and gone on with: the same file, byte for byte.
static void test_resume(void **state) {
    (void)state;
    fixture whole, half;
    ht_stats *again = NULL;
    char a[192], b[192], command[512];
    snprintf(a, sizeof a, "%s", ht_test_folder_file(&folder, "a.safetensors"));
    snprintf(b, sizeof b, "%s", ht_test_folder_file(&folder, "b.safetensors"));
    start(&whole);
    start(&half);
    for (uint64_t seed = 1; seed < 5; seed++) {
        assert_int_equal(add_prompt(whole.stats, seed), HT_OK);
        if (seed < 3) {
            assert_int_equal(add_prompt(half.stats, seed), HT_OK);
        }
    }
    assert_int_equal(ht_stats_save(whole.stats, a), HT_OK);
    assert_int_equal(ht_stats_save(half.stats, b), HT_OK);
    assert_int_equal(ht_stats_open(half.context, b, &again), HT_OK);
    assert_int_equal(ht_stats_prompts(again), 2);
    assert_string_equal(ht_stats_conditions(again), "{\"a\":1}");
    assert_int_equal(add_prompt(again, 3), HT_OK);
    assert_int_equal(add_prompt(again, 4), HT_OK);
    assert_int_equal(ht_stats_save(again, b), HT_OK);
    snprintf(command, sizeof command, "cmp '%s' '%s'", a, b);
    assert_int_equal(system(command), 0);
    ht_stats_destroy(&again);
    stop(&whole);
    stop(&half);
}

static void refuse(ht_context *context, const char *edit, const char *part) {
    char command[1024], text[64];
    ht_stats *stats = NULL;
    // Edits keep the header's length; spaces are put where something shorter stands.
    snprintf(command, sizeof command, "sed '%s' '%s/a.safetensors' > '%s/bad.safetensors'", edit,
             folder.path, folder.path);
    assert_int_equal(system(command), 0);
    snprintf(text, sizeof text, "%s", part);
    assert_int_equal(ht_stats_open(context, ht_test_folder_file(&folder, "bad.safetensors"), &stats),
                     HT_ERR_IO);
    assert_null(stats);
    if (strstr(ht_context_message(context), text) == NULL) {
        fail_msg("'%s' does not say '%s'", ht_context_message(context), text);
    }
}

static void test_refused(void **state) {
    (void)state;
    fixture f;
    float x[2 * T * K] = {0};
    start(&f);
    assert_int_equal(add_prompt(f.stats, 1), HT_OK);
    assert_int_equal(ht_stats_save(f.stats, ht_test_folder_file(&folder, "a.safetensors")), HT_OK);
    refuse(f.context, "s/halftone.statistics/halftone.statistiks/", "no file of statistics");
    refuse(f.context, "s/\\\\\"version\\\\\":1/\\\\\"version\\\\\":2/", "version 2");
    refuse(f.context, "s/\\\\\"width\\\\\":20/\\\\\"width\\\\\":21/", "missing, or not");
    refuse(f.context, "s/\"q.ranges\"/\"q.rangez\"/", "'q.ranges' is missing");
    refuse(f.context, "s/\\\\\"stage\\\\\":\\\\\"step/\\\\\"stage\\\\\":\\\\\"stop/",
           "an input's description");
    x[77] = NAN;
    const ht_layer_run run = linear_run("q", 4, x);
    const ht_stats_place place = {.stage = HT_STATS_STEP, .step = 1, .steps = STEPS};
    assert_int_equal(ht_stats_add(f.stats, &run, &place), HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(f.context), "'q'"));
    ht_layer_run wide = linear_run("q", 4, x);
    wide.x_desc.dims[2] = K / 2;
    assert_int_equal(ht_stats_add(f.stats, &wide, &place), HT_ERR_INVALID);
    stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution), cmocka_unit_test(test_sharing_and_text),
        cmocka_unit_test(test_resume), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}

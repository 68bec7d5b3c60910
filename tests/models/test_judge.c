// The judge against judge.py: logits of a render and of pictures made by formula; refused files.
#include "model_test.h"

#include "files.h"
#include "judge.h"

#define WEIGHTS "assets/judge/scenes-judge.safetensors"
#define CONFIG "assets/judge/scenes-judge.json"

enum { PICTURES = 3 };

// Nine products and seven norms in a row, each off by at most 1e-6 of its result in f32 (the ops'
// own tests), and the golden logits rounded to f32 once: 16 * 1e-6 + 6e-8.
static const double BOUND = 1.7e-5;

// make_judge.py's pictures() k = 1, 2
static uint8_t made_up(int k, int x, int y, int c) {
    if (c == k && (x - 64) * (x - 64) + (y - 50 - 10 * k) * (y - 50 - 10 * k) < 900) {
        return 230;
    }
    return (uint8_t)((x * (3 * k + c) + y * (5 - k + 2 * c) + x * y / (16 * k)) & 255);
}

static float *make_input(const ht_test_golden *golden, uint32_t edge) {
    const size_t count = (size_t)edge * edge * 3;
    float *values = malloc(PICTURES * count * sizeof(*values));
    const ht_weight_info *render = ht_weights_find(golden->weights, "render");
    assert_non_null(values);
    assert_non_null(render);
    assert_int_equal(render->bytes, count);
    for (size_t i = 0; i < count; ++i) {
        int x = (int)(i / 3 % edge), y = (int)(i / 3 / edge), c = (int)(i % 3);
        values[i] = (float)((const uint8_t *)render->data)[i] / 127.5f - 1;
        values[count + i] = (float)made_up(1, x, y, c) / 127.5f - 1;
        values[2 * count + i] = (float)made_up(2, x, y, c) / 127.5f - 1;
    }
    return values;
}

// Open the weights, the file's f16 as f32, as the golden ones were made.
static void open_judge(ht_test_net *net, ht_tier tier, const char *weights, const char *json,
                       const char *golden, ht_judge_config *config) {
    ht_test_net_open(net, tier, weights, golden, false);
    ht_weights_destroy(&net->weights);
    ht_weights_desc desc = {.path = weights, .format = HT_FORMAT_F32};
    ht_test_must(net->context, ht_weights_open(net->context, &desc, &net->weights));
    ht_test_must(net->context, ht_judge_config_read(net->context, json, config));
    ht_test_must(net->context, ht_judge_config_weights(net->context, net->weights, config));
}

static void test_logits(void **state) {
    (void)state;
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        ht_test_net net;
        ht_judge_config config;
        if (!ht_test_context(ht_test_tiers[t])) {
            continue;
        }
        open_judge(&net, ht_test_tiers[t], WEIGHTS, CONFIG, "judge", &config);
        float *values = make_input(&net.golden, config.edge);
        ht_tensor_desc shape = {
            .format = HT_FORMAT_F32, .rank = 4, .dims = {PICTURES, config.edge, config.edge, 3}};
        ht_value x = ht_test_net_values(&net, shape, values);
        free(values);
        ht_value logits = ht_judge_logits(net.graph, &config, net.weights, x);
        ht_tensor *out = ht_test_net_output(&net, logits);
        ht_test_net_run(&net);
        const size_t count = (size_t)PICTURES * config.outputs;
        ht_tensor_desc golden;
        float *want = ht_test_golden_read(&net.golden, "logits", &golden);
        float *got = malloc(count * sizeof(*got));
        assert_non_null(got);
        assert_int_equal(ht_desc_count(&golden), count);
        ht_test_must(net.context, ht_tensor_read_f32(out, got, count));
        print_message("logits: rel L2 %.2e\n", ht_test_compare(got, want, count).rel_l2);
        ht_test_assert_close("logits", got, want, count, BOUND);
        free(got);
        free(want);
        ht_test_net_close(&net);
    }
}

// make_judge.py's SMALL
static const char SMALL[] =
    "{\"edge\": 16, \"convs\": [[3, 16, 2], [16, 32, 2]], \"norm_groups\": 8, \"layers\": 2,"
    "\"attention_heads\": 2, \"classes\": {\"sky\": [\"day\", \"night\"], \"shape_a\": [\"cube\", "
    "\"cone\", \"none\"]}, \"tokens\": {\"sky\": 0, \"shape_a\": 2}}";

static void test_transformer(void **state) {
    (void)state;
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    ht_test_write(&folder, "judge.json", SMALL, strlen(SMALL));
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        ht_test_net net;
        ht_judge_config config;
        if (!ht_test_context(ht_test_tiers[t])) {
            continue;
        }
        open_judge(&net, ht_test_tiers[t], "tests/data/golden/judge-transformer.safetensors",
                   ht_test_folder_file(&folder, "judge.json"), "judge-transformer", &config);
        assert_int_equal(config.tokens, 3);
        ht_value x = ht_test_net_input(&net, "pictures", true);
        ht_tensor *out =
            ht_test_net_output(&net, ht_judge_logits(net.graph, &config, net.weights, x));
        ht_test_net_run(&net);
        ht_test_net_expect(&net, out, "logits", false);
        ht_test_net_close(&net);
    }
    ht_test_folder_close(&folder);
}

static void test_config(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_judge_config config;
    ht_test_must(context, ht_judge_config_read(context, CONFIG, &config));
    assert_int_equal(config.convs, 7);
    assert_int_equal(config.heads, 9);
    assert_int_equal(config.outputs, 46);
    const ht_judge_head *head = ht_judge_find(&config, "color_b");
    assert_non_null(head);
    assert_true(head->judged);
    assert_int_equal(head->first, 34);
    assert_int_equal(ht_judge_class(head, "none"), 8);
    assert_int_equal(ht_judge_class(head, "beige"), UINT32_MAX);
    assert_false(ht_judge_find(&config, "material_a")->judged);
    assert_null(ht_judge_find(&config, "weather"));
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"{", "line 1"},
        {"[]", "JSON object"},
        {"{}", "\"convs\" must be a list"},
        {"{\"frames\": []}", "\"frames\" must be a list"},
        {"{\"frames\": [4, 4]}", "\"frames\" must be a list"},
        {"{\"frames\": [0, 4], \"convs\": [[3, 8, 1]]}", "\"convs\" has an entry"},
        {"{\"frames\": [0, 4], \"convs\": [[6, 8, 1]]}", "\"classes\" is missing"},
        {"{\"convs\": [[3, 8, 3]]}", "\"convs\" has an entry"},
        {"{\"convs\": [[4, 8, 1]]}", "\"convs\" has an entry"},
        {"{\"convs\": [[3, 12, 1]]}", "\"convs\" has an entry"},
        {"{\"convs\": [[3, 8, 1]]}", "\"classes\" is missing"},
        {"{\"convs\": [[3, 8, 1]], \"classes\": {\"sky\": [\"day\"]}}", "2 to 16 classes"},
        {"{\"convs\": [[3, 8, 1]], \"classes\": {\"sky\": [\"day\", 1]}}", "without a name"},
        {"{\"convs\": [[3, 8, 1]], \"classes\": {\"sky\": [\"a\", \"b\"]}, \"judged\": [\"x\"]}",
         "\"judged\" names"},
        {"{\"convs\": [[3, 8, 1]], \"classes\": {\"sky\": [\"a\", \"b\"]}, \"layers\": 17}",
         "layers"},
        {"{\"convs\": [[3, 8, 1]], \"classes\": {\"sky\": [\"a\", \"b\"]}, \"layers\": 1}",
         "\"tokens\" must give"},
        {"{\"convs\": [[3, 8, 1]], \"classes\": {\"sky\": [\"a\", \"b\"]}, \"layers\": 1, "
         "\"tokens\": {\"sky\": 0}, \"attention_heads\": 3}",
         "\"attention_heads\" must divide"},
    };
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_judge_config config;
        ht_test_write(&folder, "judge.json", rows[i].text, strlen(rows[i].text));
        const char *path = ht_test_folder_file(&folder, "judge.json");
        assert_int_equal(ht_judge_config_read(context, path, &config), HT_ERR_IO);
        if (!strstr(ht_context_message(context), rows[i].part)) {
            fail_msg("%s: '%s' is not in '%s'", rows[i].text, rows[i].part,
                     ht_context_message(context));
        }
    }
    ht_test_folder_close(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_transformer),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_refused),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

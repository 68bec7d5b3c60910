// PixArt transformers against diffusers: three kinds of configuration, with and without a mask,
// sharded files, the position table, and every node against its reference.
#include "model_test.h"

#include "pixart.h"

#define FOLDER(name) "tests/data/models/" name "/transformer"

static ht_pixart_config config_of(ht_context *context, const char *folder,
                                  const ht_weights *weights) {
    ht_pixart_config config;
    ht_test_must(context, ht_pixart_config_read(context, folder, weights, &config));
    return config;
}

// timestep [2] -> table with one row per item, all in one graph with the step itself.
static ht_value modulation_of(ht_test_net *net, const ht_pixart_config *config) {
    ht_value t = ht_test_net_input(net, "timestep", false);
    ht_value resolution = HT_NO_VALUE, aspect = HT_NO_VALUE;
    if (config->additional_conditions) {
        ht_value sizes = ht_test_net_input(net, "resolution", false); // [2, 2]
        resolution = ht_op_reshape(net->graph, sizes, 1, (uint32_t[]){4});
        ht_value ratios = ht_test_net_input(net, "aspect_ratio", false); // [2, 1]
        aspect = ht_op_reshape(net->graph, ratios, 1, (uint32_t[]){2});
    }
    return ht_pixart_time(net->graph, config, net->weights, t, resolution, aspect);
}

static ht_value rows_of(ht_test_net *net, const int32_t *rows, uint32_t count) {
    ht_tensor *tensor = ht_test_net_tensor(
        net, (ht_tensor_desc){.format = HT_FORMAT_I32, .rank = 1, .dims = {count}});
    ht_test_must(net->context, ht_tensor_write(tensor, rows, count * sizeof(*rows)));
    return ht_graph_tensor(net->graph, tensor);
}

static ht_tensor *build(ht_test_net *net, const char *folder, bool masked) {
    ht_pixart_config config = config_of(net->context, folder, net->weights);
    ht_value keys[HT_PIXART_MAX_LAYERS], values[HT_PIXART_MAX_LAYERS];
    ht_value text = ht_test_net_input(net, "encoder", false);
    ht_pixart_context(net->graph, &config, net->weights, text, keys, values);
    ht_pixart_inputs inputs = {
        .latent = ht_test_net_input(net, "latent", true),
        .modulation = modulation_of(net, &config),
        .step = rows_of(net, (int32_t[]){0, 1}, 2),
        .keys = keys,
        .values = values,
        .mask = masked ? ht_test_net_mask(net, "mask", -10000.0f) : HT_NO_VALUE,
    };
    return ht_test_net_output(net, ht_pixart_step(net->graph, &config, net->weights, &inputs));
}

static void compare(ht_tier tier, const char *folder, const char *golden, bool masked) {
    ht_test_net net;
    ht_test_net_open(&net, tier, folder, golden, false);
    ht_tensor *out = build(&net, folder, masked);
    ht_test_net_run(&net);
    ht_test_net_expect(&net, out, masked ? "output" : "output.nomask", true);
    ht_test_net_close(&net);
}

static void test_outputs(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(ht_test_tiers); ++i) {
        ht_tier tier = ht_test_tiers[i];
        for (int masked = 0; masked < 2 && ht_test_context(tier); ++masked) {
            compare(tier, FOLDER("tiny-pixart"), "pixart_tiny", masked);
            compare(tier, FOLDER("tiny-pixart-sharded"), "pixart_tiny", masked);
            compare(tier, FOLDER("tiny-pixart-alpha"), "pixart_alpha", masked);
            compare(tier, FOLDER("tiny-pixart-interp"), "pixart_interp", masked);
        }
    }
}

// 28 layers of 1152 channels, once on demand: see ht_test_fullsize.
static void test_full_size(void **state) {
    (void)state;
    char folder[512], golden[512];
    ht_test_fullsize("transformer", "golden_transformer", folder, golden);
    compare(HT_TIER_AUTO, folder, golden, true);
}

// One item with one shared row, as the pipeline runs it, gives the second half of the batch.
static void test_shared_row(void **state) {
    (void)state;
    ht_test_net net;
    const char *folder = FOLDER("tiny-pixart");
    ht_test_net_open(&net, HT_TIER_AUTO, folder, "pixart_tiny", false);
    ht_pixart_config config = config_of(net.context, folder, net.weights);
    ht_graph *g = net.graph;
    ht_value keys[HT_PIXART_MAX_LAYERS], values[HT_PIXART_MAX_LAYERS];
    ht_value text = ht_op_slice(g, ht_test_net_input(&net, "encoder", false), 0, 1, 1);
    ht_pixart_context(g, &config, net.weights, text, keys, values);
    ht_pixart_inputs inputs = {
        .latent = ht_op_slice(g, ht_test_net_input(&net, "latent", true), 0, 1, 1),
        .modulation = modulation_of(&net, &config),
        .step = rows_of(&net, (int32_t[]){1}, 1),
        .keys = keys,
        .values = values,
        .mask = ht_op_slice(g, ht_test_net_mask(&net, "mask", -10000.0f), 0, 1, 1),
    };
    ht_tensor *out = ht_test_net_output(&net, ht_pixart_step(g, &config, net.weights, &inputs));
    ht_test_net_run(&net);
    ht_tensor_desc desc;
    float *want = ht_test_golden_read_nhwc(&net.golden, "output", &desc);
    size_t count = ht_desc_count(&desc) / 2;
    float *got = malloc(count * sizeof(*got));
    ht_test_must(net.context, ht_tensor_read_f32(out, got, count));
    ht_test_assert_close("one item", got, want + count, count, HT_TEST_NETWORK_BOUND);
    free(got);
    free(want);
    ht_test_net_close(&net);
}

static void test_every_node(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(ht_test_tiers); ++i) {
        ht_test_net net;
        uint32_t nodes = 0;
        if (!ht_test_context(ht_test_tiers[i])) {
            continue;
        }
        ht_test_net_open(&net, ht_test_tiers[i], FOLDER("tiny-pixart"), "pixart_tiny", true);
        build(&net, FOLDER("tiny-pixart"), true);
        ht_test_must(net.context, ht_graph_finish(net.graph));
        ht_test_must(net.context, ht_graph_check(net.graph, ht_test_expect_node, &nodes));
        assert_true(nodes > 30);
        ht_test_net_close(&net);
    }
}

static void check_positions(const char *golden_name, const char *folder, uint32_t rows,
                            uint32_t columns) {
    ht_test_golden golden;
    ht_test_golden_open(&golden, golden_name);
    ht_pixart_config config = config_of(golden.context, folder, NULL);
    float *want = ht_test_golden_read(&golden, "pos_table", NULL);
    size_t count = (size_t)rows * columns * config.heads * config.head_dim;
    float *got = malloc(count * sizeof(*got));
    ht_pixart_positions(&config, rows, columns, got);
    // sines in f64 there too: only the last rounding may differ
    ht_test_assert_close(golden_name, got, want, count, 1e-7);
    free(got);
    free(want);
    ht_test_golden_close(&golden);
}

static void test_positions(void **state) {
    (void)state;
    check_positions("pixart_tiny", FOLDER("tiny-pixart"), 4, 4);
    check_positions("pixart_alpha", FOLDER("tiny-pixart-alpha"), 4, 6);
    check_positions("pixart_interp", FOLDER("tiny-pixart-interp"), 4, 10);
    // Published model of 1024 pixels, row 1, column 2: x = 1, y = 0.5. Column first.
    ht_pixart_config big = {
        .heads = 16, .head_dim = 72, .sample_size = 128, .patch = 2, .interpolation_scale = 2};
    float *table = malloc((size_t)64 * 64 * 1152 * sizeof(*table));
    ht_pixart_positions(&big, 64, 64, table);
    const float *row = table + (size_t)(64 + 2) * 1152;
    const float want[] = {0.841471f, 0.824051f, 0.540302f, 0.566515f, 0.479426f, 0.465556f};
    const float got[] = {row[0], row[1], row[288], row[289], row[576], row[577]};
    ht_test_assert_close("published table", got, want, 6, 1e-6);
    free(table);
}

static void test_weights(void **state) {
    (void)state;
    static const struct {
        const char *folder;
        uint32_t count;
    } rows[] = {{FOLDER("tiny-pixart"), 57},
                {FOLDER("tiny-pixart-sharded"), 57},
                {FOLDER("tiny-pixart-alpha"), 65},
                {FOLDER("tiny-pixart-interp"), 57}};
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weight_map map;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_pixart_config config = config_of(context, rows[i].folder, NULL);
        ht_test_must(context, ht_pixart_weight_map(context, &config, &map));
        ht_test_full_map(context, &map, rows[i].folder, rows[i].count);
    }
    // Published sizes: Sigma and alpha of 1024 pixels.
    ht_pixart_config big = {.heads = 16,
                            .head_dim = 72,
                            .layers = 28,
                            .caption_channels = 4096,
                            .attention_bias = true};
    ht_test_must(context, ht_pixart_weight_map(context, &big, &map));
    assert_int_equal(map.count, 603);
    ht_weight_map_clear(&map);
    big.additional_conditions = true;
    ht_test_must(context, ht_pixart_weight_map(context, &big, &map));
    assert_int_equal(map.count, 611);
    ht_weight_map_clear(&map);
}

// The file decides about the additional conditions where the configuration does not say.
static void test_conditions_by_file(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weights *weights;
    ht_test_must(context,
                 ht_weights_open(context, &(ht_weights_desc){.path = FOLDER("tiny-pixart-alpha")},
                                 &weights));
    assert_true(config_of(context, FOLDER("tiny-pixart"), weights).additional_conditions);
    ht_weights_destroy(&weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_full_size),
        cmocka_unit_test(test_shared_row),
        cmocka_unit_test(test_every_node),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_conditions_by_file),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

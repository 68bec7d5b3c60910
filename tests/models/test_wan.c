// Wan's transformer against diffusers: clips and pictures, positions, every node, weights.
#include "model_test.h"

#include "wan.h"

#include <math.h>

#define FOLDER "tests/data/models/tiny-wan/transformer"
#define IMAGE_FOLDER "tests/data/models/tiny-wan-i2v/transformer"

static ht_wan_config config_in(ht_context *context, const char *folder) {
    ht_wan_config config;
    ht_test_must(context, ht_wan_config_read(context, folder, &config));
    return config;
}

static ht_wan_config config_of(ht_context *context) {
    return config_in(context, FOLDER);
}

static ht_value rows_of(ht_test_net *net, const int32_t *rows, uint32_t count) {
    ht_tensor *tensor = ht_test_net_tensor(
        net, (ht_tensor_desc){.format = HT_FORMAT_I32, .rank = 1, .dims = {count}});
    ht_test_must(net->context, ht_tensor_write(tensor, rows, count * sizeof(*rows)));
    return ht_graph_tensor(net->graph, tensor);
}

static ht_tensor *build(ht_test_net *net, const char *folder, const char *latent, uint32_t frames) {
    ht_wan_config config = config_in(net->context, folder);
    ht_value keys[HT_WAN_MAX_LAYERS], values[HT_WAN_MAX_LAYERS];
    ht_graph *g = net->graph;
    ht_wan_context(g, &config, net->weights, ht_test_net_input(net, "text", false), keys, values);
    ht_wan_inputs inputs = {
        .latent = ht_test_net_input(net, latent, true),
        .frames = frames,
        .modulation =
            ht_wan_time(g, &config, net->weights, ht_test_net_input(net, "timestep", false)),
        .step = rows_of(net, (int32_t[]){0, 1}, 2),
        .keys = keys,
        .values = values,
    };
    return ht_test_net_output(net, ht_wan_step(g, &config, net->weights, &inputs));
}

// The golden text's rows, and zeros behind them up to 512.
static ht_value padded_text(ht_test_net *net) {
    ht_tensor_desc desc;
    float *text = ht_test_golden_read(&net->golden, "text", &desc);
    const uint32_t rows = desc.dims[1], width = desc.dims[2];
    desc.dims[1] = 512;
    float *all = calloc(ht_desc_count(&desc), sizeof(*all));
    for (uint32_t b = 0; b < desc.dims[0]; ++b) {
        memcpy(all + (size_t)b * 512 * width, text + (size_t)b * rows * width,
               (size_t)rows * width * sizeof(*all));
    }
    ht_value value = ht_test_net_values(net, desc, all);
    free(all);
    free(text);
    return value;
}

// A step that reads the tokens of a picture, too, which are the same for both items.
static ht_tensor *build_image(ht_test_net *net) {
    ht_wan_config config = config_in(net->context, IMAGE_FOLDER);
    ht_value keys[HT_WAN_MAX_LAYERS], values[HT_WAN_MAX_LAYERS];
    ht_value image_keys[HT_WAN_MAX_LAYERS], image_values[HT_WAN_MAX_LAYERS];
    ht_graph *g = net->graph;
    ht_wan_context(g, &config, net->weights, padded_text(net), keys, values);
    ht_value image = ht_test_net_input(net, "image", false);
    image = ht_op_embedding(g, image, rows_of(net, (int32_t[]){0, 0}, 2));
    ht_wan_image_context(g, &config, net->weights, image, image_keys, image_values);
    ht_wan_inputs inputs = {
        .latent = ht_test_net_input(net, "latent", true),
        .frames = 3,
        .modulation =
            ht_wan_time(g, &config, net->weights, ht_test_net_input(net, "timestep", false)),
        .step = rows_of(net, (int32_t[]){0, 1}, 2),
        .keys = keys,
        .values = values,
        .image_keys = image_keys,
        .image_values = image_values,
    };
    return ht_test_net_output(net, ht_wan_step(g, &config, net->weights, &inputs));
}

static void test_image(void **state) {
    (void)state;
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        ht_test_net net;
        if (!ht_test_context(ht_test_tiers[t])) {
            continue;
        }
        ht_test_net_open(&net, ht_test_tiers[t], IMAGE_FOLDER, "wan_image", false);
        ht_tensor *out = build_image(&net);
        ht_test_net_run(&net);
        ht_test_net_expect(&net, out, "output", true);
        ht_test_net_close(&net);
    }
}

static void test_outputs(void **state) {
    (void)state;
    static const struct {
        const char *latent, *output;
        uint32_t frames;
    } rows[] = {{"latent.clip", "output.clip", 3}, {"latent.picture", "output.picture", 1}};
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        for (size_t i = 0; i < HT_COUNT(rows) && ht_test_context(ht_test_tiers[t]); ++i) {
            ht_test_net net;
            ht_test_net_open(&net, ht_test_tiers[t], FOLDER, "wan_tiny", false);
            ht_tensor *out = build(&net, FOLDER, rows[i].latent, rows[i].frames);
            ht_test_net_run(&net);
            ht_test_net_expect(&net, out, rows[i].output, true);
            ht_test_net_close(&net);
        }
    }
}

// The 1.3B model, 17 frames cut to 64 x 96 pixels, once on demand: see ht_test_fullsize and
// tools/golden/make_fullsize_wan.py.
static void test_full_size(void **state) {
    (void)state;
    char folder[512], golden[512];
    ht_memory_use use;
    ht_test_net net;
    ht_test_fullsize("wan_transformer", "golden_wan", folder, golden);
    ht_test_net_open(&net, HT_TIER_AUTO, folder, golden, false);
    ht_tensor *out = build(&net, folder, "latent.clip", 5);
    ht_test_net_run(&net);
    ht_context_memory(net.context, &use);
    print_message("device memory: %.0f MiB\n", (double)use.allocated_peak / (1 << 20));
    ht_test_net_expect(&net, out, "output.clip", true);
    ht_test_net_close(&net);
}

static void test_every_node(void **state) {
    (void)state;
    ht_test_net net;
    uint32_t nodes = 0;
    ht_test_net_open(&net, HT_TIER_AUTO, FOLDER, "wan_tiny", true);
    build(&net, FOLDER, "latent.clip", 3);
    ht_test_must(net.context, ht_graph_finish(net.graph));
    ht_test_must(net.context, ht_graph_check(net.graph, ht_test_expect_node, &nodes));
    assert_true(nodes > 40);
    ht_test_net_close(&net);
}

static void test_positions(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_test_golden_open(&golden, "wan_tiny");
    ht_wan_config config = config_of(golden.context);
    ht_tensor_desc desc;
    float *want = ht_test_golden_read(&golden, "positions", &desc);
    size_t count = ht_desc_count(&desc);
    float *got = malloc(count * sizeof(*got));
    ht_wan_positions(&config, 3, 2, 3, got);
    ht_test_assert_close("positions", got, want, count, 1e-7);
    free(got);
    free(want);
    ht_test_golden_close(&golden);
    // Heads of 128, frame 2, row 3, column 5: 22 pairs turn with the frame, 21 with the row.
    ht_wan_config big = {.head_dim = 128};
    float *table = malloc((size_t)3 * 4 * 6 * 128 * sizeof(*table));
    ht_wan_positions(&big, 3, 4, 6, table);
    const float *row = table + (size_t)((2 * 4 + 3) * 6 + 5) * 128;
    static const struct {
        uint32_t pair;
        double angle;
    } angles[] = {{0, 2},         {1, 1.315866}, {2, 0.865752}, {22, 3},
                  {23, 1.934840}, {43, 5},       {44, 3.224733}};
    for (size_t i = 0; i < HT_COUNT(angles); ++i) {
        assert_true(fabs(row[2 * angles[i].pair] - cos(angles[i].angle)) < 1e-5);
        assert_true(fabs(row[2 * angles[i].pair + 1] - sin(angles[i].angle)) < 1e-5);
    }
    free(table);
}

static uint64_t parameters_of(ht_context *context, const ht_wan_config *config, uint32_t *tensors) {
    ht_weight_map map;
    uint64_t sum = 0;
    ht_test_must(context, ht_wan_weight_map(context, config, &map));
    for (uint32_t i = 0; i < map.count; ++i) {
        uint64_t count = 1;
        for (uint32_t d = 0; d < map.entries[i].rank; ++d) {
            count *= map.entries[i].dims[d];
        }
        sum += count;
    }
    *tensors = map.count;
    ht_weight_map_clear(&map);
    return sum;
}

static void test_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_wan_config config = config_of(context);
    ht_weight_map map;
    uint32_t tensors;
    ht_test_must(context, ht_wan_weight_map(context, &config, &map));
    ht_test_full_map(context, &map, FOLDER, 69);
    config = config_in(context, IMAGE_FOLDER);
    ht_test_must(context, ht_wan_weight_map(context, &config, &map));
    ht_test_full_map(context, &map, IMAGE_FOLDER, 69 + 8 + 2 * 5);
    // The published sizes, 1.3B and 14B.
    ht_wan_config small = {.heads = 12,
                           .head_dim = 128,
                           .in_channels = 16,
                           .out_channels = 16,
                           .layers = 30,
                           .text_channels = 4096,
                           .frequencies = 256,
                           .ffn = 8960,
                           .patch = 2,
                           .cross_norm = true};
    assert_true(parameters_of(context, &small, &tensors) == 1418996800);
    assert_int_equal(tensors, 825);
    small.heads = 40;
    small.layers = 40;
    small.ffn = 13824;
    assert_true(parameters_of(context, &small, &tensors) == 14288491584);
    assert_int_equal(tensors, 1095);
    // From a picture: 8 + 5 * 40 more tensors, 20 channels more at the beginning.
    const uint64_t plain = 14288491584, width = 5120;
    small.in_channels = 36;
    small.image_channels = 1280;
    assert_true(parameters_of(context, &small, &tensors) ==
                plain + 20 * 4 * width + 4 * 1280 + 1280 * 1280 + 1280 * width + 3 * width - 1280 +
                    40 * (2 * (width * width + width) + width));
    assert_int_equal(tensors, 1095 + 208);
}

static void test_sizes(void **state) {
    (void)state;
    static const uint32_t wrong[] = {5, 8}; // frames of the latent of 12 rows
    for (size_t i = 0; i < HT_COUNT(wrong); ++i) {
        ht_test_net net;
        ht_value none[HT_WAN_MAX_LAYERS] = {{0}};
        ht_test_net_open(&net, HT_TIER_AUTO, FOLDER, "wan_tiny", false);
        ht_wan_config config = config_of(net.context);
        ht_wan_inputs inputs = {.latent = ht_test_net_input(&net, "latent.clip", true),
                                .frames = wrong[i],
                                .keys = none,
                                .values = none};
        assert_int_equal(ht_wan_step(net.graph, &config, net.weights, &inputs).id, 0);
        assert_non_null(strstr(ht_context_message(net.context), "multiples of 2"));
        ht_test_net_close(&net);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),   cmocka_unit_test(test_image),
        cmocka_unit_test(test_full_size), cmocka_unit_test(test_every_node),
        cmocka_unit_test(test_positions), cmocka_unit_test(test_weights),
        cmocka_unit_test(test_sizes),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

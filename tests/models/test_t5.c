// T5 encoders against transformers: outputs with and without a mask, buckets, weights.
#include "model_test.h"

#include "t5.h"

#define TINY "tests/data/models/tiny-pixart/text_encoder"
#define UMT5 "tests/data/models/tiny-wan/text_encoder"
#define NARROW "tests/data/models/tiny-t5-narrow/text_encoder"

static ht_t5_config config_of(ht_context *context, const char *folder) {
    ht_t5_config config;
    ht_test_must(context, ht_t5_config_read(context, folder, &config));
    return config;
}

static void compare(ht_tier tier, const char *folder, const char *golden, bool masked) {
    ht_test_net net;
    ht_test_net_open(&net, tier, folder, golden, false);
    ht_t5_config config = config_of(net.context, folder);
    ht_value mask = masked ? ht_test_net_mask(&net, "mask", -1e9f) : HT_NO_VALUE;
    ht_value text =
        ht_t5_build(net.graph, &config, net.weights, ht_test_net_int_input(&net, "ids"), mask);
    ht_tensor *out = ht_test_net_output(&net, text);
    ht_test_net_run(&net);
    ht_test_net_expect(&net, out, masked ? "output.masked" : "output.unmasked", false);
    ht_test_net_close(&net);
}

static void test_outputs(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(ht_test_tiers); ++i) {
        if (!ht_test_context(ht_test_tiers[i])) {
            continue;
        }
        for (int masked = 0; masked < 2; ++masked) {
            compare(ht_test_tiers[i], TINY, "t5_tiny", masked);
            compare(ht_test_tiers[i], NARROW, "t5_narrow", masked);
            compare(ht_test_tiers[i], UMT5, "umt5_tiny", masked);
        }
    }
}

// Two layers of T5 v1.1 XXL, once on demand: see ht_test_fullsize.
static void test_full_size(void **state) {
    (void)state;
    char folder[512], golden[512];
    ht_test_fullsize("text_encoder", "golden_t5", folder, golden);
    compare(HT_TIER_AUTO, folder, golden, true);
    compare(HT_TIER_AUTO, folder, golden, false);
}

static void test_buckets(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_test_golden_open(&golden, "t5_tiny");
    ht_t5_config config = config_of(golden.context, TINY);
    const ht_weight_info *info = ht_weights_find(golden.weights, "buckets");
    assert_non_null(info);
    const int32_t *buckets = info->data; // [1025]
    assert_int_equal(info->bytes, 1025 * sizeof(*buckets));
    for (int32_t distance = -512; distance <= 512; ++distance) {
        assert_int_equal(ht_t5_bucket(&config, distance), buckets[distance + 512]);
    }
    ht_test_golden_close(&golden);
}

static void test_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weight_map map;
    ht_t5_config config = config_of(context, TINY);
    ht_test_must(context, ht_t5_weight_map(context, &config, &map));
    ht_test_full_map(context, &map, TINY, 21);
    config = config_of(context, NARROW);
    ht_test_must(context, ht_t5_weight_map(context, &config, &map));
    ht_test_full_map(context, &map, NARROW, 21);
    // UMT5 has a table per block
    config.bias_per_block = true;
    ht_test_must(context, ht_t5_weight_map(context, &config, &map));
    assert_int_equal(map.count, 22);
    ht_weight_map_clear(&map);
    // Published size: 24 blocks of 9 tensors, one table, embedding and last norm
    ht_t5_config xxl = {.num_layers = 24, .gated = true};
    ht_test_must(context, ht_t5_weight_map(context, &xxl, &map));
    assert_int_equal(map.count, 219);
    ht_weight_map_clear(&map);
}

// A file that lacks a tensor, or holds another shape, is refused by name.
static void test_wrong_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weights *weights;
    ht_weight_map map;
    ht_t5_config config = config_of(context, TINY);
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = TINY}, &weights));
    config.num_layers = 3;
    ht_test_must(context, ht_t5_weight_map(context, &config, &map));
    assert_int_equal(ht_weight_map_check(&map, weights, NULL), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context),
                           "'encoder.block.2.layer.0.layer_norm.weight' (9 of 30 tensors"));
    ht_weight_map_clear(&map);
    config.num_layers = 2;
    config.d_ff = 65;
    ht_test_must(context, ht_t5_weight_map(context, &config, &map));
    assert_int_equal(ht_weight_map_check(&map, weights, NULL), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "expected f32 [65, 32]"));
    ht_weight_map_clear(&map);
    // fewer layers: the rest is left over
    config.d_ff = 64;
    config.num_layers = 1;
    uint32_t left_over;
    ht_test_must(context, ht_t5_weight_map(context, &config, &map));
    ht_test_must(context, ht_weight_map_check(&map, weights, &left_over));
    assert_int_equal(left_over, 9);
    ht_weight_map_clear(&map);
    ht_weights_destroy(&weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),       cmocka_unit_test(test_full_size),
        cmocka_unit_test(test_buckets),       cmocka_unit_test(test_weights),
        cmocka_unit_test(test_wrong_weights),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// CLIP's encoders against transformers: of texts the last and penultimate layer, pooled; of pictures the
// penultimate; weights, refusals.
#include "model_test.h"

#include "clip_vision.h"

#include <unistd.h>

#define TINY "tests/data/models/tiny-sd/text_encoder"
#define VISION "tests/data/models/tiny-wan-i2v/image_encoder"
#define PROCESSOR "tests/data/models/tiny-wan-i2v/image_processor"
#define PROJECTION "tests/data/models/tiny-xl/text_encoder_2"

static ht_clip_config config_of(ht_context *context, const char *folder) {
    ht_clip_config config;
    ht_test_must(context, ht_clip_config_read(context, folder, &config));
    return config;
}

static void compare(ht_tier tier, const char *folder, const char *golden, uint32_t skip,
                    bool final_norm, const char *want) {
    ht_test_net net;
    ht_test_net_open(&net, tier, folder, golden, false);
    ht_clip_config config = config_of(net.context, folder);
    ht_clip_inputs inputs = {.ids = ht_test_net_int_input(&net, "ids"),
                             .extra = HT_NO_VALUE,
                             .ends = ht_test_net_int_input(&net, "ends"),
                             .skip = skip,
                             .final_norm = final_norm};
    ht_clip_outputs out = ht_clip_build(net.graph, &config, net.weights, &inputs);
    ht_tensor *hidden = ht_test_net_output(&net, out.hidden);
    ht_tensor *pooled = ht_test_net_output(&net, out.pooled);
    ht_test_net_run(&net);
    ht_test_net_expect(&net, hidden, want, false);
    ht_test_net_expect(&net, pooled, "pooled", false);
    ht_test_net_close(&net);
}

static void test_outputs(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(ht_test_tiers); ++i) {
        ht_tier tier = ht_test_tiers[i];
        if (!ht_test_context(tier)) {
            continue;
        }
        compare(tier, TINY, "clip_tiny", 0, true, "hidden.last");
        compare(tier, TINY, "clip_tiny", 1, false, "hidden.penultimate");
        compare(tier, TINY, "clip_tiny", 1, true, "hidden.penultimate_normed");
        compare(tier, PROJECTION, "clip_projection", 0, true, "hidden.last");
        compare(tier, PROJECTION, "clip_projection", 1, false, "hidden.penultimate");
    }
}

// CLIP-L, and bigG where there is a second encoder, once on demand: see ht_test_fullsize.
static void test_full_size(void **state) {
    (void)state;
    char folder[512], golden[512];
    ht_test_fullsize("text_encoder", "golden_clip", folder, golden);
    compare(HT_TIER_AUTO, folder, golden, 0, true, "hidden.last");
    compare(HT_TIER_AUTO, folder, golden, 1, false, "hidden.penultimate");
    ht_test_fullsize("text_encoder_2", "golden_clip_2", folder, golden);
    if (!access(folder, F_OK)) {
        compare(HT_TIER_AUTO, folder, golden, 0, true, "hidden.last");
        compare(HT_TIER_AUTO, folder, golden, 1, false, "hidden.penultimate");
    }
}

static void test_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weight_map map;
    ht_clip_config config = config_of(context, TINY);
    ht_test_must(context, ht_clip_weight_map(context, &config, &map));
    ht_test_full_map(context, &map, TINY, 4 + 3 * 16);
    config = config_of(context, PROJECTION);
    assert_int_equal(config.projection, 24);
    ht_test_must(context, ht_clip_weight_map(context, &config, &map));
    ht_test_full_map(context, &map, PROJECTION, 5 + 3 * 16);
    // Published size of CLIP-L.
    ht_clip_config large = {.layers = 12};
    ht_test_must(context, ht_clip_weight_map(context, &large, &map));
    assert_int_equal(map.count, 196);
    ht_weight_map_clear(&map);
}

static void test_refusals(void **state) {
    (void)state;
    ht_test_net net;
    ht_test_net_open(&net, HT_TIER_AUTO, TINY, "clip_tiny", false);
    ht_clip_config config = config_of(net.context, TINY);
    config.positions = 19;
    ht_clip_inputs inputs = {.ids = ht_test_net_int_input(&net, "ids"),
                             .ends = HT_NO_VALUE,
                             .extra = HT_NO_VALUE};
    ht_clip_build(net.graph, &config, net.weights, &inputs);
    assert_int_equal(ht_graph_status(net.graph), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(net.context), "20 tokens of 19"));
    ht_test_net_close(&net);
    assert_int_equal(
        ht_clip_config_read(net.context, "tests/data/models/tiny-pixart/text_encoder", &config),
        HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(net.context), "T5EncoderModel"));
}

static void test_vision(void **state) {
    (void)state;
    ht_test_net net;
    ht_clip_vision_config config;
    ht_weight_map map;
    ht_test_net_open(&net, HT_TIER_AUTO, VISION, "clip_vision_tiny", false);
    ht_test_must(net.context, ht_clip_vision_config_read(net.context, VISION, PROCESSOR, &config));
    assert_true(config.edge == 16 && config.patch == 4 && config.deviation[2] == 0.27577711f);
    ht_value pixels = ht_test_net_input(&net, "pixels", true);
    ht_tensor *hidden =
        ht_test_net_output(&net, ht_clip_vision_build(net.graph, &config, net.weights, pixels));
    ht_test_net_run(&net);
    ht_test_net_expect(&net, hidden, "hidden", false);
    ht_test_must(net.context, ht_clip_vision_weight_map(net.context, &config, &map));
    ht_test_full_map(net.context, &map, VISION, 7 + 3 * 16);
    // ViT-H, as Wan has it.
    config = (ht_clip_vision_config){
        .layers = {.width = 1280, .intermediate = 5120, .layers = 32, .heads = 16},
        .edge = 224,
        .patch = 14};
    uint64_t parameters = 0;
    ht_test_must(net.context, ht_clip_vision_weight_map(net.context, &config, &map));
    for (uint32_t i = 0; i < map.count; ++i) {
        uint64_t count = 1;
        for (uint32_t d = 0; d < map.entries[i].rank; ++d) {
            count *= map.entries[i].dims[d];
        }
        parameters += count;
    }
    assert_true(parameters == 630766080);
    assert_string_equal(map.entries[0].name, "vision_model.embeddings.class_embedding");
    ht_weight_map_clear(&map);
    assert_int_equal(ht_clip_vision_config_read(net.context, TINY, NULL, &config),
                     HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(net.context), "supported: CLIPVisionModel"));
    ht_test_net_close(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs), cmocka_unit_test(test_full_size),
        cmocka_unit_test(test_weights), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_vision),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

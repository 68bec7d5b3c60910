// UNets against diffusers: SD, SDXL's added conditions, LCM's guidance embedding, inpainting.
#include "model_test.h"

#include "unet.h"

#define FOLDER(name) "tests/data/models/" name "/unet"

static ht_unet_config config_of(ht_context *context, const char *folder) {
    ht_unet_config config;
    ht_test_must(context, ht_unet_config_read(context, folder, &config));
    return config;
}

// The golden time step, once for each of `count` items.
static ht_value timesteps(ht_test_net *net, uint32_t count) {
    ht_tensor_desc desc;
    float *golden = ht_test_golden_read(&net->golden, "timestep", &desc);
    const float values[2] = {golden[0], golden[0]};
    free(golden);
    assert_true(count <= HT_COUNT(values));
    desc = (ht_tensor_desc){.format = HT_FORMAT_F32, .rank = 1, .dims = {count}};
    return ht_test_net_values(net, desc, values);
}

static ht_value table_of(ht_test_net *net, const ht_unet_config *c) {
    ht_unet_conditions conditions = {.timesteps = timesteps(net, c->time_ids_dim > 0 ? 2 : 1),
                                     .guidance = HT_NO_VALUE,
                                     .pooled = HT_NO_VALUE,
                                     .time_ids = HT_NO_VALUE};
    if (c->guidance_dim > 0) {
        conditions.guidance = ht_test_net_input(net, "guidance", false);
    }
    if (c->time_ids_dim > 0) {
        conditions.pooled = ht_test_net_input(net, "pooled", false);
        conditions.time_ids = ht_op_reshape(
            net->graph, ht_test_net_input(net, "time_ids", false), 1, (uint32_t[]){12});
    }
    return ht_unet_time(net->graph, c, net->weights, &conditions);
}

static ht_tensor *build(ht_test_net *net, const char *folder) {
    ht_unet_config config = config_of(net->context, folder);
    ht_value keys[HT_UNET_MAX_LAYERS], values[HT_UNET_MAX_LAYERS];
    ht_unet_context(net->graph, &config, net->weights, ht_test_net_input(net, "encoder", false),
                    keys, values);
    uint32_t count = config.time_ids_dim > 0 ? 2 : 1;
    ht_tensor *step = ht_test_net_tensor(
        net, (ht_tensor_desc){.format = HT_FORMAT_I32, .rank = 1, .dims = {count}});
    ht_test_must(net->context, ht_tensor_write(step, (int32_t[]){0, 1}, count * sizeof(int32_t)));
    ht_unet_inputs inputs = {
        .latent = ht_test_net_input(net, "latent", true),
        .table = table_of(net, &config),
        .step = ht_graph_tensor(net->graph, step),
        .keys = keys,
        .values = values,
    };
    return ht_test_net_output(net, ht_unet_step(net->graph, &config, net->weights, &inputs));
}

static void compare(ht_tier tier, const char *folder, const char *golden, ht_format activations) {
    ht_test_net net;
    ht_test_net_open_as(&net, tier, folder, golden, false, activations);
    ht_tensor *out = build(&net, folder);
    ht_test_net_run(&net);
    ht_test_net_expect(&net, out, "output", true);
    ht_test_net_close(&net);
}

static void test_outputs(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(ht_test_tiers); ++i) {
        ht_tier tier = ht_test_tiers[i];
        if (!ht_test_context(tier)) {
            continue;
        }
        compare(tier, FOLDER("tiny-sd"), "unet_tiny", HT_FORMAT_F32);
        compare(tier, FOLDER("tiny-sd"), "unet_tiny", HT_FORMAT_F16);
        compare(tier, FOLDER("tiny-xl"), "unet_xl", HT_FORMAT_F32);
        compare(tier, FOLDER("tiny-unet-lcm"), "unet_lcm", HT_FORMAT_F32);
        compare(tier, FOLDER("tiny-unet-inpaint"), "unet_inpaint", HT_FORMAT_F32);
    }
}

// SD 1.5 or XL, once on demand: see ht_test_fullsize.
static void test_full_size(void **state) {
    (void)state;
    char folder[512], golden[512];
    ht_test_fullsize("unet", "golden_unet", folder, golden);
    compare(HT_TIER_AUTO, folder, golden, HT_FORMAT_F32);
    compare(HT_TIER_AUTO, folder, golden, HT_FORMAT_F16);
}

static void test_every_node(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(ht_test_tiers); ++i) {
        ht_test_net net;
        uint32_t nodes = 0;
        if (!ht_test_context(ht_test_tiers[i])) {
            continue;
        }
        ht_test_net_open(&net, ht_test_tiers[i], FOLDER("tiny-xl"), "unet_xl", true);
        build(&net, FOLDER("tiny-xl"));
        ht_test_must(net.context, ht_graph_finish(net.graph));
        ht_test_must(net.context, ht_graph_check(net.graph, ht_test_expect_node, &nodes));
        assert_true(nodes > 100);
        ht_test_net_close(&net);
    }
}

static void test_weights(void **state) {
    (void)state;
    static const struct {
        const char *folder;
        uint32_t count;
    } rows[] = {{FOLDER("tiny-sd"), 304},
                {FOLDER("tiny-xl"), 428},
                {FOLDER("tiny-unet-lcm"), 305},
                {FOLDER("tiny-unet-inpaint"), 0}};
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weight_map map;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_unet_config config = config_of(context, rows[i].folder);
        ht_test_must(context, ht_unet_weight_map(context, &config, &map));
        ht_test_full_map(context, &map, rows[i].folder, rows[i].count ? rows[i].count : map.count);
    }
    // Published sizes: SD 1.5 and SDXL.
    ht_unet_config sd = {.out_channels = 4,
                         .levels = 4,
                         .channels = {320, 640, 1280, 1280},
                         .heads = {8, 8, 8, 8},
                         .depth = {1, 1, 1, 1},
                         .down_attention = {true, true, true, false},
                         .up_attention = {false, true, true, true},
                         .layers_per_block = 2,
                         .mid_block = true};
    ht_test_must(context, ht_unet_weight_map(context, &sd, &map));
    assert_int_equal(map.count, 686);
    ht_weight_map_clear(&map);
    ht_unet_config xl = {.out_channels = 4,
                         .levels = 3,
                         .channels = {320, 640, 1280},
                         .heads = {5, 10, 20},
                         .depth = {1, 2, 10},
                         .down_attention = {false, true, true},
                         .up_attention = {true, true, false},
                         .layers_per_block = 2,
                         .mid_block = true,
                         .time_ids_dim = 256,
                         .added_dim = 2816};
    ht_test_must(context, ht_unet_weight_map(context, &xl, &map));
    assert_int_equal(map.count, 1680);
    ht_weight_map_clear(&map);
    ht_unet_plan *plan = malloc(sizeof(*plan));
    ht_unet_plan_make(&xl, plan);
    assert_int_equal(plan->layers, 70);
    assert_int_equal(ht_unet_layer_width(plan, 0), 640);
    assert_int_equal(ht_unet_layer_width(plan, 69), 640);
    assert_int_equal(ht_unet_layer_width(plan, 30), 1280);
    free(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_full_size),
        cmocka_unit_test(test_every_node),
        cmocka_unit_test(test_weights),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// ControlNets against diffusers: what they add, and the UNet with it.
#include "model_test.h"

#include "controlnet.h"

#define CONTROL(name) "tests/data/models/tiny-control/" name
#define UNET(name) "tests/data/models/" name "/unet"

typedef struct pair {
    ht_test_net net; // of the ControlNet; the UNet is in the same graph
    ht_weights *unet_weights;
    ht_unet_config unet;
    ht_controlnet_config control;
    ht_tensor *residuals[HT_CONTROLNET_MAX_RESIDUALS], *out;
    uint32_t count;
} pair;

static ht_value table_of(pair *p, const ht_unet_config *c, ht_weights *weights) {
    ht_graph *g = p->net.graph;
    ht_unet_conditions conditions = {.timesteps = ht_test_net_input(&p->net, "timestep", false),
                                     .guidance = HT_NO_VALUE,
                                     .pooled = HT_NO_VALUE,
                                     .time_ids = HT_NO_VALUE};
    if (c->time_ids_dim > 0) {
        conditions.timesteps = ht_op_concat(g, conditions.timesteps, conditions.timesteps, 0);
        conditions.pooled = ht_test_net_input(&p->net, "pooled", false);
        conditions.time_ids =
            ht_op_reshape(g, ht_test_net_input(&p->net, "time_ids", false), 1, (uint32_t[]){12});
    }
    return ht_unet_time(g, c, weights, &conditions);
}

static void build(pair *p) {
    ht_test_net *net = &p->net;
    ht_graph *g = net->graph;
    ht_value keys[HT_UNET_MAX_LAYERS], values[HT_UNET_MAX_LAYERS];
    ht_value residuals[HT_CONTROLNET_MAX_RESIDUALS];
    ht_value text = ht_test_net_input(net, "encoder", false);
    uint32_t items = p->unet.time_ids_dim > 0 ? 2 : 1;
    ht_tensor *step = ht_test_net_tensor(
        net, (ht_tensor_desc){.format = HT_FORMAT_I32, .rank = 1, .dims = {items}});
    ht_test_must(net->context, ht_tensor_write(step, (int32_t[]){0, 1}, items * sizeof(int32_t)));
    ht_unet_inputs inputs = {.latent = ht_test_net_input(net, "latent", true),
                             .step = ht_graph_tensor(g, step),
                             .keys = keys,
                             .values = values};
    ht_value hint =
        ht_controlnet_hint(g, &p->control, net->weights, ht_test_net_input(net, "picture", true));
    inputs.table = table_of(p, &p->control.net, net->weights);
    ht_unet_context(g, &p->control.net, net->weights, text, keys, values);
    p->count = ht_controlnet_step(g, &p->control, net->weights, &inputs, hint, 0.7f, residuals);
    for (uint32_t i = 0; i < p->count; ++i) {
        p->residuals[i] = ht_test_net_output(net, residuals[i]);
    }
    inputs.table = table_of(p, &p->unet, p->unet_weights);
    ht_unet_context(g, &p->unet, p->unet_weights, text, keys, values);
    inputs.control = residuals;
    p->out = ht_test_net_output(net, ht_unet_step(g, &p->unet, p->unet_weights, &inputs));
}

static void open_pair(pair *p, ht_tier tier, const char *control, const char *unet,
                      const char *golden, bool keep) {
    *p = (pair){0};
    ht_test_net_open(&p->net, tier, control, golden, keep);
    ht_context *context = p->net.context;
    ht_test_must(context,
                 ht_weights_open(context, &(ht_weights_desc){.path = unet}, &p->unet_weights));
    ht_test_must(context, ht_unet_config_read(context, unet, &p->unet));
    ht_test_must(context, ht_controlnet_config_read(context, control, p->net.weights, &p->unet,
                                                    &p->control));
    build(p);
}

static void close_pair(pair *p) {
    ht_graph_destroy(&p->net.graph);
    ht_weights_destroy(&p->unet_weights);
    ht_test_net_close(&p->net);
}

static void compare(ht_tier tier, const char *control, const char *unet, const char *golden) {
    pair p;
    open_pair(&p, tier, control, unet, golden, false);
    ht_test_net_run(&p.net);
    assert_int_equal(p.count, 7);
    for (uint32_t i = 0; i < p.count; ++i) {
        char name[32];
        snprintf(name, sizeof(name), "residual.%u", i);
        ht_test_net_expect(&p.net, p.residuals[i], name, true);
    }
    ht_test_net_expect(&p.net, p.out, "output", true);
    close_pair(&p);
}

static void test_outputs(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(ht_test_tiers); ++i) {
        if (ht_test_context(ht_test_tiers[i])) {
            compare(ht_test_tiers[i], CONTROL("sd"), UNET("tiny-sd"), "controlnet_sd");
            compare(ht_test_tiers[i], CONTROL("xl"), UNET("tiny-xl"), "controlnet_xl");
        }
    }
}

static void test_every_node(void **state) {
    (void)state;
    pair p;
    uint32_t nodes = 0;
    open_pair(&p, HT_TIER_AUTO, CONTROL("xl"), UNET("tiny-xl"), "controlnet_xl", true);
    ht_test_must(p.net.context, ht_graph_finish(p.net.graph));
    ht_test_must(p.net.context, ht_graph_check(p.net.graph, ht_test_expect_node, &nodes));
    assert_true(nodes > 200);
    close_pair(&p);
}

static ht_unet_config unet_of(const char *folder) {
    ht_unet_config unet;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_test_must(context, ht_unet_config_read(context, folder, &unet));
    return unet;
}

static ht_status read_config(const char *path, const ht_unet_config *unet,
                             ht_controlnet_config *out) {
    ht_weights *weights;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights));
    ht_status status = ht_controlnet_config_read(context, path, weights, unet, out);
    ht_weights_destroy(&weights);
    return status;
}

static void test_weights(void **state) {
    (void)state;
    static const char *const rows[][2] = {{CONTROL("sd"), UNET("tiny-sd")},
                                          {CONTROL("xl"), UNET("tiny-xl")}};
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_controlnet_config config;
        ht_weight_map map;
        ht_unet_config unet = unet_of(rows[i][1]);
        ht_test_must(context, read_config(rows[i][0], &unet, &config));
        ht_test_must(context, ht_controlnet_weight_map(context, &config, &map));
        ht_test_full_map(context, &map, rows[i][0], map.count);
    }
    // Published size: for SD 1.5.
    ht_controlnet_config sd = {.hints = 4,
                               .hint_channels = {16, 32, 96, 256},
                               .net = {.levels = 4,
                                       .channels = {320, 640, 1280, 1280},
                                       .heads = {8, 8, 8, 8},
                                       .depth = {1, 1, 1, 1},
                                       .down_attention = {true, true, true, false},
                                       .layers_per_block = 2,
                                       .mid_block = true,
                                       .control = true}};
    ht_weight_map map;
    ht_test_must(context, ht_controlnet_weight_map(context, &sd, &map));
    assert_int_equal(map.count, 340);
    ht_weight_map_clear(&map);
}

static void expect_refusal(const char *path, const ht_unet_config *unet, const char *part) {
    ht_controlnet_config config;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    assert_true(read_config(path, unet, &config) != HT_OK);
    if (!strstr(ht_context_message(context), part)) {
        fail_msg("'%s' without '%s'", ht_context_message(context), part);
    }
}

static void test_refusals(void **state) {
    (void)state;
    ht_unet_config sd = unet_of(UNET("tiny-sd")), xl = unet_of(UNET("tiny-xl"));
    expect_refusal(
        CONTROL("sd"), &xl,
        "is a ControlNet for another model: its width of the text is 32, the model's 56");
    ht_unet_config other = sd;
    other.channels[1] = 24;
    expect_refusal(CONTROL("sd"), &other, "number of channels of level 1 is 16, the model's 24");
    expect_refusal(UNET("tiny-sd"), &sd, "\"_class_name\" is 'UNet2DConditionModel'");
    expect_refusal(UNET("tiny-sd") "/diffusion_pytorch_model.safetensors", &sd,
                   "is not a ControlNet: it has no tensor");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_every_node),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_refusals),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

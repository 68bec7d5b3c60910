// AutoencoderKL against diffusers: decode, encode, old names, no quant convolutions, weights.
#include "model_test.h"

#include "autoencoder_kl.h"

#define FOLDER(name) "tests/data/models/" name "/vae"

typedef struct row {
    const char *folder, *golden;
    uint32_t tensors;
} row;

static const row rows[] = {
    {FOLDER("tiny-pixart"), "vae_tiny", 124},
    {FOLDER("tiny-vae-noquant"), "vae_noquant", 120},
    {FOLDER("tiny-vae-3level"), "vae_3level", 200},
};

static ht_vae_config config_of(ht_context *context, const char *folder) {
    ht_vae_config config;
    ht_test_must(context, ht_vae_config_read(context, folder, &config));
    return config;
}

static void check_decode(ht_tier tier, const row *r) {
    ht_test_net net;
    ht_test_net_open(&net, tier, r->folder, r->golden, false);
    ht_vae_config config = config_of(net.context, r->folder);
    ht_value z = ht_test_net_input(&net, "latent", true);
    ht_value picture = ht_vae_decode(net.graph, &config, net.weights, z);
    ht_tensor *out = ht_test_net_output(&net, picture);
    ht_test_net_run(&net);
    ht_test_net_expect(&net, out, "decoded", true);
    ht_test_net_close(&net);
}

static float *channel_half(const float *moments, size_t positions, uint32_t channels, bool second) {
    float *half = malloc(positions * channels * sizeof(*half));
    for (size_t i = 0; i < positions; ++i) {
        for (uint32_t c = 0; c < channels; ++c) {
            half[i * channels + c] = moments[i * 2 * channels + c + (second ? channels : 0)];
        }
    }
    return half;
}

static void expect_half(ht_test_net *net, const float *moments, const char *name, bool second) {
    ht_tensor_desc desc;
    float *want = ht_test_golden_read_nhwc(&net->golden, name, &desc);
    size_t count = ht_desc_count(&desc);
    float *got = channel_half(moments, count / desc.dims[3], desc.dims[3], second);
    for (size_t i = 0; i < count && second; ++i) { // as the distribution clamps it
        got[i] = got[i] < -30 ? -30 : got[i] > 20 ? 20 : got[i];
    }
    ht_test_assert_close(name, got, want, count, HT_TEST_NETWORK_BOUND);
    free(got);
    free(want);
}

static void check_encode(ht_tier tier, const row *r) {
    ht_test_net net;
    ht_test_net_open(&net, tier, r->folder, r->golden, false);
    ht_vae_config config = config_of(net.context, r->folder);
    ht_value picture = ht_test_net_input(&net, "image", true);
    ht_value z = ht_vae_encode(net.graph, &config, net.weights, picture);
    ht_tensor *out = ht_test_net_output(&net, z);
    ht_test_net_run(&net);
    size_t count = ht_desc_count(ht_tensor_get_desc(out));
    float *moments = malloc(count * sizeof(*moments));
    ht_test_must(net.context, ht_tensor_read_f32(out, moments, count));
    expect_half(&net, moments, "mean", false);
    expect_half(&net, moments, "logvar", true);
    free(moments);
    ht_test_net_close(&net);
}

static void test_outputs(void **state) {
    (void)state;
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        for (size_t i = 0; i < HT_COUNT(rows) && ht_test_context(ht_test_tiers[t]); ++i) {
            check_decode(ht_test_tiers[t], &rows[i]);
            check_encode(ht_test_tiers[t], &rows[i]);
        }
    }
}

// The decoder of SD 1.5 or XL, once on demand: see ht_test_fullsize.
static void test_full_size(void **state) {
    (void)state;
    char folder[512], golden[512];
    ht_test_fullsize("vae", "golden_vae", folder, golden);
    check_decode(HT_TIER_AUTO, &(row){.folder = folder, .golden = golden});
}

static void test_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weight_map map;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_vae_config config = config_of(context, rows[i].folder);
        ht_test_must(context, ht_vae_weight_map(context, &config, HT_VAE_BOTH, &map));
        ht_test_full_map(context, &map, rows[i].folder, rows[i].tensors);
    }
    // Published size of Stable Diffusion's.
    ht_vae_config sd = {.levels = 4,
                        .channels = {128, 256, 512, 512},
                        .layers_per_block = 2,
                        .latent_channels = 4,
                        .groups = 32,
                        .quant_conv = true,
                        .post_quant_conv = true,
                        .mid_attention = true,
                        .in_channels = 3,
                        .out_channels = 3};
    uint64_t parameters = 0;
    ht_test_must(context, ht_vae_weight_map(context, &sd, HT_VAE_BOTH, &map));
    assert_int_equal(map.count, 248);
    for (uint32_t i = 0; i < map.count; ++i) {
        uint64_t count = 1;
        for (uint32_t d = 0; d < map.entries[i].rank; ++d) {
            count *= map.entries[i].dims[d];
        }
        parameters += count;
    }
    assert_int_equal(parameters, 83653863);
    ht_weight_map_clear(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_full_size),
        cmocka_unit_test(test_weights),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// AutoencoderTiny against diffusers: decode, encode, its author's names, weights; TAEHV, piece by piece.
#include "model_test.h"

#include "autoencoder_taehv.h"
#include "autoencoder_tiny.h"
#include "common/ldm.h"

#define ROOT "tests/data/models/tiny-taesd/"

static ht_vae_config config_of(ht_context *context) {
    ht_vae_config config;
    ht_test_must(context, ht_vae_config_read(context, ROOT "vae", &config));
    return config;
}

static void check(ht_tier tier, bool encoder) {
    ht_test_net net;
    ht_test_net_open(&net, tier, ROOT "vae", "taesd", false);
    ht_vae_config config = config_of(net.context);
    ht_value in = ht_test_net_input(&net, encoder ? "image" : "clamped", true);
    ht_value y = encoder ? ht_vae_encode(net.graph, &config, net.weights, in)
                         : ht_vae_decode(net.graph, &config, net.weights, in);
    ht_tensor *out = ht_test_net_output(&net, y);
    ht_test_net_run(&net);
    ht_test_net_expect(&net, out, encoder ? "encoded" : "decoded", true);
    ht_test_net_close(&net);
}

static void test_outputs(void **state) {
    (void)state;
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        if (ht_test_context(ht_test_tiers[t])) {
            check(ht_test_tiers[t], false);
            check(ht_test_tiers[t], true);
        }
    }
}

static void test_clamp(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "taesd");
    float *z = ht_test_golden_read(&golden, "latent", &desc);
    float *want = ht_test_golden_read(&golden, "clamped", &desc);
    ht_tiny_clamp(z, ht_desc_count(&desc));
    ht_test_assert_close("clamped", z, want, ht_desc_count(&desc), 1e-6);
    free(z);
    free(want);
    ht_test_golden_close(&golden);
}

static void check_half(const char *file, const ht_vae_config *whole, uint32_t missing) {
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weights *weights, *folder;
    ht_vae_config found;
    ht_ldm_names names;
    ht_weight_map map;
    uint32_t left_over = 1, decoder = missing == HT_VAE_ENCODER;
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = file}, &weights));
    ht_test_must(context,
                 ht_weights_open(context, &(ht_weights_desc){.path = ROOT "vae"}, &folder));
    assert_true(ht_tiny_config_find(weights, &found));
    assert_int_equal(found.missing, missing);
    assert_int_equal(found.levels, whole->levels);
    assert_int_equal(found.channels[0], whole->channels[0]);
    assert_int_equal(found.latent_channels, whole->latent_channels);
    assert_memory_equal(decoder ? found.decoder_blocks : found.encoder_blocks,
                        decoder ? whole->decoder_blocks : whole->encoder_blocks,
                        sizeof(found.decoder_blocks));
    ht_test_must(context, ht_vae_weight_map(context, &found, HT_VAE_BOTH, &map));
    assert_true(ht_ldm_recognise(weights, HT_LDM_TINY, &names));
    ht_test_must(context, ht_ldm_view(weights, &names, &map, &left_over));
    assert_int_equal(left_over, 0);
    for (uint32_t i = 0; i < map.count; ++i) { // each is the folder's tensor of that name
        const ht_weight_info *a = ht_weights_find(weights, map.entries[i].name);
        const ht_weight_info *b = ht_weights_find(folder, map.entries[i].name);
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal(a->bytes, b->bytes);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    ht_weight_map_clear(&map);
    ht_weights_destroy(&folder);
    ht_weights_destroy(&weights);
}

static void test_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_vae_config config = config_of(context), found;
    ht_weights *weights;
    ht_weight_map map;
    ht_test_must(context, ht_vae_weight_map(context, &config, HT_VAE_BOTH, &map));
    ht_test_full_map(context, &map, ROOT "vae", 46);
    check_half(ROOT "taesd_decoder.safetensors", &config, HT_VAE_ENCODER);
    check_half(ROOT "taesd_encoder.safetensors", &config, HT_VAE_DECODER);
    // The shapes of the folder say what its config.json does.
    ht_test_must(context,
                 ht_weights_open(context, &(ht_weights_desc){.path = ROOT "vae"}, &weights));
    assert_true(ht_tiny_config_find(weights, &found));
    assert_memory_equal(&found, &config, sizeof(found));
    ht_weights_destroy(&weights);
    const char *other = "tests/data/models/tiny-sd/vae";
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = other}, &weights));
    assert_false(ht_tiny_config_find(weights, &found));
    ht_weights_destroy(&weights);
    // Published size of TAESD.
    ht_vae_config taesd = {.tiny = true,
                           .in_channels = 3,
                           .out_channels = 3,
                           .levels = 4,
                           .channels = {64},
                           .latent_channels = 4,
                           .encoder_blocks = {1, 3, 3, 3},
                           .decoder_blocks = {3, 3, 3, 1}};
    uint64_t parameters = 0;
    ht_test_must(context, ht_vae_weight_map(context, &taesd, HT_VAE_BOTH, &map));
    for (uint32_t i = 0; i < map.count; ++i) {
        uint64_t count = 1;
        for (uint32_t d = 0; d < map.entries[i].rank; ++d) {
            count *= map.entries[i].dims[d];
        }
        parameters += count;
    }
    assert_int_equal(parameters, 2445063);
    ht_weight_map_clear(&map);
}

#define CLIPS "tests/data/models/tiny-taehv/taehv.safetensors"

// One of its two graphs, over one latent frame.
static void clip_piece(ht_test_net *net, const ht_vae_config *c, ht_clip_memory *memory,
                       const ht_tensor_desc *z, bool first, ht_graph **graph, ht_tensor *io[2]) {
    ht_tensor_desc desc = *z;
    desc.dims[0] = 1;
    io[0] = ht_test_net_tensor(net, desc);
    desc.dims[0] = first ? 1 : HT_CLIP_TIMES;
    desc.dims[1] *= 8;
    desc.dims[2] *= 8;
    desc.dims[3] = 3;
    io[1] = ht_test_net_tensor(net, desc);
    ht_test_must(
        net->context,
        ht_graph_create(net->context, &(ht_graph_desc){.activations = HT_FORMAT_F32}, graph));
    ht_value x = ht_graph_tensor(*graph, io[0]);
    ht_graph_output(*graph, ht_taehv_decode(*graph, c, net->weights, x, memory, first), io[1]);
    ht_test_must(net->context, ht_graph_finish(*graph));
}

static void test_clips(void **state) {
    (void)state;
    static const char *const names[][2] = {{"z.3", "decoded.3"}, {"z.1", "decoded.1"}};
    ht_test_net net;
    ht_vae_config c;
    ht_clip_memory memory = {0};
    ht_graph *graphs[2];
    ht_tensor *io[2][2];
    ht_weight_map map;
    ht_test_net_open(&net, HT_TIER_AUTO, CLIPS, "taehv", false);
    assert_true(ht_taehv_config_find(net.weights, &c));
    assert_true(c.latent_channels == 4 && c.channels[3] == 16 && c.channels[0] == 8);
    ht_test_must(net.context, ht_vae_weight_map(net.context, &c, HT_VAE_DECODER, &map));
    ht_test_full_map(net.context, &map, CLIPS, 4 + 3 * (3 * 6 + 2));
    for (size_t i = 0; i < HT_COUNT(names); ++i) { // nothing is left of the clip before
        ht_tensor_desc in, out;
        float *z = ht_test_golden_read_nhwc(&net.golden, names[i][0], &in);
        float *want = ht_test_golden_read_nhwc(&net.golden, names[i][1], &out);
        const size_t piece = ht_desc_count(&in) / in.dims[0];
        const size_t frame = ht_desc_count(&out) / out.dims[0];
        float *got = malloc(ht_desc_bytes(&out)), *next = got;
        ht_tiny_clamp(z, ht_desc_count(&in));
        for (uint32_t n = 0; i == 0 && n < 2; ++n) {
            clip_piece(&net, &c, &memory, &in, n == 0, &graphs[n], io[n]);
        }
        ht_test_must(net.context, ht_clip_memory_restart(&memory));
        for (uint32_t n = 0; n < in.dims[0]; ++n) {
            const uint32_t frames = n > 0 ? HT_CLIP_TIMES : 1;
            ht_tensor **use = io[n > 0];
            ht_test_must(net.context, ht_tensor_write_f32(use[0], z + n * piece, piece));
            ht_test_must(net.context, ht_graph_run(graphs[n > 0]));
            ht_test_must(net.context, ht_tensor_read_f32(use[1], next, frames * frame));
            next += frames * frame;
        }
        for (size_t k = 0; k < ht_desc_count(&out); ++k) {
            got[k] = got[k] * 0.5f + 0.5f;
        }
        ht_test_assert_close(names[i][1], got, want, ht_desc_count(&out), HT_TEST_NETWORK_BOUND);
        free(z);
        free(want);
        free(got);
    }
    ht_graph_destroy(&graphs[0]);
    ht_graph_destroy(&graphs[1]);
    ht_clip_memory_release(&memory);
    ht_test_net_close(&net);
}

// The published one: 9,844,611 parameters.
static void test_published_clips(void **state) {
    (void)state;
    const ht_vae_config c = {.tiny = true,
                             .video = true,
                             .latent_channels = 16,
                             .levels = 4,
                             .channels = {64, 64, 128, 256}};
    ht_weight_map map;
    uint64_t parameters = 0;
    ht_test_must(ht_test_context(HT_TIER_AUTO),
                 ht_vae_weight_map(ht_test_context(HT_TIER_AUTO), &c, HT_VAE_DECODER, &map));
    for (uint32_t i = 0; i < map.count; ++i) {
        uint64_t count = 1;
        for (uint32_t d = 0; d < map.entries[i].rank; ++d) {
            count *= map.entries[i].dims[d];
        }
        parameters += count;
    }
    assert_true(parameters == 9844611);
    ht_weight_map_clear(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clips),   cmocka_unit_test(test_published_clips),
        cmocka_unit_test(test_outputs), cmocka_unit_test(test_clamp),
        cmocka_unit_test(test_weights),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

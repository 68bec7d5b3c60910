// AutoencoderKLWan against diffusers: clips of several lengths piece by piece, both ways; weights.
#include "model_test.h"

#include "autoencoder_wan.h"

#define FOLDER(name) "tests/data/models/" name "/vae"

typedef struct row {
    const char *folder, *golden;
    uint32_t tensors;
} row;

static const row rows[] = {{FOLDER("tiny-wan"), "wan_vae", 146},
                           {FOLDER("tiny-wan-vae"), "wan_vae_other", 158}};
static const uint32_t lengths[] = {1, 5, 13};

// One of the two graphs of a half.
typedef struct piece {
    ht_graph *graph;
    ht_tensor *in, *out;
    uint32_t frames_in, frames_out;
} piece;

typedef struct half {
    ht_test_net net;
    ht_vae_config config;
    bool encoder;
    ht_clip_memory memory;
    piece pieces[2]; // the first of a clip, and the others
} half;

static ht_tensor *make_tensor(half *h, ht_tensor_desc desc) {
    ht_tensor *tensor;
    desc.format = HT_FORMAT_F32;
    desc.label = "piece";
    ht_test_must(h->net.context, ht_tensor_create(h->net.context, &desc, &tensor));
    return tensor;
}

static void build(half *h, piece *p, const ht_tensor_desc *item, bool first, bool keep) {
    ht_context *context = h->net.context;
    ht_tensor_desc in = *item;
    p->frames_in = in.dims[0] = h->encoder && !first ? HT_CLIP_TIMES : 1;
    p->in = make_tensor(h, in);
    ht_test_must(context, ht_graph_create(context,
                                          &(ht_graph_desc){.label = "piece",
                                                           .activations = HT_FORMAT_F32,
                                                           .keep_values = keep},
                                          &p->graph));
    ht_value x = ht_graph_tensor(p->graph, p->in);
    ht_value (*half_of)(ht_graph *, const ht_vae_config *, ht_weights *, ht_value, ht_clip_memory *,
                        uint32_t, bool) = h->encoder ? ht_wan_vae_encode : ht_wan_vae_decode;
    x = half_of(p->graph, &h->config, h->net.weights, x, &h->memory, HT_WAN_VAE_WHOLE, first);
    ht_test_must(context, ht_graph_status(p->graph));
    ht_tensor_desc out = ht_graph_value_desc(p->graph, x);
    p->frames_out = out.dims[0];
    p->out = make_tensor(h, out);
    ht_graph_output(p->graph, x, p->out);
    ht_test_must(context, ht_graph_finish(p->graph));
}

static void open_half(half *h, ht_tier tier, const row *r, bool encoder, bool keep) {
    *h = (half){.encoder = encoder};
    ht_tensor_desc item;
    ht_test_net_open(&h->net, tier, r->folder, r->golden, keep);
    ht_test_must(h->net.context, ht_vae_config_read(h->net.context, r->folder, &h->config));
    free(ht_test_golden_read_nhwc(&h->net.golden, encoder ? "clip.1" : "z.1", &item));
    build(h, &h->pieces[0], &item, true, keep);
    build(h, &h->pieces[1], &item, false, keep);
}

static void close_half(half *h) {
    for (int i = 0; i < 2; ++i) {
        ht_graph_destroy(&h->pieces[i].graph);
        ht_tensor_destroy(&h->pieces[i].in);
        ht_tensor_destroy(&h->pieces[i].out);
    }
    ht_clip_memory_release(&h->memory);
    ht_test_net_close(&h->net);
}

static size_t frame_values(const ht_tensor *tensor) {
    const ht_tensor_desc *desc = ht_tensor_get_desc(tensor);
    return ht_desc_count(desc) / desc->dims[0];
}

// All pieces of a clip, one after the other.
static float *run_clip(half *h, const float *in, uint32_t frames, size_t *count) {
    ht_context *context = h->net.context;
    size_t in_frame = frame_values(h->pieces[0].in), out_frame = frame_values(h->pieces[0].out);
    float *out = malloc((size_t)frames * HT_CLIP_TIMES * out_frame * sizeof(*out));
    uint32_t read = 0, written = 0;
    ht_test_must(context, ht_clip_memory_restart(&h->memory));
    while (read < frames) {
        piece *p = &h->pieces[read > 0];
        ht_test_must(context,
                     ht_tensor_write_f32(p->in, in + read * in_frame, p->frames_in * in_frame));
        ht_test_must(context, ht_graph_run(p->graph));
        ht_test_must(context, ht_tensor_read_f32(p->out, out + written * out_frame,
                                                 p->frames_out * out_frame));
        read += p->frames_in;
        written += p->frames_out;
    }
    *count = written * out_frame;
    return out;
}

static void check_half(ht_tier tier, const row *r, bool encoder) {
    half h;
    open_half(&h, tier, r, encoder, false);
    for (int again = 0; again < 2; ++again) { // nothing is left of the clip before
        for (size_t i = HT_COUNT(lengths); i-- > 0;) {
            char in_name[32], out_name[32];
            ht_tensor_desc in_desc, out_desc;
            snprintf(in_name, sizeof(in_name), encoder ? "clip.%u" : "z.%u", lengths[i]);
            snprintf(out_name, sizeof(out_name), encoder ? "moments.%u" : "decoded.%u", lengths[i]);
            float *in = ht_test_golden_read_nhwc(&h.net.golden, in_name, &in_desc);
            float *want = ht_test_golden_read_nhwc(&h.net.golden, out_name, &out_desc);
            size_t count;
            float *got = run_clip(&h, in, in_desc.dims[0], &count);
            assert_int_equal(count, ht_desc_count(&out_desc));
            ht_test_assert_close(out_name, got, want, count, HT_TEST_NETWORK_BOUND);
            free(got);
            free(in);
            free(want);
        }
    }
    close_half(&h);
}

static void test_clips(void **state) {
    (void)state;
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        for (size_t i = 0; i < HT_COUNT(rows) && ht_test_context(ht_test_tiers[t]); ++i) {
            check_half(ht_test_tiers[t], &rows[i], false);
            check_half(ht_test_tiers[t], &rows[i], true);
        }
    }
}

// Node by node, in a piece that has pieces before it.
static void test_every_node(void **state) {
    (void)state;
    for (int encoder = 0; encoder < 2; ++encoder) {
        half h;
        size_t count;
        uint32_t nodes = 0;
        ht_tensor_desc desc;
        open_half(&h, HT_TIER_AUTO, &rows[0], encoder, true);
        float *in = ht_test_golden_read_nhwc(&h.net.golden, encoder ? "clip.5" : "z.5", &desc);
        free(run_clip(&h, in, desc.dims[0], &count));
        ht_test_must(h.net.context, ht_graph_check(h.pieces[1].graph, ht_test_expect_node, &nodes));
        assert_true(nodes > 100);
        free(in);
        close_half(&h);
    }
}

static void test_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weight_map map;
    ht_vae_config config;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_test_must(context, ht_vae_config_read(context, rows[i].folder, &config));
        ht_test_must(context, ht_vae_weight_map(context, &config, HT_VAE_BOTH, &map));
        ht_test_full_map(context, &map, rows[i].folder, rows[i].tensors);
    }
    ht_test_must(context, ht_vae_config_read(context, rows[0].folder, &config));
    assert_int_equal(ht_vae_factor(&config), 8);
    assert_true(config.mean[3] == -0.4f && config.deviation[2] == 2.0f);
    assert_true(!config.halves_time[0] && config.halves_time[1] && config.halves_time[2]);
}

// The published VAE: 126,892,531 parameters in 194 tensors.
static void test_published(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_vae_config config = {.video = true,
                            .in_channels = 3,
                            .out_channels = 3,
                            .base_channels = 96,
                            .levels = 4,
                            .channels = {96, 192, 384, 384},
                            .layers_per_block = 2,
                            .latent_channels = 16,
                            .halves_time = {false, true, true}};
    ht_weight_map map;
    uint64_t parameters = 0;
    ht_test_must(context, ht_vae_weight_map(context, &config, HT_VAE_BOTH, &map));
    for (uint32_t i = 0; i < map.count; ++i) {
        uint64_t count = 1;
        for (uint32_t d = 0; d < map.entries[i].rank; ++d) {
            count *= map.entries[i].dims[d];
        }
        parameters += count;
    }
    assert_int_equal(map.count, 194);
    assert_true(parameters == 126892531);
    ht_weight_map_clear(&map);
}

// Device memory of both graphs of a half, or of some of its layers, beside its weights, in MiB.
static double planned(const char *folder, bool encoder, uint32_t pieces, uint32_t height,
                      uint32_t width) {
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_vae_config config;
    ht_weights *weights;
    ht_clip_memory memory = {0};
    ht_graph *graphs[2];
    ht_tensor *inputs[2];
    ht_memory_use use;
    uint64_t own, imported;
    ht_test_must(context, ht_vae_config_read(context, folder, &config));
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = folder}, &weights));
    ht_context_memory_restart(context);
    const bool inside = pieces != HT_WAN_VAE_WHOLE && (pieces == HT_WAN_VAE_LOCAL) != encoder;
    for (uint32_t i = 0; i < 2; ++i) { // the others of a clip last
        const bool frames = encoder && pieces != HT_WAN_VAE_GLOBAL;
        const uint32_t scale = frames ? 8 : 1;
        const ht_tensor_desc desc = {.format = HT_FORMAT_F32,
                                     .rank = 4,
                                     .dims = {frames && i == 1 ? HT_CLIP_TIMES : 1, height * scale,
                                              width * scale,
                                              inside   ? config.channels[config.levels - 1]
                                              : frames ? 3
                                                       : config.latent_channels},
                                     .label = "piece"};
        ht_test_must(context, ht_tensor_create(context, &desc, &inputs[i]));
        ht_test_must(
            context,
            ht_graph_create(context, &(ht_graph_desc){.activations = HT_FORMAT_F32}, &graphs[i]));
        ht_value x = ht_graph_tensor(graphs[i], inputs[i]);
        x = encoder ? ht_wan_vae_encode(graphs[i], &config, weights, x, &memory, pieces, i == 0)
                    : ht_wan_vae_decode(graphs[i], &config, weights, x, &memory, pieces, i == 0);
        ht_tensor_desc out_desc = ht_graph_value_desc(graphs[i], x);
        ht_tensor *out;
        ht_test_must(context, ht_graph_status(graphs[i]));
        out_desc.format = HT_FORMAT_F32;
        ht_test_must(context, ht_tensor_create(context, &out_desc, &out));
        ht_graph_output(graphs[i], x, out);
        ht_test_must(context, ht_graph_finish(graphs[i]));
        ht_tensor_destroy(&out);
    }
    ht_context_memory(context, &use);
    ht_weights_device_bytes(weights, &own, &imported);
    for (int i = 0; i < 2; ++i) {
        ht_graph_destroy(&graphs[i]);
        ht_tensor_destroy(&inputs[i]);
    }
    ht_clip_memory_release(&memory);
    ht_weights_destroy(&weights);
    return (double)(use.allocated_peak - own) / (1 << 20);
}

// The published VAE, on demand (HT_TEST_FULLSIZE, see tools/golden/make_fullsize_wan.py): what clips of
// 832 x 480 pixels ask for, whole and by tiles. Graphs are planned, not run.
static void test_memory(void **state) {
    (void)state;
    char folder[512], golden[512];
    ht_test_fullsize("wan_vae", "golden_wan", folder, golden);
    for (int encoder = 0; encoder < 2; ++encoder) {
        print_message("%s: whole %.0f MiB, in tiles", encoder ? "encoder" : "decoder",
                      planned(folder, encoder, HT_WAN_VAE_WHOLE, 60, 104));
        for (uint32_t edge = 32; edge <= 96; edge += 32) {
            print_message(" of %u: %.0f MiB,", edge * 8,
                          planned(folder, encoder, HT_WAN_VAE_LOCAL, edge < 60 ? edge : 60, edge));
        }
        print_message(" beside them %.0f MiB\n",
                      planned(folder, encoder, HT_WAN_VAE_GLOBAL, 60, 104));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clips),   cmocka_unit_test(test_every_node),
        cmocka_unit_test(test_weights), cmocka_unit_test(test_published),
        cmocka_unit_test(test_memory),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

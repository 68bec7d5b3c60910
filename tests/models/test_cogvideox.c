// CogVideoX's transformers and autoencoder against diffusers: clips and pictures, positions, every node,
// weights, and what is refused.
#include "model_test.h"

#include "autoencoder_cogvideox.h"
#include "cogvideox.h"
#include "files.h"

typedef struct model {
    const char *folder, *golden;
    bool turns; // queries and keys
} model;

static const model models[] = {
    {"tests/data/models/tiny-cogvideox/transformer", "cogvideox_2b", false},
    {"tests/data/models/tiny-cogvideox-5b/transformer", "cogvideox_5b", true},
};

typedef struct shape {
    const char *kind;
    uint32_t frames, rows, columns; // of tokens
} shape;

static const shape clip = {"clip", 3, 3, 4}, picture = {"picture", 1, 4, 3};

enum { TEXT = 11, WIDTH = 32, HEAD = 16 };

static ht_cogvideox_config config_in(ht_context *context, const char *folder) {
    ht_cogvideox_config config;
    ht_test_must(context, ht_cogvideox_config_read(context, folder, &config));
    return config;
}

static ht_value rows_of(ht_test_net *net, const int32_t *rows, uint32_t count) {
    ht_tensor *tensor = ht_test_net_tensor(
        net, (ht_tensor_desc){.format = HT_FORMAT_I32, .rank = 1, .dims = {count}});
    ht_test_must(net->context, ht_tensor_write(tensor, rows, count * sizeof(*rows)));
    return ht_graph_tensor(net->graph, tensor);
}

static ht_tensor *build(ht_test_net *net, const model *m, const shape *s) {
    const ht_cogvideox_config config = config_in(net->context, m->folder);
    char name[32];
    ht_graph *g = net->graph;
    snprintf(name, sizeof(name), "latent.%s", s->kind);
    const ht_cogvideox_inputs inputs = {
        .latent = ht_test_net_input(net, name, true),
        .frames = s->frames,
        .modulation =
            ht_cogvideox_time(g, &config, net->weights, ht_test_net_input(net, "timestep", false)),
        .step = rows_of(net, (int32_t[]){0, 1}, 2),
        .text = ht_cogvideox_text(g, &config, net->weights, ht_test_net_input(net, "text", false)),
    };
    return ht_test_net_output(net, ht_cogvideox_step(g, &config, net->weights, &inputs));
}

static void check_output(ht_tier tier, const model *m, const shape *s) {
    ht_test_net net;
    char name[32];
    ht_test_net_open(&net, tier, m->folder, m->golden, false);
    ht_tensor *out = build(&net, m, s);
    ht_test_net_run(&net);
    snprintf(name, sizeof(name), "output.%s", s->kind);
    ht_test_net_expect(&net, out, name, true);
    ht_test_net_close(&net);
}

static void test_outputs(void **state) {
    (void)state;
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        for (size_t i = 0; i < HT_COUNT(models) && ht_test_context(ht_test_tiers[t]); ++i) {
            if (ht_test_tiers[t] == HT_TIER_CPU || models[i].turns) { // few need it on both
                check_output(ht_test_tiers[t], &models[i], &clip);
            }
            if (ht_test_tiers[t] == HT_TIER_CPU && !models[i].turns) {
                check_output(ht_test_tiers[t], &models[i], &picture);
            }
        }
    }
}

static void test_every_node(void **state) {
    (void)state;
    ht_test_net net;
    uint32_t nodes = 0;
    ht_test_net_open(&net, HT_TIER_AUTO, models[1].folder, models[1].golden, true);
    build(&net, &models[1], &clip);
    ht_test_must(net.context, ht_graph_finish(net.graph));
    ht_test_must(net.context, ht_graph_check(net.graph, ht_test_expect_node, &nodes));
    assert_true(nodes > 40);
    ht_test_net_close(&net);
}

// Angles are of f64 here and of f32 there.
static const double POSITION_BOUND = 1e-6;

static void check_positions(const ht_test_golden *golden, const shape *s) {
    const ht_cogvideox_config config = config_in(golden->context, models[0].folder);
    const uint32_t places = s->rows * s->columns;
    char name[32];
    ht_tensor_desc desc;
    snprintf(name, sizeof(name), "positions.%s", s->kind);
    float *want = ht_test_golden_read(golden, name, &desc);
    float *space = malloc((size_t)places * WIDTH * sizeof(*space));
    float *time = malloc((size_t)s->frames * WIDTH * sizeof(*time));
    float *got = malloc((size_t)s->frames * places * WIDTH * sizeof(*got));
    assert_int_equal(ht_desc_count(&desc), s->frames * places * WIDTH);
    ht_cogvideox_positions(&config, s->frames, s->rows, s->columns, space, time);
    for (uint32_t t = 0; t < s->frames * places; ++t) {
        for (uint32_t k = 0; k < WIDTH; ++k) {
            got[t * WIDTH + k] = space[t % places * WIDTH + k] + time[t / places * WIDTH + k];
        }
    }
    ht_test_assert_close(name, got, want, ht_desc_count(&desc), POSITION_BOUND);
    free(got);
    free(time);
    free(space);
    free(want);
}

static void check_turns(const ht_test_golden *golden, const shape *s) {
    const ht_cogvideox_config config = config_in(golden->context, models[1].folder);
    char name[32];
    ht_tensor_desc desc;
    snprintf(name, sizeof(name), "turns.%s", s->kind);
    float *want = ht_test_golden_read(golden, name, &desc);
    const size_t count = ht_desc_count(&desc);
    float *got = malloc((TEXT * HEAD + count) * sizeof(*got));
    ht_cogvideox_turns(&config, TEXT, s->frames, s->rows, s->columns, got);
    for (uint32_t i = 0; i < TEXT * HEAD; ++i) {
        assert_true(got[i] == (i % 2 == 0 ? 1.0f : 0.0f)); // text is not turned
    }
    ht_test_assert_close(name, got + TEXT * HEAD, want, count, POSITION_BOUND);
    free(got);
    free(want);
}

static void test_positions(void **state) {
    (void)state;
    static const shape *const shapes[] = {&clip, &picture};
    for (size_t i = 0; i < HT_COUNT(shapes); ++i) {
        ht_test_golden golden;
        ht_test_golden_open(&golden, models[0].golden);
        check_positions(&golden, shapes[i]);
        ht_test_golden_close(&golden);
        ht_test_golden_open(&golden, models[1].golden);
        check_turns(&golden, shapes[i]);
        ht_test_golden_close(&golden);
    }
}

static uint64_t count_parameters(const ht_weight_map *map) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < map->count; ++i) {
        uint64_t count = 1;
        for (uint32_t d = 0; d < map->entries[i].rank; ++d) {
            count *= map->entries[i].dims[d];
        }
        sum += count;
    }
    return sum;
}

static uint64_t parameters_of(ht_context *context, const ht_cogvideox_config *config,
                              uint32_t *tensors) {
    ht_weight_map map;
    ht_test_must(context, ht_cogvideox_weight_map(context, config, &map));
    const uint64_t sum = count_parameters(&map);
    *tensors = map.count;
    ht_weight_map_clear(&map);
    return sum;
}

// Names and shapes of the tiny models, and the published sizes, 2B and 5B.
static void test_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weight_map map;
    uint32_t tensors;
    for (uint32_t i = 0; i < HT_COUNT(models); ++i) {
        const ht_cogvideox_config config = config_in(context, models[i].folder);
        ht_test_must(context, ht_cogvideox_weight_map(context, &config, &map));
        ht_test_full_map(context, &map, models[i].folder, 16 + 24 * (2 - i));
    }
    ht_cogvideox_config config = {.heads = 30,
                                  .head_dim = 64,
                                  .in_channels = 16,
                                  .out_channels = 16,
                                  .layers = 30,
                                  .text_channels = 4096,
                                  .time_channels = 512,
                                  .patch = 2,
                                  .attention_bias = true,
                                  .patch_bias = true};
    assert_true(parameters_of(context, &config, &tensors) == 1693783872);
    assert_int_equal(tensors, 736);
    config.heads = 48;
    config.layers = 42;
    assert_true(parameters_of(context, &config, &tensors) == 5570283072);
    assert_int_equal(tensors, 1024);
}

// 720 x 480 pixels of the 5B model: its usual grid, where positions are whole numbers.
static void test_usual_grid(void **state) {
    (void)state;
    enum { FRAMES = 2, ROWS = 30, COLUMNS = 45, WIDE = 64 };
    const ht_cogvideox_config config = {
        .head_dim = WIDE, .patch = 2, .sample_rows = 60, .sample_columns = 90};
    float *table = malloc((size_t)FRAMES * ROWS * COLUMNS * WIDE * sizeof(*table));
    ht_cogvideox_turns(&config, 0, FRAMES, ROWS, COLUMNS, table);
    const float *row = table + (size_t)((1 * ROWS + 7) * COLUMNS + 44) * WIDE;
    assert_true(row[0] > 0.5403022f && row[0] < 0.5403024f);   // cos 1, of the frame
    assert_true(row[16] > 0.7539021f && row[16] < 0.7539024f); // cos 7, of the row
    assert_true(row[40] > 0.9998432f && row[40] < 0.9998435f); // cos 44, of the column
    assert_true(row[41] > 0.0177019f && row[41] < 0.0177020f); // sin 44
    free(table);
}

static void test_sizes(void **state) {
    (void)state;
    static const uint32_t wrong[] = {5, 18}; // frames of the latent of 18 rows
    for (size_t i = 0; i < HT_COUNT(wrong); ++i) {
        ht_test_net net;
        ht_test_net_open(&net, HT_TIER_AUTO, models[0].folder, models[0].golden, false);
        const ht_cogvideox_config config = config_in(net.context, models[0].folder);
        const ht_cogvideox_inputs inputs = {.latent = ht_test_net_input(&net, "latent.clip", true),
                                            .frames = wrong[i],
                                            .text = ht_test_net_input(&net, "text", false)};
        assert_int_equal(ht_cogvideox_step(net.graph, &config, net.weights, &inputs).id, 0);
        assert_non_null(strstr(ht_context_message(net.context), "multiples of 2"));
        ht_test_net_close(&net);
    }
}

// One sentence each for models of other versions and for numbers that fit nothing.
static void test_configurations(void **state) {
    (void)state;
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{\"patch_size_t\": 2}", "CogVideoX 1.5"},
        {"{\"ofs_embed_dim\": 512}", "CogVideoX 1.5 from a picture"},
        {"{\"use_learned_positional_embeddings\": true}", "CogVideoX from a picture"},
        {"{\"norm_elementwise_affine\": false}", "norm_elementwise_affine"},
        {"{\"_class_name\": \"WanTransformer3DModel\"}", "supported: CogVideoXTransformer3DModel"},
        {"{\"activation_fn\": \"geglu\"}", "supported: gelu-approximate"},
        {"{\"num_layers\": 1000}", "num_layers"},
        {"{\"attention_head_dim\": 20}", "multiples of 16"},
        {"{\"attention_head_dim\": 24, \"use_rotary_positional_embeddings\": true}",
         "multiples of 16"},
        {"{\"sample_width\": 1}", "smaller than a patch"},
    };
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_cogvideox_config config;
        ht_test_write(&folder, "config.json", rows[i].json, strlen(rows[i].json));
        assert_true(ht_cogvideox_config_read(context, folder.path, &config) != HT_OK);
        if (!strstr(ht_context_message(context), rows[i].part)) {
            fail_msg("'%s', expected '%s'", ht_context_message(context), rows[i].part);
        }
    }
    ht_test_folder_close(&folder);
}

#define VAE "tests/data/models/tiny-cogvideox/vae"

// Half of the autoencoder: the graph of the first piece of a clip, and of the others.
typedef struct half {
    ht_test_net net;
    ht_vae_config config;
    bool encoder;
    ht_clip_memory memory;
    ht_graph *graphs[2];
    ht_tensor *in[2], *out[2];
} half;

static ht_tensor *make_tensor(ht_context *context, ht_tensor_desc desc) {
    ht_tensor *tensor;
    desc.format = HT_FORMAT_F32;
    desc.label = "piece";
    ht_test_must(context, ht_tensor_create(context, &desc, &tensor));
    return tensor;
}

// `desc` is that of the whole clip, or of its latents.
static void build_piece(half *h, int which, ht_tensor_desc desc, uint32_t frames, bool keep) {
    ht_context *context = h->net.context;
    const ht_graph_desc graph = {
        .label = "piece", .activations = HT_FORMAT_F32, .keep_values = keep};
    desc.dims[0] = frames;
    h->in[which] = make_tensor(context, desc);
    ht_test_must(context, ht_graph_create(context, &graph, &h->graphs[which]));
    ht_value x = ht_graph_tensor(h->graphs[which], h->in[which]);
    x = (h->encoder ? ht_cogvideox_vae_encode : ht_cogvideox_vae_decode)(
        h->graphs[which], &h->config, h->net.weights, x, &h->memory, which == 0);
    ht_test_must(context, ht_graph_status(h->graphs[which]));
    h->out[which] = make_tensor(context, ht_graph_value_desc(h->graphs[which], x));
    ht_graph_output(h->graphs[which], x, h->out[which]);
    ht_test_must(context, ht_graph_finish(h->graphs[which]));
}

static void open_half(half *h, ht_tier tier, bool encoder, const ht_tensor_desc *desc, bool keep) {
    const uint32_t piece = HT_COGVIDEOX_VAE_PIECE * (encoder ? HT_CLIP_TIMES : 1);
    *h = (half){.encoder = encoder};
    ht_test_net_open(&h->net, tier, VAE, "cogvideox_vae", false);
    ht_test_must(h->net.context, ht_vae_config_read(h->net.context, VAE, &h->config));
    build_piece(h, 0, *desc, desc->dims[0] > 1 ? piece + 1 : 1, keep);
    if (desc->dims[0] > piece + 1) {
        build_piece(h, 1, *desc, piece, keep);
    }
}

static void close_half(half *h) {
    for (int i = 0; i < 2; ++i) {
        ht_graph_destroy(&h->graphs[i]);
        ht_tensor_destroy(&h->in[i]);
        ht_tensor_destroy(&h->out[i]);
    }
    ht_clip_memory_release(&h->memory);
    ht_test_net_close(&h->net);
}

static uint64_t values_of(const ht_tensor *tensor) {
    return ht_desc_count(ht_tensor_get_desc(tensor));
}

// All pieces of a clip, one after the other, into `out`; returns how many values.
static uint64_t run_pieces(half *h, const float *in, uint64_t count, float *out) {
    ht_context *context = h->net.context;
    uint64_t read = 0, written = 0;
    ht_test_must(context, ht_clip_memory_restart(&h->memory));
    while (read < count) {
        const int which = read > 0;
        const uint64_t more = values_of(h->in[which]), made = values_of(h->out[which]);
        ht_test_must(context, ht_tensor_write_f32(h->in[which], in + read, more));
        ht_test_must(context, ht_graph_run(h->graphs[which]));
        ht_test_must(context, ht_tensor_read_f32(h->out[which], out + written, made));
        read += more;
        written += made;
    }
    return written;
}

static void check_clip(ht_tier tier, bool encoder, uint32_t frames, bool every_node) {
    half h;
    ht_test_golden golden;
    char in_name[32], out_name[32];
    ht_tensor_desc in_desc, out_desc;
    snprintf(in_name, sizeof(in_name), encoder ? "clip.%u" : "z.%u", frames);
    snprintf(out_name, sizeof(out_name), encoder ? "moments.%u" : "decoded.%u", frames);
    ht_test_golden_open(&golden, "cogvideox_vae");
    float *in = ht_test_golden_read_nhwc(&golden, in_name, &in_desc);
    float *want = ht_test_golden_read_nhwc(&golden, out_name, &out_desc);
    const uint64_t count = ht_desc_count(&out_desc);
    float *got = malloc(count * sizeof(*got));
    open_half(&h, tier, encoder, &in_desc, every_node);
    for (int again = frames > 9 && !encoder; again >= 0;
         --again) { // nothing is left of the clip before
        assert_int_equal(run_pieces(&h, in, ht_desc_count(&in_desc), got), count);
        print_message("%s: rel L2 %.2e\n", out_name, ht_test_compare(got, want, count).rel_l2);
        ht_test_assert_close(out_name, got, want, count, HT_TEST_NETWORK_BOUND);
    }
    if (every_node) { // of a piece that has pieces before it
        uint32_t nodes = 0;
        ht_test_must(h.net.context, ht_graph_check(h.graphs[1], ht_test_expect_node, &nodes));
        assert_true(nodes > 80);
    }
    close_half(&h);
    ht_test_golden_close(&golden);
    free(got);
    free(want);
    free(in);
}

static void test_vae(void **state) {
    (void)state;
    static const uint32_t lengths[] = {1, 9, 25};
    for (size_t i = 0; i < HT_COUNT(lengths) && ht_test_context(HT_TIER_CPU); ++i) {
        check_clip(HT_TIER_CPU, false, lengths[i], lengths[i] == 25);
        check_clip(HT_TIER_CPU, true, lengths[i], false);
    }
}

static void test_vae_weights(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_weight_map map;
    ht_vae_config config;
    ht_test_must(context, ht_vae_config_read(context, VAE, &config));
    assert_int_equal(ht_vae_factor(&config), 8);
    assert_true(config.piece == 2 && config.halves_time[1] && !config.halves_time[2]);
    assert_true(config.deviation[3] > 0.86761f && config.deviation[3] < 0.86762f);
    ht_test_must(context, ht_vae_weight_map(context, &config, HT_VAE_BOTH, &map));
    ht_test_full_map(context, &map, VAE, map.count);
    // The published one: 215,583,907 parameters in 436 tensors.
    config.layers_per_block = 3;
    config.latent_channels = 16;
    config.channels[0] = 128;
    config.channels[1] = config.channels[2] = 256;
    config.channels[3] = 512;
    ht_test_must(context, ht_vae_weight_map(context, &config, HT_VAE_BOTH, &map));
    assert_int_equal(map.count, 436);
    assert_true(count_parameters(&map) == 215583907);
    ht_weight_map_clear(&map);
}

// Device memory of the graph of a piece of `latents` latent frames and what it remembers, beside its weights,
// in MiB. Planned, not run.
static double planned(const char *folder, ht_format activations, uint32_t latents, uint32_t height,
                      uint32_t width) {
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_clip_memory memory = {0};
    ht_vae_config config;
    ht_weights *weights;
    ht_graph *graph;
    ht_memory_use use;
    uint64_t own, imported;
    ht_test_must(context, ht_vae_config_read(context, folder, &config));
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = folder}, &weights));
    ht_context_memory_restart(context);
    ht_tensor *in = make_tensor(
        context,
        (ht_tensor_desc){.rank = 4, .dims = {latents, height, width, config.latent_channels}});
    ht_test_must(context,
                 ht_graph_create(context, &(ht_graph_desc){.activations = activations}, &graph));
    ht_value x = ht_cogvideox_vae_decode(graph, &config, weights, ht_graph_tensor(graph, in),
                                         &memory, latents % 2 == 1);
    ht_test_must(context, ht_graph_status(graph));
    ht_tensor *out = make_tensor(context, ht_graph_value_desc(graph, x));
    ht_graph_output(graph, x, out);
    ht_test_must(context, ht_graph_finish(graph));
    ht_context_memory(context, &use);
    ht_weights_device_bytes(weights, &own, &imported);
    ht_graph_destroy(&graph);
    ht_tensor_destroy(&in);
    ht_tensor_destroy(&out);
    ht_clip_memory_release(&memory);
    ht_weights_destroy(&weights);
    return (double)(use.allocated_peak - own) / (1 << 20);
}

// The published VAE, on demand (HT_TEST_FULLSIZE, see tools/golden/make_fullsize_cogvideox.py): what clips of
// 720 x 480 pixels ask for, whole and by tiles.
static void test_memory(void **state) {
    (void)state;
    char folder[512], golden[512];
    static const uint32_t sizes[][2] = {{30, 30}, {60, 60}, {60, 90}};
    static const ht_format formats[] = {HT_FORMAT_F16, HT_FORMAT_F32};
    ht_test_fullsize("cogvideox_vae", "golden_cogvideox", folder, golden);
    for (size_t i = 0; i < 2 * HT_COUNT(sizes); ++i) {
        const uint32_t h = sizes[i / 2][0], w = sizes[i / 2][1];
        const double first = planned(folder, formats[i % 2], 3, h, w);
        print_message("%u x %u pixels, %s: %.0f MiB for the first piece, ", w * 8, h * 8,
                      i % 2 ? "f32" : "f16", first);
        print_message("%.0f MiB for others\n", planned(folder, formats[i % 2], 2, h, w));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),        cmocka_unit_test(test_every_node),
        cmocka_unit_test(test_positions),      cmocka_unit_test(test_weights),
        cmocka_unit_test(test_usual_grid),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_configurations), cmocka_unit_test(test_vae),
        cmocka_unit_test(test_vae_weights),    cmocka_unit_test(test_memory),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

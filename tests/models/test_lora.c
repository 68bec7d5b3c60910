// LoRAs against PEFT: UNet, text encoder, PixArt, the kinds of LyCORIS, all manners of names; packed
// weights; files that do not fit.
#include "model_test.h"

#include "clip.h"
#include "common/layers.h"
#include "common/lora_internal.h"
#include "files.h"
#include "pixart.h"
#include "safetensors_writer.h"
#include "t5.h"
#include "unet.h"

#include <math.h>

#define MODELS "tests/data/models/"
#define LORAS "tests/data/loras/"

// The networks of a model, and LoRAs for them.
typedef struct changed {
    ht_unet_config unet;
    ht_clip_config clip;
    ht_pixart_config dit;
    ht_lora *lora;
} changed;

static const float WHOLE[HT_LORA_NETWORKS] = {1, 1, 1};

static void open_sd_as(ht_context *context, ht_format format, changed *out) {
    ht_weight_map maps[2];
    *out = (changed){.lora = NULL};
    ht_test_must(context, ht_unet_config_read(context, MODELS "tiny-sd/unet", &out->unet));
    ht_test_must(context, ht_clip_config_read(context, MODELS "tiny-sd/text_encoder", &out->clip));
    ht_test_must(context, ht_unet_weight_map(context, &out->unet, &maps[0]));
    ht_test_must(context, ht_clip_weight_map(context, &out->clip, &maps[1]));
    const ht_lora_desc desc = {.maps = {&maps[0], &maps[1]},
                               .levels = out->unet.levels,
                               .layers_per_block = out->unet.layers_per_block,
                               .format = format};
    ht_test_must(context, ht_lora_create(context, &desc, &out->lora));
    ht_weight_map_clear(&maps[0]);
    ht_weight_map_clear(&maps[1]);
}

static void open_sd(ht_context *context, changed *out) {
    open_sd_as(context, HT_FORMAT_F32, out);
}

static void add(ht_context *context, changed *c, const char *path, float scale) {
    const float scales[HT_LORA_NETWORKS] = {scale, scale, scale};
    ht_test_must(context, ht_lora_add(c->lora, path, scales));
    c->unet.lora = ht_lora_of(c->lora, HT_LORA_DENOISER);
    c->clip.lora = ht_lora_of(c->lora, HT_LORA_TEXT);
}

static ht_tensor *build_unet(ht_test_net *net, const ht_unet_config *config) {
    ht_value keys[HT_UNET_MAX_LAYERS], values[HT_UNET_MAX_LAYERS];
    const ht_unet_conditions conditions = {.timesteps = ht_test_net_input(net, "timestep", false),
                                           .guidance = HT_NO_VALUE,
                                           .pooled = HT_NO_VALUE,
                                           .time_ids = HT_NO_VALUE};
    ht_unet_context(net->graph, config, net->weights, ht_test_net_input(net, "encoder", false),
                    keys, values);
    ht_tensor *step = ht_test_net_tensor(
        net, (ht_tensor_desc){.format = HT_FORMAT_I32, .rank = 1, .dims = {1}});
    ht_test_must(net->context, ht_tensor_write(step, (int32_t[]){0}, sizeof(int32_t)));
    const ht_unet_inputs inputs = {
        .latent = ht_test_net_input(net, "latent", true),
        .table = ht_unet_time(net->graph, config, net->weights, &conditions),
        .step = ht_graph_tensor(net->graph, step),
        .keys = keys,
        .values = values};
    return ht_test_net_output(net, ht_unet_step(net->graph, config, net->weights, &inputs));
}

static float *read_back(ht_test_net *net, ht_tensor *tensor, size_t *count) {
    *count = ht_desc_count(ht_tensor_get_desc(tensor));
    float *values = malloc(*count * sizeof(*values));
    assert_non_null(values);
    ht_test_must(net->context, ht_tensor_read_f32(tensor, values, *count));
    return values;
}

// What tiny-sd's UNet gives for a golden file's inputs, with up to two LoRAs; free it.
static float *unet_output(ht_tier tier, const char *golden, const char *const *files,
                          const float *scales, uint32_t n_files, size_t *count) {
    ht_test_net net;
    changed c;
    ht_test_net_open(&net, tier, MODELS "tiny-sd/unet", golden, false);
    open_sd(net.context, &c);
    for (uint32_t i = 0; i < n_files; ++i) {
        add(net.context, &c, files[i], scales[i]);
    }
    ht_tensor *out = build_unet(&net, &c.unet);
    ht_test_net_run(&net);
    float *values = read_back(&net, out, count);
    ht_test_net_close(&net);
    ht_lora_destroy(&c.lora);
    return values;
}

static void expect_unet(ht_tier tier, const char *file, const char *golden) {
    ht_test_golden want_file;
    ht_tensor_desc desc;
    size_t count;
    float *got = unet_output(tier, golden, &file, (float[]){1}, 1, &count);
    ht_test_golden_open(&want_file, golden);
    float *want = ht_test_golden_read_nhwc(&want_file, "output", &desc);
    print_message("%s: rel L2 %.2e\n", file, ht_test_compare(got, want, count).rel_l2);
    ht_test_assert_close(file, got, want, count, HT_TEST_NETWORK_BOUND);
    ht_test_golden_close(&want_file);
    free(want);
    free(got);
}

static void test_unet(void **state) {
    (void)state;
    for (size_t i = 0; i < HT_COUNT(ht_test_tiers); ++i) {
        if (ht_test_context(ht_test_tiers[i])) {
            expect_unet(ht_test_tiers[i], LORAS "sd_kohya.safetensors", "lora_sd");
            expect_unet(ht_test_tiers[i], LORAS "sd_diffusers.safetensors", "lora_sd");
            expect_unet(ht_test_tiers[i], LORAS "sd_lycoris.safetensors", "lora_lycoris");
        }
    }
}

static void test_text(void **state) {
    (void)state;
    static const char *const files[] = {LORAS "sd_kohya.safetensors",
                                        LORAS "sd_diffusers.safetensors"};
    for (size_t i = 0; i < HT_COUNT(files); ++i) {
        ht_test_net net;
        changed c;
        ht_test_net_open(&net, HT_TIER_AUTO, MODELS "tiny-sd/text_encoder", "lora_sd", false);
        open_sd(net.context, &c);
        add(net.context, &c, files[i], 1);
        const ht_clip_inputs inputs = {.ids = ht_test_net_int_input(&net, "ids"),
                                       .ends = HT_NO_VALUE,
                                       .extra = HT_NO_VALUE,
                                       .final_norm = true};
        ht_tensor *hidden = ht_test_net_output(
            &net, ht_clip_build(net.graph, &c.clip, net.weights, &inputs).hidden);
        ht_test_net_run(&net);
        ht_test_net_expect(&net, hidden, "hidden.last", false);
        ht_test_net_close(&net);
        ht_lora_destroy(&c.lora);
    }
}

// Of a T5 encoder, with the scale of the rank-stabilized kind: alpha over the root of the rank.
static void test_t5(void **state) {
    (void)state;
    ht_test_net net;
    ht_t5_config config;
    ht_weight_map map;
    ht_lora *lora;
    ht_test_net_open(&net, HT_TIER_AUTO, MODELS "tiny-pixart/text_encoder", "lora_t5", false);
    ht_test_must(net.context,
                 ht_t5_config_read(net.context, MODELS "tiny-pixart/text_encoder", &config));
    ht_test_must(net.context, ht_t5_weight_map(net.context, &config, &map));
    const ht_lora_desc desc = {.maps = {[HT_LORA_TEXT] = &map}, .format = HT_FORMAT_F32};
    ht_test_must(net.context, ht_lora_create(net.context, &desc, &lora));
    ht_weight_map_clear(&map);
    ht_test_must(net.context, ht_lora_add(lora, LORAS "t5_rslora.safetensors", WHOLE));
    config.lora = ht_lora_of(lora, HT_LORA_TEXT);
    ht_value mask = ht_test_net_mask(&net, "mask", -1e9f);
    ht_value text =
        ht_t5_build(net.graph, &config, net.weights, ht_test_net_int_input(&net, "ids"), mask);
    ht_tensor *out = ht_test_net_output(&net, text);
    ht_test_net_run(&net);
    ht_test_net_expect(&net, out, "output", false);
    ht_test_net_close(&net);
    ht_lora_destroy(&lora);
}

static void test_pixart(void **state) {
    (void)state;
    ht_test_net net;
    changed c = {.lora = NULL};
    ht_weight_map map;
    ht_test_net_open(&net, HT_TIER_AUTO, MODELS "tiny-pixart/transformer", "lora_pixart", false);
    ht_test_must(net.context, ht_pixart_config_read(net.context, MODELS "tiny-pixart/transformer",
                                                    net.weights, &c.dit));
    ht_test_must(net.context, ht_pixart_weight_map(net.context, &c.dit, &map));
    const ht_lora_desc desc = {.maps = {&map}, .format = HT_FORMAT_F32};
    ht_test_must(net.context, ht_lora_create(net.context, &desc, &c.lora));
    ht_weight_map_clear(&map);
    ht_test_must(net.context, ht_lora_add(c.lora, LORAS "pixart.safetensors", WHOLE));
    c.dit.lora = ht_lora_of(c.lora, HT_LORA_DENOISER);
    ht_value keys[HT_PIXART_MAX_LAYERS], values[HT_PIXART_MAX_LAYERS];
    ht_value text = ht_test_net_input(&net, "encoder", false);
    ht_pixart_context(net.graph, &c.dit, net.weights, text, keys, values);
    ht_tensor *step = ht_test_net_tensor(
        &net, (ht_tensor_desc){.format = HT_FORMAT_I32, .rank = 1, .dims = {1}});
    ht_test_must(net.context, ht_tensor_write(step, (int32_t[]){0}, sizeof(int32_t)));
    const ht_pixart_inputs inputs = {
        .latent = ht_test_net_input(&net, "latent", true),
        .modulation =
            ht_pixart_time(net.graph, &c.dit, net.weights,
                           ht_test_net_input(&net, "timestep", false), HT_NO_VALUE, HT_NO_VALUE),
        .step = ht_graph_tensor(net.graph, step),
        .keys = keys,
        .values = values,
        .mask = ht_test_net_mask(&net, "mask", -10000.0f)};
    ht_tensor *out = ht_test_net_output(
        &net, ht_pixart_step(net.graph, &c.dit, net.weights, &inputs));
    ht_test_net_run(&net);
    ht_test_net_expect(&net, out, "output", true);
    ht_test_net_close(&net);
    ht_lora_destroy(&c.lora);
}

// One after the other is the sum: a file at 0.25 and at 0.75 is the file at 1.
static void test_several(void **state) {
    (void)state;
    static const char *const files[] = {LORAS "sd_kohya.safetensors",
                                        LORAS "sd_diffusers.safetensors"};
    size_t count;
    float *one = unet_output(HT_TIER_AUTO, "lora_sd", files, (float[]){1}, 1, &count);
    float *two = unet_output(HT_TIER_AUTO, "lora_sd", files, (float[]){0.25f, 0.75f}, 2, &count);
    float *none = unet_output(HT_TIER_AUTO, "lora_sd", files, (float[]){0}, 1, &count);
    float *half = unet_output(HT_TIER_AUTO, "lora_sd", files, (float[]){0.5f}, 1, &count);
    ht_test_golden golden;
    ht_tensor_desc desc;
    ht_test_golden_open(&golden, "lora_sd");
    float *without = ht_test_golden_read_nhwc(&golden, "output.without", &desc);
    ht_test_assert_close("0.25 + 0.75", two, one, count, HT_TEST_NETWORK_BOUND);
    ht_test_assert_close("0", none, without, count, HT_TEST_NETWORK_BOUND);
    assert_true(ht_test_compare(half, one, count).rel_l2 > 0.01);
    assert_true(ht_test_compare(half, none, count).rel_l2 > 0.01);
    ht_test_golden_close(&golden);
    free(without);
    free(one);
    free(two);
    free(none);
    free(half);
}

// ---- names

// A tensor of a file that a test writes; `name` may be changed, `values` too.
typedef struct written {
    char name[HT_LORA_NAME_BYTES];
    uint32_t rank;
    uint64_t dims[4];
    float *values;
    size_t count;
} written;

// What is done to each tensor; false leaves it out.
typedef bool (*edit)(written *tensor, const void *user);

// Copy a LoRA as F32, edited.
static const char *rewrite(ht_context *context, ht_test_folder *folder, const char *source,
                           edit change, const void *user) {
    ht_weights *weights;
    ht_st_writer *writer;
    written list[512];
    uint32_t count = 0;
    const char *path = ht_test_folder_file(folder, "edited.safetensors");
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = source}, &weights));
    ht_test_must(context, ht_st_writer_open(context, path, true, &writer));
    for (size_t i = 0; i < ht_weights_count(weights); ++i) {
        const ht_weight_info *info = ht_weights_get(weights, i);
        written *w = &list[count];
        *w = (written){.rank = info->desc.rank, .count = ht_desc_count(&info->desc)};
        snprintf(w->name, sizeof(w->name), "%s", info->name);
        for (uint32_t d = 0; d < w->rank; ++d) {
            w->dims[d] = info->desc.dims[d];
        }
        w->values = malloc(w->count * sizeof(float));
        ht_test_must(context, ht_weights_read_f32(weights, info->name, w->values, w->count));
        if (change(w, user)) {
            w->count = 1;
            for (uint32_t d = 0; d < w->rank; ++d) {
                w->count *= w->dims[d];
            }
            ht_st_writer_add(writer, w->name, "F32", w->rank, w->dims, w->count * sizeof(float));
            ++count;
        } else {
            free(w->values);
        }
    }
    ht_test_must(context, ht_st_writer_begin(writer));
    for (uint32_t i = 0; i < count; ++i) {
        ht_test_must(context, ht_st_writer_write(writer, i, 0, list[i].values,
                                                 list[i].count * sizeof(float)));
        free(list[i].values);
    }
    ht_test_must(context, ht_st_writer_finish(writer));
    ht_st_writer_close(&writer);
    ht_weights_destroy(&weights);
    return path;
}

static void replace(char *name, const char *from, const char *to) {
    char *at = strstr(name, from);
    if (at) {
        char rest[HT_LORA_NAME_BYTES];
        snprintf(rest, sizeof(rest), "%s", at + strlen(from));
        snprintf(at, HT_LORA_NAME_BYTES - (size_t)(at - name), "%s%s", to, rest);
    }
}

// Diffusers' names of the UNet with others for parts of them, alpha going into the values.
static bool rename_parts(written *w, const void *user) {
    const char *const *pairs = user;
    const bool up = strstr(w->name, ".lora_B.") != NULL;
    for (size_t i = 0; up && i < w->count; ++i) {
        w->values[i] *= 3.0f / 2;
    }
    for (; *pairs; pairs += 2) {
        replace(w->name, pairs[0], pairs[1]);
    }
    return strstr(w->name, "text_encoder.") == NULL;
}

static bool only_processors(written *w, const void *user) {
    const bool attends = strstr(w->name, "attn") != NULL;
    return rename_parts(w, user) && attends;
}

static bool only_attention(written *w, const void *user) {
    static const char *const none[] = {NULL};
    (void)user;
    return only_processors(w, none);
}

// A LoRA under other names does the same.
static void test_names(void **state) {
    (void)state;
    static const char *const styles[][12] = {
        {"lora_A", "lora.down", "lora_B", "lora.up", NULL},
        {"unet.", "", NULL},
        {"unet.", "base_model.model.", "lora_A", "lora_A.default", "lora_B", "lora_B.default", NULL},
        {"unet.", "diffusion_model.", "mid_block.attentions.0", "middle_block.1",
         "mid_block.resnets.1.conv1", "middle_block.2.in_layers.2", "conv_in", "input_blocks.0.0",
         NULL}};
    static const char *const processor[] = {
        "attn1.to_out.0", "attn1.processor.to_out", "attn2.to_out.0", "attn2.processor.to_out",
        "attn1.to_", "attn1.processor.to_", "attn2.to_", "attn2.processor.to_", ".lora_A.",
        "_lora.down.", ".lora_B.", "_lora.up.", NULL};
    const char *source = LORAS "sd_diffusers.safetensors";
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_test_folder folder;
    size_t count;
    ht_test_folder_open(&folder);
    float *want = unet_output(HT_TIER_AUTO, "lora_sd", &source, (float[]){1}, 1, &count);
    for (size_t i = 0; i < HT_COUNT(styles); ++i) {
        const char *path = rewrite(context, &folder, source, rename_parts, styles[i]);
        float *got = unet_output(HT_TIER_AUTO, "lora_sd", &path, (float[]){1}, 1, &count);
        ht_test_assert_close(styles[i][0], got, want, count, 1e-6);
        free(got);
    }
    free(want);
    const char *path = rewrite(context, &folder, source, only_attention, NULL);
    want = unet_output(HT_TIER_AUTO, "lora_sd", &path, (float[]){1}, 1, &count);
    path = rewrite(context, &folder, source, only_processors, processor);
    float *got = unet_output(HT_TIER_AUTO, "lora_sd", &path, (float[]){1}, 1, &count);
    ht_test_assert_close("processors", got, want, count, 0);
    free(got);
    free(want);
    ht_test_folder_close(&folder);
}

// ---- beside packed weights

// x [rows, K] times one layer of the UNet in formats of a recipe; free it.
static float *one_layer(const ht_lora_layers *lora, const char *recipe_path, const char *layer,
                        const ht_tensor_desc *x, const float *values, uint32_t outputs,
                        uint32_t kernel) {
    ht_test_net net;
    ht_recipe *recipe = NULL;
    size_t count;
    ht_test_net_open(&net, HT_TIER_AUTO, MODELS "tiny-sd/unet", "lora_sd", false);
    ht_test_must(net.context, ht_recipe_open(net.context, recipe_path, &recipe));
    const ht_nn nn = {.graph = net.graph, .weights = net.weights, .recipe = recipe, .lora = lora};
    ht_value in = ht_test_net_values(&net, *x, values);
    ht_tensor *out = ht_test_net_output(
        &net, kernel > 1 ? ht_nn_conv(&nn, layer, in, outputs, kernel, ht_nn_same_size)
                         : ht_nn_linear(&nn, layer, in, outputs, NULL));
    ht_test_net_run(&net);
    float *got = read_back(&net, out, &count);
    ht_test_net_close(&net);
    ht_recipe_destroy(&recipe);
    return got;
}

// up (down x) by plain loops; x [h, w, I], a border of zeros around it.
static float *branch_of(ht_context *context, const ht_lora_layer *layer, const ht_tensor_desc *x,
                        const float *values) {
    const uint32_t *d = layer->dims, rank = layer->changes->rank;
    const int h = (int)x->dims[1], w = (int)x->dims[2], edge = (int)d[2] / 2;
    float *down = malloc((size_t)rank * d[1] * d[2] * d[3] * sizeof(float));
    float *up = malloc((size_t)d[0] * rank * sizeof(float));
    float *out = malloc((size_t)h * (size_t)w * d[0] * sizeof(float));
    ht_test_must(context, ht_lora_pair(context, layer, layer->changes, down, up, rank));
    for (int at = 0; at < h * w; ++at) {
        double *z = calloc(rank, sizeof(*z));
        for (uint32_t i = 0; i < rank * d[1] * d[2] * d[3]; ++i) {
            const uint32_t kx = i % d[3], ky = i / d[3] % d[2], c = i / d[3] / d[2] % d[1];
            const int px = at % w + (int)kx - edge, py = at / w + (int)ky - edge;
            if (px >= 0 && px < w && py >= 0 && py < h) {
                z[i / (d[1] * d[2] * d[3])] +=
                    (double)down[i] * values[(size_t)(py * w + px) * d[1] + c];
            }
        }
        for (uint32_t o = 0; o < d[0]; ++o) {
            double sum = 0;
            for (uint32_t r = 0; r < rank; ++r) {
                sum += up[o * rank + r] * z[r];
            }
            out[(size_t)at * d[0] + o] = (float)sum;
        }
        free(z);
    }
    free(down);
    free(up);
    return out;
}

// What a LoRA adds to a layer is up (down x) of the unpacked x, whatever weights and activations
// are packed into: rounding to f32 aside, nothing of the formats is in the difference.
static void test_packed_layer(void **state) {
    (void)state;
    static const char *const recipes[] = {"assets/recipes/w8a8.json", "assets/recipes/w4a8.json",
                                          "assets/recipes/w4a4.json", "assets/recipes/fp16.json"};
    static const char *const layers[] = {
        "mid_block.attentions.0.transformer_blocks.0.ff.net.2", "mid_block.resnets.0.conv1"};
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    changed c;
    open_sd(context, &c);
    add(context, &c, LORAS "sd_kohya.safetensors", 0.5f);
    for (size_t i = 0; i < HT_COUNT(recipes) * HT_COUNT(layers); ++i) {
        const char *recipe = recipes[i / 2], *name = layers[i % 2];
        char module[HT_LORA_NAME_BYTES];
        snprintf(module, sizeof(module), "%s", name);
        for (char *p = module; *p; ++p) {
            *p = *p == '.' ? '_' : *p;
        }
        const ht_lora_layer *layer = ht_lora_layers_find(c.unet.lora, module);
        assert_non_null(layer);
        const ht_tensor_desc x = {
            .format = HT_FORMAT_F32, .rank = 4, .dims = {1, 4, 5, layer->dims[1]}};
        const size_t n_in = ht_desc_count(&x), n_out = n_in / layer->dims[1] * layer->dims[0];
        float *values = malloc(n_in * sizeof(float));
        ht_test_fill_normal(i, values, n_in);
        float *plain =
            one_layer(NULL, recipe, name, &x, values, layer->dims[0], layer->dims[2]);
        float *with =
            one_layer(c.unet.lora, recipe, name, &x, values, layer->dims[0], layer->dims[2]);
        float *want = branch_of(context, layer, &x, values);
        for (size_t v = 0; v < n_out; ++v) {
            with[v] -= plain[v];
        }
        ht_test_assert_close(recipe, with, want, n_out, HT_TEST_NETWORK_BOUND);
        free(values);
        free(plain);
        free(with);
        free(want);
    }
    ht_lora_destroy(&c.lora);
}

// Half floats as factors: each is off by at most 2^-11 of itself, two of them in a product, however
// far apart the file's factors are.
static void test_halves(void **state) {
    (void)state;
    size_t count;
    const char *file = LORAS "sd_kohya.safetensors";
    float *want = unet_output(HT_TIER_AUTO, "lora_sd", &file, (float[]){1}, 1, &count);
    ht_test_net net;
    changed c;
    ht_test_net_open(&net, HT_TIER_AUTO, MODELS "tiny-sd/unet", "lora_sd", false);
    open_sd_as(net.context, HT_FORMAT_F16, &c);
    add(net.context, &c, file, 1);
    ht_tensor *out = build_unet(&net, &c.unet);
    ht_test_net_run(&net);
    float *got = read_back(&net, out, &count);
    ht_test_assert_close("halves", got, want, count, 2 * HT_TEST_F16_ROUNDING);
    ht_test_net_close(&net);
    ht_lora_destroy(&c.lora);
    free(got);
    free(want);
}

// ---- files that do not fit

typedef struct damage {
    const char *tensor; // part of its name
    const char *to;     // new part; NULL: left out
    int what;           // 1: not a number, 2: one more row, 3: huge
    const char *sentence;
} damage;

static bool do_damage(written *w, const void *user) {
    const damage *d = user;
    if (!strstr(w->name, d->tensor)) {
        return true;
    }
    if (!d->to) {
        return false;
    }
    replace(w->name, d->tensor, d->to);
    w->values[0] = d->what == 1 ? NAN : d->what == 3 ? 1e38f : w->values[0];
    if (d->what == 2) {
        const size_t row = w->count / w->dims[0];
        w->values = realloc(w->values, (w->count + row) * sizeof(float));
        memset(w->values + w->count, 0, row * sizeof(float));
        ++w->dims[0];
    }
    return true;
}

#define Q "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"

static void test_refusals(void **state) {
    (void)state;
    static const damage rows[] = {
        {Q ".lora_up.weight", NULL, 0, "has no lora_up"},
        {Q ".lora_down.weight", NULL, 0, "has no lora_down"},
        {Q ".lora_up.weight", Q ".lora_up.weight", 2, "which does not go with layer"},
        {Q ".lora_down.weight", Q ".lora_down.weight", 2, "which does not go with layer"},
        {Q ".lora_up.weight", Q ".lora_up.weight", 1, "is not a number"},
        {Q ".alpha", Q ".alpha", 1, "is not a number"},
        {Q ".lora_up.weight", Q ".dora_scale", 0, "is of DoRA"},
        {Q ".lora_up.weight", Q ".diff", 0, "whole difference"},
        {Q ".lora_up", "lora_unet_double_blocks_0_img_attn_qkv.lora_up", 0,
         "'lora_unet_double_blocks_0_img_attn_qkv', which the denoiser of this model does not have "
         "(416 of 417 tensors match)"},
        {Q ".lora_up", "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k.lora_B", 0,
         "are the same for layer"}};
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        changed c;
        open_sd(context, &c);
        const char *path =
            rewrite(context, &folder, LORAS "sd_kohya.safetensors", do_damage, &rows[i]);
        ht_status status = ht_lora_add(c.lora, path, WHOLE);
        if (status == HT_OK) { // values are read when they are needed
            ht_test_net net;
            ht_test_net_open(&net, HT_TIER_AUTO, MODELS "tiny-sd/unet", "lora_sd", false);
            c.unet.lora = ht_lora_of(c.lora, HT_LORA_DENOISER);
            const ht_nn nn = {.graph = net.graph, .weights = net.weights, .lora = c.unet.lora};
            (void)ht_nn_linear(&nn, "mid_block.attentions.0.transformer_blocks.0.attn1.to_q",
                               ht_test_net_values(&net,
                                                  (ht_tensor_desc){.format = HT_FORMAT_F32,
                                                                   .rank = 2,
                                                                   .dims = {1, 16}},
                                                  (float[16]){0}),
                               16, NULL);
            status = ht_graph_finish(net.graph);
            ht_test_net_close(&net);
        }
        const char *message = ht_context_message(context);
        if (status == HT_OK || !strstr(message, rows[i].sentence) || !strstr(message, path)) {
            fail_msg("row %zu: '%s'", i, message);
        }
        ht_lora_destroy(&c.lora);
    }
    ht_test_folder_close(&folder);
}

static void test_other_models(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {LORAS "pixart.safetensors", "is a LoRA for another model"},
        {LORAS "xl_kohya.safetensors", "which the denoiser of this model does not have"},
        {MODELS "tiny-sd/unet/diffusion_pytorch_model.safetensors", "is no LoRA"},
        {LORAS "none.safetensors", "cannot open"}};
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        changed c;
        open_sd(context, &c);
        assert_int_not_equal(ht_lora_add(c.lora, rows[i][0], WHOLE), HT_OK);
        assert_non_null(strstr(ht_context_message(context), rows[i][1]));
        assert_non_null(strstr(ht_context_message(context), rows[i][0]));
        ht_lora_destroy(&c.lora);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unet),    cmocka_unit_test(test_text),
        cmocka_unit_test(test_pixart),  cmocka_unit_test(test_t5),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_packed_layer),
        cmocka_unit_test(test_halves),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_other_models),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

// LoRAs against PEFT: UNet, text encoder, PixArt, the kinds of LyCORIS, all manners of names; packed
// weights; files that do not fit.
#include "model_test.h"

#include "clip.h"
#include "common/lora_internal.h"
#include "files.h"
#include "pixart.h"
#include "safetensors_writer.h"
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

static void open_sd(ht_context *context, changed *out) {
    ht_weight_map maps[2];
    *out = (changed){.lora = NULL};
    ht_test_must(context, ht_unet_config_read(context, MODELS "tiny-sd/unet", &out->unet));
    ht_test_must(context, ht_clip_config_read(context, MODELS "tiny-sd/text_encoder", &out->clip));
    ht_test_must(context, ht_unet_weight_map(context, &out->unet, &maps[0]));
    ht_test_must(context, ht_clip_weight_map(context, &out->clip, &maps[1]));
    const ht_lora_desc desc = {.maps = {&maps[0], &maps[1]},
                               .levels = out->unet.levels,
                               .layers_per_block = out->unet.layers_per_block,
                               .format = HT_FORMAT_F32};
    ht_test_must(context, ht_lora_create(context, &desc, &out->lora));
    ht_weight_map_clear(&maps[0]);
    ht_weight_map_clear(&maps[1]);
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
                                       .final_norm = true};
        ht_tensor *hidden = ht_test_net_output(
            &net, ht_clip_build(net.graph, &c.clip, net.weights, &inputs).hidden);
        ht_test_net_run(&net);
        ht_test_net_expect(&net, hidden, "hidden.last", false);
        ht_test_net_close(&net);
        ht_lora_destroy(&c.lora);
    }
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unet),    cmocka_unit_test(test_text),
        cmocka_unit_test(test_pixart),  cmocka_unit_test(test_several),
        cmocka_unit_test(test_names),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}

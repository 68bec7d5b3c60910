// Configurations that cannot be meant: each is refused with the file and the key.
#include "support.h"

#include "autoencoder_kl.h"
#include "common/config.h"
#include "files.h"
#include "pixart.h"
#include "t5.h"

#include <math.h>
#include <string.h>

typedef union any_config {
    ht_t5_config t5;
    ht_pixart_config pixart;
    ht_vae_config vae;
} any_config;

typedef enum network { T5, PIXART, VAE } network;

static const struct {
    network kind;
    const char *json, *part;
} rows[] = {
    {T5, "{\"d_model\": \"wide\"}", "\"d_model\" is \"wide\""},
    {T5, "{\"d_model\": 4294967296}", "from 1 to 65536"},
    {T5, "{\"d_model\": -1}", "\"d_model\" is -1"},
    {T5, "{\"num_layers\": 2.5}", "\"num_layers\" is 2.5"},
    {T5, "{\"num_layers\": 100000}", "from 1 to 256"},
    {T5, "{\"model_type\": \"bert\"}", "'bert' text encoder; supported: t5, umt5"},
    {T5, "{\"feed_forward_proj\": \"gated-tanh\"}", "gated-tanh"},
    {T5, "{\"relative_attention_max_distance\": 8}", "too small for 32 buckets"},
    {T5, "{\"layer_norm_epsilon\": true}", "layer_norm_epsilon"},
    {PIXART, "{\"_class_name\": \"FluxTransformer2DModel\"}", "FluxTransformer2DModel; supported"},
    {PIXART, "{\"norm_type\": \"ada_norm_zero\"}", "expected ada_norm_single"},
    {PIXART, "{\"norm_elementwise_affine\": true}", "norm_elementwise_affine"},
    {PIXART, "{\"activation_fn\": \"geglu\"}", "geglu"},
    {PIXART, "{\"cross_attention_dim\": 1000}", "cross_attention_dim 1000"},
    {PIXART, "{\"num_layers\": 129}", "from 1 to 128"},
    {PIXART, "{\"interpolation_scale\": 0}", "interpolation_scale"},
    {PIXART, "{\"patch_size\": 0}", "patch_size"},
    {VAE, "{\"_class_name\": \"AutoencoderDC\"}", "AutoencoderDC; supported: AutoencoderKL"},
    {VAE, "{\"block_out_channels\": [100]}", "100 channels cannot be split in 32"},
    {VAE, "{\"block_out_channels\": [32, \"64\"]}", "block_out_channels"},
    {VAE, "{\"block_out_channels\": [1,1,1,1,1,1,1,1,1]}", "at most 8 numbers"},
    {VAE, "{\"down_block_types\": [\"AttnDownEncoderBlock2D\"]}", "AttnDownEncoderBlock2D"},
    {VAE, "{\"latents_mean\": [1, 2]}", "latents_mean"},
    {VAE, "{\"act_fn\": \"relu\"}", "'relu'"},
    {VAE, "{\"scaling_factor\": 0}", "scaling_factor"},
    {VAE, "{\"in_channels\": 4}", "in_channels"},
    {VAE, "{\"in_channels\": 3, \"in_channels\": 3}", "duplicate"},
    {VAE, "[]", "must hold a JSON object"},
    {VAE, "{", "config.json"},
};

static ht_status read(ht_context *context, network kind, const char *folder, any_config *out) {
    switch (kind) {
    case T5: return ht_t5_config_read(context, folder, &out->t5);
    case PIXART: return ht_pixart_config_read(context, folder, NULL, &out->pixart);
    default: return ht_vae_config_read(context, folder, &out->vae);
    }
}

static void test_refused(void **state) {
    (void)state;
    ht_context *context;
    ht_test_folder folder;
    any_config config;
    assert_int_equal(ht_context_create(&(ht_context_desc){.host_only = true}, &context), HT_OK);
    ht_test_folder_open(&folder);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_test_write(&folder, "config.json", rows[i].json, strlen(rows[i].json));
        if (read(context, rows[i].kind, folder.path, &config) == HT_OK) {
            fail_msg("accepted: %s", rows[i].json);
        }
        const char *message = ht_context_message(context);
        if (!strstr(message, rows[i].part) || !strstr(message, "config.json")) {
            fail_msg("%s: '%s'", rows[i].json, message);
        }
    }
    assert_int_equal(read(context, T5, "no/such/folder", &config), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "no/such/folder/config.json"));
    ht_test_folder_close(&folder);
    ht_context_destroy(&context);
}

// Missing fields take the defaults of the classes.
static void test_defaults(void **state) {
    (void)state;
    ht_context *context;
    ht_test_folder folder;
    any_config c;
    assert_int_equal(ht_context_create(&(ht_context_desc){.host_only = true}, &context), HT_OK);
    ht_test_folder_open(&folder);
    ht_test_write(&folder, "config.json", "{}", 2);
    assert_int_equal(read(context, T5, folder.path, &c), HT_OK);
    assert_int_equal(c.t5.d_model, 512);
    assert_false(c.t5.gated);
    assert_int_equal(c.t5.act, HT_ACT_RELU);
    assert_int_equal(read(context, PIXART, folder.path, &c), HT_OK);
    assert_int_equal(c.pixart.heads * c.pixart.head_dim, 1152);
    assert_int_equal(c.pixart.out_channels, 8);
    assert_true(c.pixart.interpolation_scale == 2 && c.pixart.additional_conditions);
    assert_int_equal(read(context, VAE, folder.path, &c), HT_OK);
    assert_true(c.vae.quant_conv && c.vae.force_upcast && c.vae.levels == 1);
    assert_true(fabsf(c.vae.scaling_factor - 0.18215f) < 1e-7f && c.vae.shift_factor == 0);
    // what Python writes for infinity, half scales, and null
    static const char text[] = "{\"interpolation_scale\": 0.5, \"norm_eps\": Infinity, "
                               "\"sample_size\": 32, \"out_channels\": null, "
                               "\"note\": \"-Infinity \\\"NaN\\\"\", \"more\": [NaN, -Infinity]}";
    ht_test_write(&folder, "config.json", text, strlen(text));
    assert_int_equal(read(context, PIXART, folder.path, &c), HT_OK);
    assert_true(c.pixart.interpolation_scale == 0.5 && c.pixart.eps == 1e-6f);
    assert_int_equal(c.pixart.out_channels, 4);
    ht_config json;
    assert_int_equal(ht_config_open(context, folder.path, "config.json", &json), HT_OK);
    assert_string_equal(ht_config_text(&json, "note", ""), "-Infinity \"NaN\"");
    ht_config_close(&json);
    ht_test_folder_close(&folder);
    ht_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

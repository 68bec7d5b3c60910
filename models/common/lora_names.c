// Names of tensors in files of LoRA: a prefix for the network, the layer, an ending for what the
// tensor is to it.
#include "lora_internal.h"

#include <stdio.h>
#include <string.h>

typedef struct ending {
    const char *text;
    ht_lora_role role;
    const char *refused;
} ending;

// Of endings that end alike, the longest first.
static const ending endings[] = {
    {".lora_down.weight", HT_LORA_DOWN, NULL},
    {".lora_up.weight", HT_LORA_UP, NULL},
    {".lora_mid.weight", HT_LORA_MID, NULL},
    {".alpha", HT_LORA_ALPHA, NULL},
    {".lora_A.weight", HT_LORA_DOWN, NULL}, // PEFT, diffusers
    {".lora_B.weight", HT_LORA_UP, NULL},
    {".lora_A.default.weight", HT_LORA_DOWN, NULL},
    {".lora_B.default.weight", HT_LORA_UP, NULL},
    {".lora_linear_layer.down.weight", HT_LORA_DOWN, NULL}, // older diffusers
    {".lora_linear_layer.up.weight", HT_LORA_UP, NULL},
    {".lora.down.weight", HT_LORA_DOWN, NULL},
    {".lora.up.weight", HT_LORA_UP, NULL},
    {"_lora.down.weight", HT_LORA_DOWN, NULL}, // of an attention's processor
    {"_lora.up.weight", HT_LORA_UP, NULL},
    {".hada_w1_a", HT_LOHA_W1_A, NULL},
    {".hada_w1_b", HT_LOHA_W1_B, NULL},
    {".hada_t1", HT_LOHA_T1, NULL},
    {".hada_w2_a", HT_LOHA_W2_A, NULL},
    {".hada_w2_b", HT_LOHA_W2_B, NULL},
    {".hada_t2", HT_LOHA_T2, NULL},
    {".lokr_w1", HT_LOKR_W1, NULL},
    {".lokr_w1_a", HT_LOKR_W1_A, NULL},
    {".lokr_w1_b", HT_LOKR_W1_B, NULL},
    {".lokr_w2", HT_LOKR_W2, NULL},
    {".lokr_w2_a", HT_LOKR_W2_A, NULL},
    {".lokr_w2_b", HT_LOKR_W2_B, NULL},
    {".lokr_t2", HT_LOKR_T2, NULL},
    {".dora_scale", HT_LORA_REFUSED, "DoRA, which rescales the weight itself"},
    {".lora_magnitude_vector", HT_LORA_REFUSED, "DoRA, which rescales the weight itself"},
    {".lora_magnitude_vector.weight", HT_LORA_REFUSED, "DoRA, which rescales the weight itself"},
    {".lora_magnitude_vector.default.weight", HT_LORA_REFUSED,
     "DoRA, which rescales the weight itself"},
    {".diff", HT_LORA_REFUSED, "a whole difference, not of low rank"},
    {".diff_b", HT_LORA_REFUSED, "a difference of a bias"},
    {".lora_B.bias", HT_LORA_REFUSED, "a LoRA with a bias"},
    {".w_norm", HT_LORA_REFUSED, "a difference of a norm"},
    {".b_norm", HT_LORA_REFUSED, "a difference of a norm"},
    {".oft_blocks", HT_LORA_REFUSED, "OFT, which turns the weight itself"},
    {".oft_diag", HT_LORA_REFUSED, "OFT, which turns the weight itself"},
    {".on_input", HT_LORA_REFUSED, "IA3, which rescales the weight itself"},
};

typedef struct prefix {
    const char *text;
    ht_lora_network network;
} prefix;

// Of prefixes that begin alike, the longest first. HT_LORA_NETWORKS: networks of other models.
static const prefix prefixes[] = {
    {"lora_unet_", HT_LORA_DENOISER}, // kohya, LyCORIS
    {"lycoris_", HT_LORA_DENOISER},
    {"lora_transformer_", HT_LORA_DENOISER},
    {"lora_te_", HT_LORA_TEXT},
    {"lora_te1_", HT_LORA_TEXT},
    {"lora_te2_", HT_LORA_TEXT_2},
    {"lora_te3_", HT_LORA_NETWORKS},
    {"text_encoder_3.", HT_LORA_NETWORKS},
    {"text_encoder_2.", HT_LORA_TEXT_2}, // diffusers
    {"text_encoder.", HT_LORA_TEXT},
    {"unet.", HT_LORA_DENOISER},
    {"transformer.", HT_LORA_DENOISER},
    {"base_model.model.", HT_LORA_DENOISER}, // PEFT
    {"model.diffusion_model.", HT_LORA_DENOISER},
    {"diffusion_model.", HT_LORA_DENOISER},
    {"", HT_LORA_DENOISER}, // the oldest of diffusers
};

// The ending of the name, or NULL.
static const ending *ending_of(const char *name) {
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); ++i) {
        const size_t tail = strlen(endings[i].text);
        if (length > tail && strcmp(name + length - tail, endings[i].text) == 0) {
            return &endings[i];
        }
    }
    return NULL;
}

// "attn1.processor.to_out" -> "attn1.to_out.0": layers that attentions kept in their processors.
static void leave_processor(char *module) {
    static const char inside[] = ".processor.";
    char *at = strstr(module, inside);
    if (at) {
        memmove(at + 1, at + sizeof(inside) - 1, strlen(at + sizeof(inside) - 1) + 1);
        const size_t length = strlen(module);
        if (strcmp(at, ".to_out") == 0 && length + 2 < HT_LORA_NAME_BYTES) {
            memcpy(module + length, ".0", 3);
        }
    }
}

bool ht_lora_parse(const char *name, ht_lora_key *out) {
    const ending *tail = ending_of(name);
    if (!tail || strlen(name) >= sizeof(out->layer)) {
        return false;
    }
    const prefix *head = prefixes;
    while (strncmp(name, head->text, strlen(head->text)) != 0) {
        ++head;
    }
    out->network = head->network;
    out->role = tail->role;
    out->refused = tail->refused;
    snprintf(out->layer, sizeof(out->layer), "%.*s", (int)(strlen(name) - strlen(tail->text)),
             name);
    snprintf(out->module, sizeof(out->module), "%s", out->layer + strlen(head->text));
    leave_processor(out->module);
    for (char *c = out->module; *c; ++c) {
        *c = *c == '.' ? '_' : *c;
    }
    return true;
}

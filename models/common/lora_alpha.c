// The numerators of LoRA's scales where they are not tensors of the file: in its metadata, as
// diffusers writes them, or in a configuration of PEFT beside it.
#include "config.h"
#include "lora_internal.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct ht_lora_alphas {
    ht_context *context;
    ht_config json;
    bool several; // networks, whose names are in front of the keys
};

ht_status ht_lora_alphas_open(const ht_weights *file, ht_context *context, ht_lora_alphas **out) {
    static const char beside[] = "adapter_config.json"; // of adapter_model.safetensors
    const char *path = ht_weights_path(file), *slash = strrchr(path, '/');
    const char *text = ht_weights_metadata(file, "lora_adapter_metadata");
    char folder[4096];
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    const bool peft = !text && strstr(slash ? slash : path, "adapter_model.") &&
                      ht_config_exists(folder, beside);
    *out = NULL;
    if (!text && !peft) {
        return HT_OK;
    }
    ht_lora_alphas *alphas = ht_alloc(context, sizeof(*alphas));
    if (!alphas) {
        return HT_ERR_NO_MEMORY;
    }
    *alphas = (ht_lora_alphas){.context = context, .several = text != NULL};
    ht_status status = text ? ht_config_parse(context, path, text, &alphas->json)
                            : ht_config_open(context, folder, beside, &alphas->json);
    if (status != HT_OK) {
        ht_free(context, alphas);
        return status;
    }
    *out = alphas;
    return HT_OK;
}

void ht_lora_alphas_close(ht_lora_alphas **alphas) {
    if (*alphas) {
        ht_context *context = (*alphas)->context;
        ht_config_close(&(*alphas)->json);
        ht_free(context, *alphas);
        *alphas = NULL;
    }
}

// "lora_alpha" of the network, as the configuration calls it; NULL when it has none.
static json_t *value_of(const ht_lora_alphas *alphas, ht_lora_network network, const char *key) {
    static const char *const names[HT_LORA_NETWORKS][2] = {
        {"unet", "transformer"}, {"text_encoder", ""}, {"text_encoder_2", ""}};
    char name[128];
    json_t *found = alphas->several ? NULL : json_object_get(alphas->json.root, key);
    for (uint32_t i = 0; alphas->several && !found && i < 2 && *names[network][i]; ++i) {
        snprintf(name, sizeof(name), "%s.%s", names[network][i], key);
        found = json_object_get(alphas->json.root, name);
    }
    return found;
}

// Is the pattern, with _ for its dots, the module or its last part?
static bool is_of(const char *module, const char *pattern) {
    const size_t length = strlen(module), tail = strlen(pattern);
    const char *at = module + length - tail;
    if (tail > length || (tail < length && at[-1] != '_')) {
        return false;
    }
    for (size_t i = 0; i < tail; ++i) {
        if (at[i] != (pattern[i] == '.' ? '_' : pattern[i])) {
            return false;
        }
    }
    return true;
}

ht_status ht_lora_alphas_find(const ht_lora_alphas *alphas, const ht_lora_key *key, uint32_t rank,
                              float *alpha) {
    const char *pattern;
    json_t *each;
    *alpha = NAN;
    if (!alphas) {
        return HT_OK;
    }
    if (json_is_true(value_of(alphas, key->network, "use_dora"))) {
        return ht_fail(alphas->context, HT_ERR_UNSUPPORTED,
                       "'%s' is DoRA, which rescales the weight itself and cannot be computed "
                       "beside packed weights",
                       alphas->json.path);
    }
    json_t *value = value_of(alphas, key->network, "lora_alpha");
    json_object_foreach(value_of(alphas, key->network, "alpha_pattern"), pattern, each) {
        value = is_of(key->module, pattern) ? each : value;
    }
    if (value && (!json_is_number(value) || !isfinite(json_number_value(value)))) {
        return ht_fail(alphas->context, HT_ERR_IO, "'%s': \"lora_alpha\" is not a number",
                       alphas->json.path);
    }
    if (value) { // PEFT's rank-stabilized kind divides by the root of the rank
        const bool root = json_is_true(value_of(alphas, key->network, "use_rslora"));
        *alpha = (float)(json_number_value(value) * (root ? sqrt(rank) : 1));
    }
    return HT_OK;
}

// Which autoencoder a folder or file holds.
#include "single_file.h"

#include "autoencoder_taehv.h"
#include "autoencoder_tiny.h"

#include <string.h>
#include <sys/stat.h>

// The folder of a part, or of its file. Released by the caller.
static ht_status folder_of(ht_context *context, const char *path, bool *is_file, char **out) {
    struct stat info;
    *out = ht_strdup(context, path);
    if (!*out) {
        return HT_ERR_NO_MEMORY;
    }
    *is_file = stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
    char *slash = *is_file ? strrchr(*out, '/') : NULL;
    if (slash) {
        *slash = 0;
    } else if (*is_file) {
        memcpy(*out, ".", 2);
    }
    return HT_OK;
}

// Is there the configuration of an autoencoder? That of something else may lie beside a file.
static bool describes_vae(ht_context *context, const char *folder, bool is_file) {
    ht_config json;
    if (!is_file) {
        return true;
    }
    if (!ht_config_exists(folder, "config.json") ||
        ht_config_open(context, folder, "config.json", &json) != HT_OK) {
        return false;
    }
    const char *name = ht_config_text(&json, "_class_name", "");
    bool found = strcmp(name, "AutoencoderKL") == 0 || strcmp(name, "AutoencoderTiny") == 0;
    ht_config_close(&json);
    return found;
}

// What a file has that has no configuration beside it; *out is the model's own VAE's so far.
static ht_status from_tensors(ht_pipeline *p, const ht_weights *weights, ht_vae_config *out) {
    ht_vae_config own = *out;
    ht_ldm_names names;
    if (ht_taehv_config_find(weights, out) || ht_tiny_config_find(weights, out)) {
        return HT_OK;
    }
    *out = own;
    if (!ht_ldm_recognise(weights, HT_LDM_VAE, &names)) {
        return HT_OK; // diffusers' names: like the model's own, which is checked tensor by tensor
    }
    ht_status status = ht_single_vae_config(p->context, weights, &names, out);
    out->sample_size = own.sample_size;
    out->scaling_factor = own.scaling_factor;
    out->shift_factor = own.shift_factor;
    return status;
}

// The autoencoder at the part's path. *out holds the model's own configuration, if it has one.
static ht_status read_one(ht_pipeline *p, uint32_t index, ht_vae_config *out) {
    ht_part *part = &p->parts[index];
    const ht_weights_desc desc = {.path = part->path, .format = part->format};
    char *folder;
    bool is_file;
    ht_status status = folder_of(p->context, part->path, &is_file, &folder);
    bool described = status == HT_OK && describes_vae(p->context, folder, is_file);
    if (described) {
        status = ht_vae_config_read(p->context, folder, out);
    }
    if (status == HT_OK) {
        status = ht_weights_open(p->context, &desc, &part->weights);
    }
    if (status == HT_OK && !described) {
        status = from_tensors(p, part->weights, out);
    }
    if (status == HT_OK && out->tiny && !out->video) {
        out->missing = ht_tiny_missing(part->weights);
    }
    ht_part_close(p, index);
    ht_free(p->context, folder);
    return status;
}

// Is it a tiny one, with a decoder, of latents like the VAE's?
static ht_status check_preview(ht_pipeline *p) {
    const ht_vae_config *a = &p->vae.config, *b = &p->preview.config;
    const char *path = p->parts[PART_PREVIEW].path;
    if (!b->tiny || (b->missing & HT_VAE_DECODER)) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "'%s' is not a tiny autoencoder with a decoder, as previews need it", path);
    }
    bool fits = b->latent_channels == a->latent_channels && ht_vae_factor(b) == ht_vae_factor(a) &&
                b->video == a->video;
    if (!fits && !p->options.preview_vae) { // beside the model, but another VAE was asked for
        p->parts[PART_PREVIEW].name = NULL;
        return HT_OK;
    }
    if (!fits) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "'%s' is for another model: it decodes %u channels and %u pixels per "
                       "latent to %s, the VAE %u and %u to %s",
                       path, b->latent_channels, ht_vae_factor(b), b->video ? "clips" : "pictures",
                       a->latent_channels, ht_vae_factor(a), a->video ? "clips" : "pictures");
    }
    return HT_OK;
}

// Low bits are for the autoencoder of clips.
static ht_status apply_recipe(ht_pipeline *p) {
    ht_weight_map map;
    if (!p->vae_recipe) {
        return HT_OK;
    }
    if (!p->vae.config.video || p->vae.config.tiny) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "'%s' is no AutoencoderKLWan or AutoencoderKLCogVideoX: a recipe for the "
                       "autoencoder is for those of video models",
                       p->parts[PART_VAE].path);
    }
    p->vae.config.recipe = p->vae_recipe;
    ht_status status = ht_vae_weight_map(p->context, &p->vae.config, HT_VAE_BOTH, &map);
    if (status == HT_OK) {
        status = ht_recipe_check(p->vae_recipe, &map);
    }
    ht_weight_map_clear(&map);
    return status;
}

ht_status ht_vae_open(ht_pipeline *p, const char *folder) {
    ht_status status = HT_OK;
    if (folder && p->options.vae) { // for what a file's tensors do not say
        char *own = ht_path_join(p->context, folder, p->parts[PART_VAE].name);
        status = own ? HT_OK : HT_ERR_NO_MEMORY;
        if (own && ht_config_exists(own, "config.json")) {
            status = ht_vae_config_read(p->context, own, &p->vae.config);
        }
        ht_free(p->context, own);
    }
    if (status == HT_OK && (folder || p->options.vae)) {
        status = read_one(p, PART_VAE, &p->vae.config);
    }
    if (status == HT_OK && (p->vae.config.missing & HT_VAE_DECODER)) {
        status = ht_fail(p->context, HT_ERR_INVALID,
                         "'%s' has an encoder only: no picture can be decoded with it",
                         p->parts[PART_VAE].path);
    }
    if (status == HT_OK) {
        status = apply_recipe(p);
    }
    if (status == HT_OK && p->parts[PART_PREVIEW].name) {
        p->preview.config = p->vae.config;
        status = read_one(p, PART_PREVIEW, &p->preview.config);
        if (status == HT_OK) {
            status = check_preview(p);
        }
    }
    return status;
}

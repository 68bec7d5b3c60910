// Opening a model folder: what it is, whether it can be run, and its defaults.
#include "pipeline_internal.h"

#include "common/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// What some classes have beside what their family is made of.
static const ht_component CONTROL = {"controlnet", {"ControlNetModel"}};
static const char TINY[] = "vae_tiny"; // folder of a tiny autoencoder beside the others

static ht_status check_component(ht_pipeline *p, ht_config *json, const ht_component *c) {
    const char *found = ht_config_text_item(json, c->key, 1);
    for (uint32_t i = 0; i < 4 && found && c->classes[i]; ++i) {
        if (strcmp(c->classes[i], found) == 0) {
            return HT_OK;
        }
    }
    if (json->status != HT_OK) {
        return json->status;
    }
    return ht_fail(p->context, HT_ERR_UNSUPPORTED, "'%s': the %s is %s%s; supported: %s",
                   json->path, c->key, found ? "a " : "", found ? found : "not named",
                   c->classes[0]);
}

static ht_status refuse_class(ht_pipeline *p, const char *folder) {
    char known[1024] = "";
    for (uint32_t i = 0; ht_families[i]; ++i) {
        for (uint32_t c = 0; ht_families[i]->classes[c]; ++c) {
            size_t used = strlen(known);
            snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
                     ht_families[i]->classes[c]);
        }
    }
    return ht_fail(p->context, HT_ERR_UNSUPPORTED, "'%s' is a '%s'; supported: %s", folder,
                   p->info.class_name, known);
}

static ht_status read_index(ht_pipeline *p, const char *folder) {
    struct stat info;
    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return ht_fail(p->context, HT_ERR_IO, "there is no model '%s'", folder);
    }
    if (!ht_config_exists(folder, "model_index.json")) {
        return ht_fail(p->context, HT_ERR_IO,
                       "'%s' is not a model in the diffusers layout: it has no model_index.json",
                       folder);
    }
    ht_config json;
    ht_status status = ht_config_open(p->context, folder, "model_index.json", &json);
    if (status != HT_OK) {
        return status;
    }
    const char *name = ht_config_text(&json, "_class_name", "");
    snprintf(p->info.class_name, sizeof(p->info.class_name), "%s", name);
    p->family = ht_family_find(name);
    p->zero_negative = ht_config_bool(&json, "force_zeros_for_empty_prompt", false);
    status = json.status;
    if (status == HT_OK && !p->family) {
        status = refuse_class(p, folder);
    }
    for (const ht_component *c = p->family ? p->family->components : NULL;
         status == HT_OK && c->key; ++c) {
        status = check_component(p, &json, c);
    }
    const char *absent = p->family ? p->family->absent : NULL;
    if (status == HT_OK && absent && ht_config_text_item(&json, absent, 1)) {
        status = ht_fail(p->context, HT_ERR_UNSUPPORTED,
                         "'%s' has a %s; models of this kind are not supported", folder, absent);
    }
    const ht_component *picture = p->family && p->family->picture.key ? &p->family->picture : NULL;
    if (status == HT_OK && picture && ht_config_text_item(&json, picture->key, 1)) {
        status = check_component(p, &json, picture);
        p->parts[PART_IMAGE].name = picture->key;
    }
    if (status == HT_OK && ht_config_has(&json, CONTROL.key) && !p->options.control) {
        status = check_component(p, &json, &CONTROL);
        p->parts[PART_CONTROL].name = CONTROL.key;
    }
    ht_config_close(&json);
    return status;
}

char *ht_path_join(ht_context *context, const char *folder, const char *name) {
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = ht_alloc(context, bytes);
    if (path) {
        snprintf(path, bytes, "%s/%s", folder, name);
    }
    return path;
}

// "<folder>/vae_tiny" when a preview or the picture is to be made by what is in there, else NULL.
static ht_status find_tiny(ht_pipeline *p, const char *folder, const char *file, char **out) {
    const char *vae = p->options.vae;
    bool asked = vae && strcmp(vae, "tiny") == 0;
    char *beside = NULL;
    *out = NULL;
    if (!folder) { // that of the file
        const char *slash = strrchr(file, '/');
        size_t length = slash ? (size_t)(slash - file) : 1;
        beside = ht_alloc(p->context, length + 1);
        if (!beside) {
            return HT_ERR_NO_MEMORY;
        }
        memcpy(beside, slash ? file : ".", length);
        beside[length] = 0;
    }
    char *path = ht_path_join(p->context, folder ? folder : beside, TINY);
    ht_free(p->context, beside);
    struct stat info;
    if (!path) {
        return HT_ERR_NO_MEMORY;
    }
    if (stat(path, &info) == 0) {
        *out = path;
        return HT_OK;
    }
    ht_status status =
        asked ? ht_fail(p->context, HT_ERR_IO,
                        "there is no tiny autoencoder '%s'; give its folder or file", path)
              : HT_OK;
    ht_free(p->context, path);
    return status;
}

// Where each part comes from when it is not in the model's folder or file; else NULL.
static const char *given_path(const ht_pipeline *p, uint32_t part, const char *own_tiny) {
    const ht_pipeline_options *o = &p->options;
    switch (part) {
    case PART_CONTROL: return o->control;
    case PART_VAE: return o->vae && strcmp(o->vae, "tiny") == 0 ? own_tiny : o->vae;
    case PART_PREVIEW: return o->preview_vae ? o->preview_vae : own_tiny;
    default: return NULL;
    }
}

static ht_status name_part(ht_pipeline *p, uint32_t index, const char *folder, const char *file,
                           const char *given) {
    ht_part *part = &p->parts[index];
    if (!part->name) {
        return HT_OK;
    }
    part->format = p->options.weights != HT_FORMAT_NONE ? p->options.weights : HT_FORMAT_F16;
    part->path = given    ? ht_strdup(p->context, given)
                 : folder ? ht_path_join(p->context, folder, part->name)
                          : ht_strdup(p->context, file);
    part->file = file && !given ? ht_strdup(p->context, file) : NULL;
    return part->path && (part->file || !file || given) ? HT_OK : HT_ERR_NO_MEMORY;
}

// Folder and file of each part; either may be NULL, not both.
static ht_status name_parts(ht_pipeline *p, const char *folder, const char *file) {
    char *own_tiny;
    ht_status status = find_tiny(p, folder, file, &own_tiny);
    if (p->options.control) {
        p->parts[PART_CONTROL].name = CONTROL.key;
    }
    bool same = p->options.vae && strcmp(p->options.vae, "tiny") == 0; // serves previews, too
    if (p->options.preview_vae || (own_tiny && !same)) {
        p->parts[PART_PREVIEW].name = TINY;
    }
    for (uint32_t i = 0; i < HT_REPORT_PARTS && status == HT_OK; ++i) {
        p->parts[i].name = p->family->parts[i] ? p->family->parts[i] : p->parts[i].name;
        status = name_part(p, i, folder, file, given_path(p, i, own_tiny));
    }
    ht_free(p->context, own_tiny);
    p->options.control = NULL; // the caller's
    if (status == HT_OK && p->options.denoiser) {
        ht_free(p->context, p->parts[PART_DENOISER].file);
        p->parts[PART_DENOISER].file = ht_strdup(p->context, p->options.denoiser);
        status = p->parts[PART_DENOISER].file ? HT_OK : HT_ERR_NO_MEMORY;
    }
    p->options.denoiser = NULL; // the caller's
    return status;
}

// The table of the checkpoint, and what is kept of it.
static ht_status read_attentions(ht_pipeline *p, const ht_weights *weights) {
    const char *carried = ht_weights_metadata(weights, HT_ATTENTION_TABLE_KEY);
    ht_status status = HT_OK;
    if (carried) {
        status =
            ht_attention_table_parse(p->context, ht_weights_path(weights), carried, &p->attentions);
    }
    if (p->attentions) {
        ht_attention_table_keep(p->attentions, p->attention.density);
    }
    p->attention.table = p->attentions;
    return status;
}

static ht_status read_denoiser(ht_pipeline *p, bool known) {
    const ht_part *part = &p->parts[PART_DENOISER];
    const ht_denoiser *denoiser = p->family->denoiser;
    if (known && denoiser->folder_only) {
        return ht_fail(p->context, HT_ERR_UNSUPPORTED,
                       "video models in one file are not supported; give the diffusers folder");
    }
    return denoiser->read(p, known ? NULL : part->path, part->weights);
}

// Configurations, unless they are known, and the tables of all weights against the files.
static ht_status read_parts(ht_pipeline *p, const char *folder) {
    bool known = folder == NULL;
    ht_status status = known ? HT_OK : p->family->text->read(p);
    if (status == HT_OK) {
        status = ht_vae_open(p, folder);
    }
    if (status == HT_OK) { // its file decides about a part of the configuration
        ht_part *dit = &p->parts[PART_DENOISER];
        ht_weights_desc desc = {.path = dit->file ? dit->file : dit->path, .format = dit->format};
        status = ht_weights_open(p->context, &desc, &dit->weights);
        const char *carried =
            status == HT_OK ? ht_weights_metadata(dit->weights, HT_WEIGHTS_RECIPE_KEY) : NULL;
        if (carried && !p->recipe) {
            p->own_recipe = true;
            status =
                ht_recipe_parse(p->context, ht_weights_path(dit->weights), carried, &p->recipe);
        }
        const char *scales =
            p->own_recipe ? ht_weights_metadata(dit->weights, HT_SCALE_TABLE_KEY) : NULL;
        if (status == HT_OK && scales) {
            status =
                ht_scale_table_parse(p->context, ht_weights_path(dit->weights), scales, &p->scales);
        }
        if (status == HT_OK) {
            status = read_attentions(p, dit->weights);
        }
        if (status == HT_OK) {
            status = read_denoiser(p, known);
        }
        ht_part_close(p, PART_DENOISER);
    }
    if (status == HT_OK) {
        p->family->denoiser->shape(p, &p->shape);
        status = ht_control_read(p);
    }
    if (status == HT_OK && folder) {
        status = ht_clip_picture_read(p, folder);
    }
    for (uint32_t i = 0; status == HT_OK && i < HT_REPORT_PARTS; ++i) {
        if (!p->parts[i].name) {
            continue;
        }
        status = ht_part_open(p, i);
        for (size_t w = 0; status == HT_OK && w < ht_weights_count(p->parts[i].weights); ++w) {
            p->info.file_bytes += ht_weights_get(p->parts[i].weights, w)->bytes;
        }
    }
    return status;
}

static ht_status check_fit(ht_pipeline *p) {
    const char *name = p->parts[PART_DENOISER].name;
    uint32_t latent = p->vae.config.latent_channels;
    const bool clips = p->shape.frames > 0;
    const uint32_t beside = latent + (clips ? HT_CLIP_TIMES : 1);
    if (p->shape.in_channels != latent && p->shape.in_channels != latent + beside) {
        return ht_fail(p->context, HT_ERR_IO,
                       "the vae has %u latent channels, the %s %u; expected %u, or %u of a model "
                       "that %s",
                       latent, name, p->shape.in_channels, latent, latent + beside,
                       clips ? "begins with a picture" : "repaints under a mask");
    }
    if (p->shape.out_channels < latent) {
        return ht_fail(p->context, HT_ERR_IO, "the %s takes %u channels and gives %u", name,
                       p->shape.in_channels, p->shape.out_channels);
    }
    if (p->shape.text_layers + p->shape.image_layers > HT_MAX_TEXT_LAYERS) {
        return ht_fail(p->context, HT_ERR_UNSUPPORTED, "the %s has %u layers, at most %d", name,
                       p->shape.text_layers, HT_MAX_TEXT_LAYERS);
    }
    return HT_OK;
}

static ht_status read_defaults(ht_pipeline *p, const char *folder) {
    ht_pipeline_info *info = &p->info;
    uint32_t edge = p->shape.sample_size * ht_vae_factor(&p->vae.config);
    info->grid = ht_vae_factor(&p->vae.config) * p->shape.multiple;
    info->width = info->height = edge;
    if (p->shape.sample_width > 0) {
        info->width = p->shape.sample_width * ht_vae_factor(&p->vae.config);
    }
    info->frames = p->shape.frames;
    info->fps = p->shape.fps;
    info->steps = p->single_steps > 0 ? p->single_steps : p->family->steps;
    info->cfg_scale = p->family->cfg_scale;
    if (!folder || !ht_config_exists(folder, "halftone.json")) {
        return HT_OK;
    }
    ht_config json, defaults;
    ht_status status = ht_config_open(p->context, folder, "halftone.json", &json);
    if (status != HT_OK) {
        return status;
    }
    info->max_tokens = ht_config_u32(&json, "max_tokens", info->max_tokens, 1, 4096);
    snprintf(info->description, sizeof(info->description), "%s",
             ht_config_text(&json, "description", ""));
    if (ht_config_object(&json, "defaults", &defaults)) {
        info->steps = ht_config_u32(&defaults, "steps", info->steps, 1, HT_MAX_STEPS);
        info->cfg_scale = (float)ht_config_real(&defaults, "cfg_scale", info->cfg_scale, 0, 1000);
        info->width = ht_config_u32(&defaults, "width", info->width, 1, HT_MAX_EDGE);
        info->height = ht_config_u32(&defaults, "height", info->height, 1, HT_MAX_EDGE);
        if (info->frames > 0) {
            info->frames = ht_config_u32(&defaults, "frames", info->frames, 1, HT_MAX_FRAMES);
            info->fps = ht_config_real(&defaults, "fps", info->fps, 1, 240);
        }
        const char *sampler = ht_config_text(&defaults, "sampler", NULL);
        const char *schedule = ht_config_text(&defaults, "schedule", NULL);
        status = json.status == HT_OK ? defaults.status : json.status;
        if (status == HT_OK) {
            status = ht_sampler_config_choose(p->context, sampler, schedule, &p->sampler);
        }
    }
    status = status == HT_OK ? json.status : status;
    ht_config_close(&json);
    return status;
}

// Half precision where the network's range allows it, unless asked otherwise. Not on a CPU driver:
// there it gains nothing (0.104 s of CPU time for four steps of scenes-dit with f32 activations,
// 0.106 s with f16) and every format is another set of kernels to compile.
static void choose_activations(ht_pipeline *p) {
    ht_format asked = p->options.activations;
    const ht_device_info *device = ht_context_device(p->context);
    bool on_cpu = !device || device->type == HT_DEVICE_CPU;
    ht_format denoiser = on_cpu || p->shape.wide_range ? HT_FORMAT_F32 : HT_FORMAT_F16;
    p->activations = asked != HT_FORMAT_NONE ? asked : denoiser;
    ht_vae_stage *const stages[] = {&p->vae, &p->preview};
    for (size_t i = 0; i < sizeof(stages) / sizeof(*stages); ++i) {
        bool wide = stages[i]->config.force_upcast || on_cpu;
        stages[i]->activations = asked != HT_FORMAT_NONE ? asked
                                 : wide                  ? HT_FORMAT_F32
                                                         : HT_FORMAT_F16;
    }
}

// Keeping every part loaded must leave room for what they compute.
static void check_keeping(ht_pipeline *p) {
    const ht_device_info *device = ht_context_device(p->context);
    uint64_t limit = p->options.max_device_bytes;
    limit = limit > 0 ? limit : device ? device->memory_bytes : UINT64_MAX;
    if (p->options.keep_loaded && p->info.file_bytes > limit / 2) {
        ht_log(p->context, HT_LOG_INFO,
               "the model has %.0f MiB: its parts are loaded in turn, not kept",
               (double)p->info.file_bytes / (1 << 20));
        p->options.keep_loaded = false;
    }
}

static void note_abilities(ht_pipeline *p) {
    ht_pipeline_info *info = &p->info;
    info->takes_pictures = info->frames == 0;
    info->begins_with_picture =
        info->frames > 0 && !p->shape.frames_first; // as what holds it expects
    info->needs_picture = ht_clip_needs_picture(p);
    info->takes_loras = info->frames == 0;
    info->takes_control = p->family->denoiser == &ht_denoiser_unet;
    info->has_control = p->parts[PART_CONTROL].name != NULL;
    info->has_attention_table = p->attentions != NULL;
}

static bool is_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static ht_status read_sampler(ht_pipeline *p, const char *folder) {
    char *path = ht_path_join(p->context, folder, "scheduler");
    ht_status status =
        path ? ht_sampler_config_read(p->context, path, &p->sampler) : HT_ERR_NO_MEMORY;
    ht_free(p->context, path);
    return status;
}

// What is predicted, as asked for.
static ht_status read_prediction(ht_pipeline *p) {
    static const struct {
        const char *name;
        ht_prediction prediction;
    } rows[] = {{"epsilon", HT_PREDICT_EPSILON},
                {"eps", HT_PREDICT_EPSILON},
                {"v", HT_PREDICT_V},
                {"v_prediction", HT_PREDICT_V},
                {"sample", HT_PREDICT_SAMPLE}};
    const char *asked = p->options.prediction;
    p->prediction = -1;
    for (size_t i = 0; asked && i < sizeof(rows) / sizeof(*rows); ++i) {
        if (strcmp(rows[i].name, asked) == 0) {
            p->prediction = (int)rows[i].prediction;
            return HT_OK;
        }
    }
    return asked ? ht_fail(p->context, HT_ERR_INVALID,
                           "there is no prediction '%s'; known: epsilon, v, sample", asked)
                 : HT_OK;
}

static ht_status open_all(ht_pipeline *p, const char *path) {
    const char *file = is_file(path) ? path : NULL;
    const char *folder = file ? p->options.config : path;
    ht_status status = read_prediction(p);
    if (status == HT_OK) {
        status = folder ? read_index(p, folder) : ht_single_file_read(p, file);
    }
    if (status == HT_OK) {
        status = name_parts(p, folder, file);
    }
    if (status == HT_OK && folder) {
        status = read_sampler(p, folder);
    }
    if (status == HT_OK && p->prediction >= 0) {
        p->sampler.prediction = (ht_prediction)p->prediction;
    }
    if (status == HT_OK) {
        status = read_parts(p, folder);
    }
    if (status == HT_OK) {
        status = p->family->text->open(p, folder);
    }
    if (status == HT_OK) {
        status = ht_embeddings_open(p);
    }
    if (status == HT_OK) {
        status = check_fit(p);
    }
    if (status == HT_OK) {
        status = read_defaults(p, folder);
    }
    if (status == HT_OK) {
        choose_activations(p);
        check_keeping(p);
        note_abilities(p);
        snprintf(p->info.sampler, sizeof(p->info.sampler), "%s", ht_sampler_name(p->sampler.kind));
        snprintf(p->info.schedule, sizeof(p->info.schedule), "%s", ht_schedule_name(&p->sampler));
    }
    return status;
}

ht_status ht_pipeline_open(ht_context *context, const char *path,
                           const ht_pipeline_options *options, ht_pipeline **out) {
    ht_pipeline *p = ht_alloc(context, sizeof(*p));
    *out = NULL;
    if (!p) {
        return HT_ERR_NO_MEMORY;
    }
    p->context = context;
    p->vae.part = PART_VAE;
    p->preview.part = PART_PREVIEW;
    p->options = options ? *options : (ht_pipeline_options){0};
    ht_status status =
        p->options.recipe ? ht_recipe_open(context, p->options.recipe, &p->recipe) : HT_OK;
    if (status == HT_OK && p->options.vae_recipe) {
        status = ht_recipe_open(context, p->options.vae_recipe, &p->vae_recipe);
    }
    p->options.recipe = p->options.vae_recipe = NULL; // the caller's
    const char *attention = p->options.attention ? p->options.attention : "dense";
    if (status == HT_OK && !ht_attention_choice_parse(attention, &p->attention)) {
        status = ht_fail(context, HT_ERR_INVALID, "attention '%s': expected %s", attention,
                         HT_ATTENTION_CHOICES);
    }
    p->options.attention = NULL; // the caller's
    if (status == HT_OK && p->options.cache) {
        p->cache = ht_strdup(context, p->options.cache);
        p->options.cache = p->cache;
        status = p->cache ? HT_OK : HT_ERR_NO_MEMORY;
    }
    if (status == HT_OK) {
        status = open_all(p, path);
    }
    p->options.config = p->options.tokenizer = p->options.prediction = NULL; // the caller's
    p->options.vae = p->options.preview_vae = NULL;
    p->options.embeddings = NULL;
    p->options.tokenizers = NULL;
    if (status != HT_OK) {
        ht_pipeline_destroy(&p);
    }
    *out = p;
    return status;
}

void ht_pipeline_destroy(ht_pipeline **pipeline) {
    ht_pipeline *p = *pipeline;
    if (!p) {
        return;
    }
    ht_context *context = p->context;
    ht_denoise_release(p);
    ht_text_release(p);
    ht_embeddings_close(p);
    ht_vae_stage_release(&p->vae);
    ht_vae_stage_release(&p->preview);
    ht_clip_picture_release(p);
    ht_lora_stage_release(p);
    for (uint32_t i = 0; i < HT_REPORT_PARTS; ++i) {
        ht_part_close(p, i);
        ht_free(context, p->parts[i].path);
        ht_free(context, p->parts[i].file);
    }
    if (p->family) {
        p->family->text->close(p);
    }
    ht_free(context, p->unet_plan);
    ht_free(context, p->control_plan);
    ht_recipe_destroy(&p->recipe);
    ht_recipe_destroy(&p->vae_recipe);
    ht_scale_table_destroy(&p->scales);
    ht_attention_table_destroy(&p->attentions);
    ht_free(context, p->cache);
    ht_free(context, p);
    *pipeline = NULL;
}

const ht_pipeline_info *ht_pipeline_get_info(const ht_pipeline *pipeline) {
    return &pipeline->info;
}

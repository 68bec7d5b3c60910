// Opening a model in one file: which family it is, and all that a folder's JSON files would say.
#include "single_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Tensors that only files of other kinds have.
static const struct {
    const char *name, *kind;
} others[] = {
    {"conditioner.embedders.0.model.ln_final.weight", "the refiner of SDXL"},
    {"edm_mean", "a model of the EDM kind (Playground v2.5)"},
    {"control_model.input_blocks.0.0.weight", "a ControlNet"},
    {"joint_blocks.0.context_block.adaLN_modulation.1.bias", "Stable Diffusion 3"},
    {"model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias",
     "Stable Diffusion 3"},
    {"double_blocks.0.img_attn.norm.key_norm.scale", "a FLUX transformer"},
    {"model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale", "a FLUX transformer"},
    {"blocks.0.cross_attn.kv_linear.weight", "a PixArt transformer under its authors' names"},
    {"down_blocks.0.resnets.0.norm1.weight", "a UNet under the names of diffusers"},
    {"decoder.mid_block.resnets.0.norm1.weight", "a VAE under the names of diffusers"},
    {"decoder.mid.block_1.norm1.weight", "a VAE"},
};

static const char *other_kind(const ht_weights *weights) {
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); ++i) {
        if (ht_weights_find(weights, others[i].name)) {
            return others[i].kind;
        }
    }
    for (size_t i = 0; i < ht_weights_count(weights); ++i) {
        const char *name = ht_weights_get(weights, i)->name;
        if (strncmp(name, "lora_", 5) == 0 || strstr(name, ".lora_down.") ||
            strstr(name, ".lora_A.") || strstr(name, ".lora.down.")) {
            return "a LoRA";
        }
    }
    return NULL;
}

static const char supported[] = "supported in one file: Stable Diffusion 1, 2 and XL (base)";

static ht_status refuse(const ht_pipeline *p, const ht_weights *weights) {
    const char *kind = other_kind(weights), *path = ht_weights_path(weights);
    if (kind) {
        return ht_fail(p->context, HT_ERR_UNSUPPORTED, "'%s' is %s; %s", path, kind, supported);
    }
    const ht_weight_info *first = ht_weights_get(weights, 0);
    return ht_fail(p->context, HT_ERR_UNSUPPORTED,
                   "'%s' has no tensors 'model.diffusion_model.*' (its first is '%s'); %s", path,
                   first ? first->name : "none", supported);
}

static ht_status lacks(const ht_pipeline *p, const ht_weights *weights, const char *part) {
    return ht_fail(p->context, HT_ERR_UNSUPPORTED,
                   "'%s' has a UNet and no %s; give a whole model with --model and this file with "
                   "--diffusion-model",
                   ht_weights_path(weights), part);
}

// Predictions of v leave their mark on this bias of Stable Diffusion 2: its values vary more than
// twice as much as in the networks that predict noise. Nothing else in the files tells them apart.
static bool varies(ht_pipeline *p, ht_weights *weights, const ht_ldm_names *names) {
    enum { MOST = 1 << 14 };
    char name[128];
    snprintf(name, sizeof(name), "up_blocks.%u.attentions.%u.transformer_blocks.0.norm1.bias",
             p->unet.levels - 1, p->unet.layers_per_block);
    const ht_weight_info *info = ht_ldm_find(weights, names, name);
    uint32_t count = info && info->desc.rank == 1 ? info->desc.dims[0] : 0;
    float *values = count > 1 && count <= MOST ? ht_alloc(p->context, count * sizeof(float)) : NULL;
    double sum = 0, squares = 0;
    if (!values || ht_weights_read_f32(weights, info->name, values, count) != HT_OK) {
        ht_free(p->context, values);
        return false;
    }
    for (uint32_t i = 0; i < count; ++i) {
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    ht_free(p->context, values);
    return sqrt(fmax(0, squares - sum * sum / count) / count) > 0.09;
}

// ---- schedulers, as the families' folders have them

#define TABLES                                                                                     \
    "\"num_train_timesteps\": 1000, \"beta_schedule\": \"scaled_linear\", \"beta_start\": "        \
    "0.00085, \"beta_end\": 0.012, \"steps_offset\": 1, \"timestep_spacing\": \"leading\", "       \
    "\"clip_sample\": false"
static const char pndm[] = "{\"_class_name\": \"PNDMScheduler\", " TABLES
                           ", \"set_alpha_to_one\": false, \"skip_prk_steps\": true}";
static const char ddim_v[] = "{\"_class_name\": \"DDIMScheduler\", " TABLES
                             ", \"set_alpha_to_one\": false, \"prediction_type\": "
                             "\"v_prediction\"}";
static const char euler[] = "{\"_class_name\": \"EulerDiscreteScheduler\", " TABLES "}";
static const char euler_v[] = "{\"_class_name\": \"EulerDiscreteScheduler\", " TABLES
                              ", \"prediction_type\": \"v_prediction\"}";
static const char euler_v_zero[] = "{\"_class_name\": \"EulerDiscreteScheduler\", " TABLES
                                   ", \"prediction_type\": \"v_prediction\", "
                                   "\"rescale_betas_zero_snr\": true}";
static const char lcm[] = "{\"_class_name\": \"LCMScheduler\", " TABLES
                          ", \"set_alpha_to_one\": true, \"original_inference_steps\": 50, "
                          "\"timestep_scaling\": 10.0}";

// ---- families

typedef struct kind {
    const char *title, *class_name, *scheduler;
    uint32_t sample_size; // of the latent
    uint32_t steps;       // 0: the family's
} kind;
static const kind sd1 = {"Stable Diffusion 1", "StableDiffusionPipeline", pndm, 64, 0};
static const kind sd1_lcm = {"LCM", "LatentConsistencyModelPipeline", lcm, 96, 4};
static const kind sd2 = {"Stable Diffusion 2", "StableDiffusionPipeline", pndm, 64, 0};
static const kind sd2_v = {"Stable Diffusion 2 (v-prediction)", "StableDiffusionPipeline", ddim_v,
                           96, 0};
static const kind xl = {"SDXL", "StableDiffusionXLPipeline", euler, 128, 0};
static const kind xl_v = {"SDXL (v-prediction)", "StableDiffusionXLPipeline", euler_v, 128, 0};
static const kind xl_v_zero = {"SDXL (v-prediction, zero terminal SNR)",
                               "StableDiffusionXLPipeline", euler_v_zero, 128, 0};

typedef struct parts {
    ht_ldm_names unet, vae, text, text_2;
    bool two; // text encoders
} parts;

static bool chosen(const ht_pipeline *p, ht_prediction prediction, bool otherwise) {
    return p->prediction >= 0 ? p->prediction == (int)prediction : otherwise;
}

static const kind *kind_of(ht_pipeline *p, ht_weights *weights, const parts *at, bool second) {
    if (at->two) {
        bool v = ht_weights_find(weights, "v_pred") != NULL;
        bool zero = ht_weights_find(weights, "ztsnr") != NULL;
        return chosen(p, HT_PREDICT_V, v) ? zero ? &xl_v_zero : &xl_v : &xl;
    }
    if (second) {
        bool plain = p->unet.in_channels == p->unet.out_channels;
        bool v = plain && varies(p, weights, &at->unet);
        return chosen(p, HT_PREDICT_V, v) ? &sd2_v : &sd2;
    }
    return p->unet.guidance_dim > 0 ? &sd1_lcm : &sd1;
}

static ht_status recognise(const ht_pipeline *p, const ht_weights *weights, parts *at) {
    if (!ht_ldm_recognise(weights, HT_LDM_UNET, &at->unet) ||
        ht_weights_find(weights, others[0].name) || ht_weights_find(weights, others[1].name)) {
        return refuse(p, weights);
    }
    if (!ht_ldm_recognise(weights, HT_LDM_TEXT, &at->text)) {
        return lacks(p, weights, "text encoder");
    }
    if (!ht_ldm_recognise(weights, HT_LDM_VAE, &at->vae)) {
        return lacks(p, weights, "VAE");
    }
    at->two = ht_ldm_recognise(weights, HT_LDM_TEXT_2, &at->text_2);
    return HT_OK;
}

// Configurations of the text encoders; *second: is it OpenCLIP's, as Stable Diffusion 2 has it?
static ht_status read_texts(ht_pipeline *p, const ht_weights *weights, parts *at, bool *second) {
    ht_clip_config *c = &p->clip[0];
    ht_status status = ht_single_clip_config(p->context, weights, &at->text, false, c);
    if (status == HT_OK && at->two) {
        status = ht_single_clip_config(p->context, weights, &at->text_2, true, &p->clip[1]);
    }
    // stable-diffusion.cpp hides where an encoder came from, but not its width.
    *second = !at->two && (ht_ldm_is_open_clip(&at->text) || c->width == 1024);
    if (status == HT_OK && *second) {
        c->act = HT_ACT_GELU_ERF;
        c->layers -= c->layers > 1; // its last layer is not used
    }
    return status;
}

static ht_status read_all(ht_pipeline *p, ht_weights *weights) {
    parts at = {0};
    bool second = false;
    ht_status status = recognise(p, weights, &at);
    if (status == HT_OK) {
        status = read_texts(p, weights, &at, &second);
    }
    if (status == HT_OK) {
        status = ht_single_unet_config(p->context, weights, &at.unet, at.two || second ? 64 : 0,
                                       &p->unet);
    }
    if (status == HT_OK) {
        status = ht_single_vae_config(p->context, weights, &at.vae, &p->vae.config);
    }
    if (status != HT_OK) {
        return status;
    }
    const kind *found = kind_of(p, weights, &at, second);
    if (at.two) { // the rest of the added conditions are six embedded numbers
        uint32_t numbers = p->unet.added_dim > p->clip[1].projection
                               ? p->unet.added_dim - p->clip[1].projection
                               : 0;
        p->unet.time_ids_dim = numbers / HT_UNET_TIME_IDS;
        if (numbers == 0 || numbers % (2 * HT_UNET_TIME_IDS) != 0) {
            return ht_fail(p->context, HT_ERR_IO,
                           "'%s': the UNet takes %u added values, which do not go with a pooled "
                           "text of %u",
                           ht_weights_path(weights), p->unet.added_dim, p->clip[1].projection);
        }
    } else if (p->unet.added_dim > 0) {
        return lacks(p, weights, "second text encoder");
    }
    p->unet.sample_size = found->sample_size;
    p->vae.config.sample_size = found->sample_size * ht_vae_factor(&p->vae.config);
    p->vae.config.scaling_factor = at.two ? 0.13025f : 0.18215f;
    p->zero_negative = at.two;
    p->clip_pad[0] = second ? "!" : NULL;
    p->clip_pad[1] = "!";
    p->single_steps = found->steps;
    p->family = ht_family_find(found->class_name);
    snprintf(p->info.class_name, sizeof(p->info.class_name), "%s", found->class_name);
    snprintf(p->info.description, sizeof(p->info.description), "%s", found->title);
    ht_log(p->context, HT_LOG_INFO, "'%s' is %s", ht_weights_path(weights), found->title);
    return ht_sampler_config_parse(p->context, found->title, found->scheduler, &p->sampler);
}

ht_status ht_single_file_read(ht_pipeline *p, const char *path) {
    ht_weights *weights = NULL;
    const ht_weights_desc desc = {.path = path};
    ht_status status = ht_weights_open(p->context, &desc, &weights);
    if (status == HT_OK) {
        status = read_all(p, weights);
    }
    ht_weights_destroy(&weights);
    return status;
}

ht_status ht_single_file_tokenizer(ht_pipeline *p, uint32_t index) {
    const char *const *folder = p->options.tokenizers;
    ht_clip_tokenizer **out = &p->clip_tokenizers[index];
    for (; folder && *folder; ++folder) {
        ht_status status = ht_clip_tokenizer_open(p->context, *folder, out);
        if (status != HT_OK) {
            return status;
        }
        if (ht_clip_tokenizer_get_info(*out)->vocab == p->clip[index].vocab_size) {
            ht_log(p->context, HT_LOG_INFO, "tokenizer: '%s'", *folder);
            return HT_OK;
        }
        ht_clip_tokenizer_destroy(out);
    }
    return ht_fail(p->context, HT_ERR_IO,
                   "'%s' needs CLIP's vocabulary of %u entries, which no file of weights has: give "
                   "the folder of a vocab.json and merges.txt, or of OpenAI's "
                   "bpe_simple_vocab_16e6.txt.gz, with --tokenizer",
                   p->parts[PART_DENOISER].path, p->clip[index].vocab_size);
}

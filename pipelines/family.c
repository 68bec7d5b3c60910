// The pipeline classes of diffusers that can be run, and what each is made of.
#include "pipeline_internal.h"

#include <string.h>

#define VAE                                                                                        \
    {                                                                                              \
        "vae", {                                                                                   \
            "AutoencoderKL", "AutoencoderTiny"                                                     \
        }                                                                                          \
    }
#define TOKENIZER(key)                                                                             \
    {                                                                                              \
        key, {                                                                                     \
            "CLIPTokenizer", "CLIPTokenizerFast"                                                   \
        }                                                                                          \
    }

static const ht_family pixart = {
    .classes = {"PixArtSigmaPipeline", "PixArtAlphaPipeline"},
    .components = {{"transformer", {"PixArtTransformer2DModel", "Transformer2DModel"}},
                   {"text_encoder", {"T5EncoderModel", "T5ForConditionalGeneration"}},
                   VAE,
                   {"tokenizer", {"T5Tokenizer", "T5TokenizerFast"}}},
    .parts = {[PART_TEXT] = "text_encoder", [PART_DENOISER] = "transformer", [PART_VAE] = "vae"},
    .text = &ht_text_t5,
    .denoiser = &ht_denoiser_pixart,
    .steps = 20,
    .cfg_scale = 4.5f,
};

static const ht_family wan = {
    .classes = {"WanPipeline"},
    .components = {{"transformer", {"WanTransformer3DModel"}},
                   {"text_encoder", {"UMT5EncoderModel"}},
                   {"vae", {"AutoencoderKLWan"}},
                   {"tokenizer", {"T5Tokenizer", "T5TokenizerFast"}}},
    .absent = "transformer_2", // Wan 2.2 has two transformers for two parts of the schedule
    .parts = {[PART_TEXT] = "text_encoder", [PART_DENOISER] = "transformer", [PART_VAE] = "vae"},
    .text = &ht_text_umt5,
    .denoiser = &ht_denoiser_wan,
    .steps = 50,
    .cfg_scale = 5.0f,
};

static const ht_family wan_image = {
    .classes = {"WanImageToVideoPipeline"},
    .components = {{"transformer", {"WanTransformer3DModel"}},
                   {"text_encoder", {"UMT5EncoderModel"}},
                   {"vae", {"AutoencoderKLWan"}},
                   {"tokenizer", {"T5Tokenizer", "T5TokenizerFast"}}},
    .picture = {"image_encoder", {"CLIPVisionModel", "CLIPVisionModelWithProjection"}},
    .absent = "transformer_2",
    .parts = {[PART_TEXT] = "text_encoder", [PART_DENOISER] = "transformer", [PART_VAE] = "vae"},
    .text = &ht_text_umt5,
    .denoiser = &ht_denoiser_wan,
    .steps = 50,
    .cfg_scale = 5.0f,
};

static const ht_family cogvideox = {
    .classes = {"CogVideoXPipeline"},
    .components = {{"transformer", {"CogVideoXTransformer3DModel"}},
                   {"text_encoder", {"T5EncoderModel", "T5ForConditionalGeneration"}},
                   {"vae", {"AutoencoderKLCogVideoX"}},
                   {"tokenizer", {"T5Tokenizer", "T5TokenizerFast"}}},
    .parts = {[PART_TEXT] = "text_encoder", [PART_DENOISER] = "transformer", [PART_VAE] = "vae"},
    .text = &ht_text_t5_padded,
    .denoiser = &ht_denoiser_cogvideox,
    .steps = 50,
    .cfg_scale = 6.0f,
};

static const ht_family stable_diffusion = {
    .classes = {"StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline",
                "StableDiffusionInpaintPipeline", "LatentConsistencyModelPipeline",
                "StableDiffusionControlNetPipeline", "StableDiffusionControlNetImg2ImgPipeline",
                "StableDiffusionControlNetInpaintPipeline"},
    .components = {{"unet", {"UNet2DConditionModel"}},
                   {"text_encoder", {"CLIPTextModel"}},
                   VAE,
                   TOKENIZER("tokenizer")},
    .parts = {[PART_TEXT] = "text_encoder", [PART_DENOISER] = "unet", [PART_VAE] = "vae"},
    .text = &ht_text_clip,
    .denoiser = &ht_denoiser_unet,
    .steps = 20,
    .cfg_scale = 7.5f,
};

static const ht_family stable_diffusion_xl = {
    .classes = {"StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline",
                "StableDiffusionXLInpaintPipeline", "StableDiffusionXLControlNetPipeline",
                "StableDiffusionXLControlNetImg2ImgPipeline",
                "StableDiffusionXLControlNetInpaintPipeline"},
    .components = {{"unet", {"UNet2DConditionModel"}},
                   {"text_encoder", {"CLIPTextModel"}},
                   {"text_encoder_2", {"CLIPTextModelWithProjection"}},
                   VAE,
                   TOKENIZER("tokenizer"),
                   TOKENIZER("tokenizer_2")},
    .parts = {[PART_TEXT] = "text_encoder",
              [PART_DENOISER] = "unet",
              [PART_VAE] = "vae",
              [PART_TEXT_2] = "text_encoder_2"},
    .text = &ht_text_clip,
    .denoiser = &ht_denoiser_unet,
    .steps = 20,
    .cfg_scale = 5.0f,
};

const ht_family *const ht_families[] = {
    &pixart, &stable_diffusion, &stable_diffusion_xl, &wan, &wan_image, &cogvideox, NULL};

const ht_family *ht_family_find(const char *class_name) {
    for (uint32_t i = 0; ht_families[i]; ++i) {
        for (uint32_t c = 0; ht_families[i]->classes[c]; ++c) {
            if (strcmp(ht_families[i]->classes[c], class_name) == 0) {
                return ht_families[i];
            }
        }
    }
    return NULL;
}

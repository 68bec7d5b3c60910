"""Tiny autoencoders: the models tiny-taesd and tiny-sd-taesd, and what diffusers makes with them."""
import os

from common import GOLDEN, MODELS, generator, model_dir, randn, randomise, save_golden
from make_models import tidy
from make_models_sd import link, write_index

import torch
from diffusers import AutoencoderTiny, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from safetensors.torch import save_file

PROMPT, NEGATIVE = "A red shiny sphere left of a blue cube.", "blurry, low quality"


def save_models():
    vae = randomise(AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 2), num_decoder_blocks=(2, 1)), 171)
    vae.save_pretrained(model_dir("tiny-taesd", "vae"))
    # The halves under the names of TAESD's author, whose decoder begins with the clamp.
    for half, offset in (("encoder", 0), ("decoder", 1)):
        tensors = {}
        for name, tensor in getattr(vae, half).layers.state_dict().items():
            layer, rest = name.split(".", 1)
            tensors[f"{int(layer) + offset}.{rest}"] = tensor.clone().contiguous()
        save_file(tensors, os.path.join(model_dir("tiny-taesd"), f"taesd_{half}.safetensors"))
    for name in ("scheduler", "text_encoder", "tokenizer", "unet", "vae"):
        link(f"../tiny-sd/{name}", "tiny-sd-taesd", name)
    link("../tiny-taesd/vae", "tiny-sd-taesd", "vae_tiny")
    write_index("tiny-sd-taesd", "StableDiffusionPipeline",
                {"text_encoder": "CLIPTextModel", "unet": "UNet2DConditionModel",
                 "vae": "AutoencoderKL", "scheduler": "DDIMScheduler", "tokenizer": "CLIPTokenizer"})
    tidy()
    return vae


def pictures(vae, out):
    pipe = StableDiffusionPipeline.from_pretrained(os.path.join(MODELS, "tiny-sd"), vae=vae,
                                                   safety_checker=None, feature_extractor=None)
    pipe.set_progress_bar_config(disable=True)
    if not hasattr(pipe.text_encoder, "text_model"):  # diffusers looks for the name of older classes
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    common = dict(prompt=PROMPT, negative_prompt=NEGATIVE, guidance_scale=4.5)
    image = pipe(**common, num_inference_steps=3, height=16, width=16, generator=generator(42),
                 output_type="np").images
    out["picture"] = torch.from_numpy(image)
    again = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    again.set_progress_bar_config(disable=True)
    init = torch.randint(0, 256, (16, 16, 3), generator=generator(173))
    out["init"] = init.float()
    out["latents.img2img"] = again(**common, num_inference_steps=4, strength=0.75, generator=generator(42),
                                   image=init.permute(2, 0, 1)[None] / 255.0, output_type="latent").images


def main():
    vae = save_models()
    out = {"latent": 2 * randn(174, 2, 4, 8, 12), "image": (0.5 * randn(175, 2, 3, 16, 24)).clamp(-1, 1)}
    out["clamped"] = torch.tanh(out["latent"] / 3) * 3
    out["decoded"] = vae.decode(out["latent"]).sample
    out["encoded"] = vae.encode(out["image"]).latents
    pictures(vae, out)
    save_golden("taesd", out, "picture: seed 42, 3 steps, guidance 4.5; img2img: 4 steps, strength 0.75")


if __name__ == "__main__":
    main()

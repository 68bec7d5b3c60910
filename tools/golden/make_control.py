"""ControlNets by diffusers: controlnet_sd, controlnet_xl (one call each) and pipeline_control."""
import os

from common import GOLDEN, MODELS, generator, randn, save_golden

import torch
from diffusers import (ControlNetModel, StableDiffusionControlNetImg2ImgPipeline,
                       StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline,
                       UNet2DConditionModel)
from diffusers.loaders import single_file_utils as theirs
from PIL import Image

import ldm
from make_pipeline_sd import GUIDANCE, NEGATIVE, PIXELS, PROMPT, SEED

STEPS = 4


def load(name):
    return ControlNetModel.from_pretrained(os.path.join(MODELS, "tiny-control", name)).eval()


def run(name, folder, seed, height, width):
    net = load(name)
    unet = UNet2DConditionModel.from_pretrained(os.path.join(MODELS, folder, "unet")).eval()
    config = unet.config
    inputs = {"latent": randn(seed, 2, 4, height, width), "timestep": torch.tensor([981.0]),
              "encoder": randn(seed + 1, 2, 20, config.cross_attention_dim),
              "picture": randn(seed + 2, 1, 3, 2 * height, 2 * width).sigmoid()}
    added = None
    if config.addition_embed_type:
        inputs["pooled"] = randn(seed + 3, 2, 24)
        inputs["time_ids"] = torch.tensor([[64.0, 48, 0, 0, 64, 48], [128, 96, 8, 4, 64, 48]])
        added = {"text_embeds": inputs["pooled"], "time_ids": inputs["time_ids"]}
    common = dict(encoder_hidden_states=inputs["encoder"], added_cond_kwargs=added)
    down, mid = net(inputs["latent"], inputs["timestep"][0], conditioning_scale=0.7,
                    controlnet_cond=inputs["picture"].expand(2, -1, -1, -1), return_dict=False,
                    **common)
    out = unet(inputs["latent"], inputs["timestep"][0], down_block_additional_residuals=down,
               mid_block_additional_residual=mid, **common).sample
    residuals = {f"residual.{i}": r for i, r in enumerate([*down, mid])}
    save_golden("controlnet_" + name, {**inputs, **residuals, "output": out},
                "strength 0.7; residuals of the way down, then of the middle; the UNet's output")


def pipelines():
    picture = (128 + 80 * randn(831, PIXELS, PIXELS, 3)).clamp(0, 255).round().to(torch.uint8)
    init = (128 + 60 * randn(811, PIXELS, PIXELS, 3)).clamp(0, 255).round().to(torch.uint8)
    out = {"picture": picture.float(), "init": init.float()}
    picture, init = Image.fromarray(picture.numpy()), Image.fromarray(init.numpy())
    common = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS,
                  guidance_scale=GUIDANCE, height=PIXELS, width=PIXELS)

    def make(name, kind, control, folder, weight, start, end, **more):
        quiet = {} if "XL" in kind.__name__ else dict(safety_checker=None, feature_extractor=None)
        pipe = kind.from_pretrained(os.path.join(MODELS, folder), controlnet=load(control), **quiet)
        pipe.set_progress_bar_config(disable=True)
        if not hasattr(pipe.text_encoder, "text_model"):
            object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
        more = more or dict(image=picture)
        out[name] = pipe(**common, **more, controlnet_conditioning_scale=weight,
                         control_guidance_start=start, control_guidance_end=end,
                         generator=generator(SEED), output_type="latent").images

    sd = StableDiffusionControlNetPipeline
    make("sd.1", sd, "sd", "tiny-sd", 1.0, 0.0, 1.0)
    make("sd.some", sd, "sd", "tiny-sd", 0.6, 0.25, 0.75)
    make("sd.init", StableDiffusionControlNetImg2ImgPipeline, "sd", "tiny-sd", 0.8, 0.0, 0.5,
         image=init, control_image=picture, strength=0.75)
    make("xl.1", StableDiffusionXLControlNetPipeline, "xl", "tiny-xl", 1.0, 0.0, 1.0)
    save_golden("pipeline_control", out, "seed 42, 4 steps, guidance 4.5; strengths and ranges: "
                "1, all; 0.6, 0.25..0.75; 0.8, 0..0.5 of a picture with strength 0.75")


def original_names():
    """Names of the original code; diffusers must find its own again in a network of usual size."""
    with torch.device("meta"):
        usual = ControlNetModel(cross_attention_dim=768)
    state, config = usual.state_dict(), dict(usual.config)
    named = {name: ldm.Named(name, t.shape) for name, t in state.items()}
    found = theirs.convert_controlnet_checkpoint(ldm.controlnet(named, config), config)
    assert {name: t.text for name, t in found.items()} == {name: name for name in state}
    tiny = load("sd")
    named = {name: ldm.Named(name, t.shape) for name, t in tiny.state_dict().items()}
    lines = [f"{name} {t.text}" for name, t in ldm.controlnet(named, tiny.config).items()]
    with open(os.path.join(GOLDEN, "controlnet_original.txt"), "w") as f:
        f.write("\n".join(sorted(lines)) + "\n")


if __name__ == "__main__":
    run("sd", "tiny-sd", 451, 8, 12)
    run("xl", "tiny-xl", 461, 8, 8)
    original_names()
    pipelines()

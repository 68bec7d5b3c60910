"""Whole generations by diffusers' Stable Diffusion pipelines: pipeline_sd and pipeline_xl."""
import os

from common import MODELS, generator, save_golden

import torch
from diffusers import HeunDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

PROMPT = "A red shiny sphere left of a blue cube."
NEGATIVE = "blurry, low quality"
SEED, STEPS, GUIDANCE, PIXELS = 42, 3, 4.5, 16


def run(name, kind, folder, **more):
    pipe = kind.from_pretrained(os.path.join(MODELS, folder), **more)
    pipe.set_progress_bar_config(disable=True)
    if not hasattr(pipe.text_encoder, "text_model"):  # diffusers looks for the name of older classes
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    common = dict(prompt=PROMPT, num_inference_steps=STEPS, guidance_scale=GUIDANCE, height=PIXELS,
                  width=PIXELS)

    def latents(**changes):
        return pipe(**{**common, **changes}, generator=generator(SEED), output_type="latent").images

    out = {"latents.final": latents(negative_prompt=NEGATIVE),
           "latents.final.cfg1": latents(guidance_scale=1.0),
           "latents.final.unprompted": latents(),  # no negative prompt at all
           # without guidance: diffusers does not skip for the negative prompt, other tools do
           "latents.final.skip": latents(guidance_scale=1.0, clip_skip=1)}
    out["latents.final.rescale"] = latents(negative_prompt=NEGATIVE, guidance_rescale=0.7)
    image = pipe(**common, negative_prompt=NEGATIVE, generator=generator(SEED), output_type="np").images
    out["image"] = torch.from_numpy(image)
    embeds = pipe.encode_prompt(PROMPT, device="cpu", num_images_per_prompt=1,
                                do_classifier_free_guidance=True, negative_prompt=NEGATIVE)
    out["embeds"] = torch.cat([embeds[1], embeds[0]])
    if len(embeds) == 4:
        out["pooled"] = torch.cat([embeds[3], embeds[2]])
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    out["latents.final.heun"] = latents(negative_prompt=NEGATIVE)
    save_golden(name, out, "seed 42, 3 steps, guidance 4.5; embeds: negative, positive")


if __name__ == "__main__":
    run("pipeline_sd", StableDiffusionPipeline, "tiny-sd", safety_checker=None, feature_extractor=None)
    run("pipeline_xl", StableDiffusionXLPipeline, "tiny-xl")

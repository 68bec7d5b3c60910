"""Repainting under a mask by diffusers' inpainting pipelines: pipeline_inpaint."""
import os

from common import MODELS, generator, randn, save_golden

import torch
from diffusers import (EulerAncestralDiscreteScheduler, StableDiffusionInpaintPipeline,
                       StableDiffusionXLInpaintPipeline)
from PIL import Image

from make_pipeline_sd import GUIDANCE, NEGATIVE, PIXELS, PROMPT, SEED

STEPS = 4


def pictures():
    """A picture of smooth noise and a mask whose edge does not lie on the latent's grid."""
    init = (128 + 60 * randn(811, PIXELS, PIXELS, 3)).clamp(0, 255).round().to(torch.uint8)
    mask = torch.zeros(PIXELS, PIXELS, dtype=torch.uint8)
    mask[3:12, 5:] = 255
    mask[12:14, 8:12] = 127  # below one half: kept
    mask[1, 1:7] = 128       # repainted
    return init, mask


def pipeline(kind, folder):
    more = {} if "XL" in kind.__name__ else dict(safety_checker=None, feature_extractor=None)
    pipe = kind.from_pretrained(os.path.join(MODELS, folder), **more)
    pipe.set_progress_bar_config(disable=True)
    if not hasattr(pipe.text_encoder, "text_model"):
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    return pipe


def main():
    init, mask = pictures()
    out = {"init": init.float(), "mask": mask.float()}
    common = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS,
                  guidance_scale=GUIDANCE, height=PIXELS, width=PIXELS,
                  image=Image.fromarray(init.numpy()), mask_image=Image.fromarray(mask.numpy()))

    def run(name, pipe, strength):
        out[name] = pipe(**common, strength=strength, generator=generator(SEED),
                         output_type="latent").images

    sd = pipeline(StableDiffusionInpaintPipeline, "tiny-sd")
    run("sd.1", sd, 1.0)
    run("sd.part", sd, 0.75)
    sd.scheduler = EulerAncestralDiscreteScheduler.from_config(sd.scheduler.config)
    run("sd.drawing", sd, 0.75)
    xl = pipeline(StableDiffusionXLInpaintPipeline, "tiny-xl")
    run("xl.1", xl, 1.0)
    run("xl.part", xl, 0.75)
    nine = pipeline(StableDiffusionInpaintPipeline, "tiny-sd-inpaint")
    run("nine.1", nine, 1.0)
    run("nine.part", nine, 0.75)
    save_golden("pipeline_inpaint", out, "seed 42, 4 steps, guidance 4.5; .1, .part: strength")


if __name__ == "__main__":
    main()

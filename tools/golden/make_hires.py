"""A second pass as diffusers' pipelines do it one after the other, and enlargements by PyTorch and Pillow."""
import os

from common import MODELS, generator, randn, save_golden

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image

COMMON = dict(prompt="A red shiny sphere left of a blue cube.", negative_prompt="blurry, low quality",
              guidance_scale=4.5)


def two_passes(first, second, mode, size):
    noise = generator(42)  # the second pass goes on drawing from it
    small = first(**COMMON, num_inference_steps=3, height=16, width=16, generator=noise, output_type="latent").images
    options = {} if mode == "nearest" else {"align_corners": False}
    large = torch.nn.functional.interpolate(small, size=size, mode=mode, **options)
    return second(**COMMON, num_inference_steps=4, strength=0.5, generator=noise, image=large,
                  output_type="latent").images


def main():
    pipe = StableDiffusionPipeline.from_pretrained(os.path.join(MODELS, "tiny-sd"), safety_checker=None,
                                                   feature_extractor=None)
    if not hasattr(pipe.text_encoder, "text_model"):  # diffusers looks for the name of older classes
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    again = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    for p in (pipe, again):
        p.set_progress_bar_config(disable=True)
    out = {"latent": two_passes(pipe, again, "bilinear", (16, 16)),
           "latent-nearest": two_passes(pipe, again, "nearest", (12, 12)),
           "planes": randn(191, 1, 3, 5, 7)}
    for size in ((10, 14), (15, 21)):
        for mode in ("bilinear", "nearest"):
            options = {} if mode == "nearest" else {"align_corners": False}
            out[f"planes.{mode}.{size[0]}"] = torch.nn.functional.interpolate(
                out["planes"], size=size, mode=mode, **options)
    picture = torch.randint(0, 256, (6, 9, 3), generator=generator(192)).to(torch.uint8)
    out["picture"] = picture.float()
    for name, kind in (("lanczos", Image.LANCZOS), ("bicubic", Image.BICUBIC)):
        for size in ((18, 12), (6, 4)):
            resized = Image.fromarray(picture.numpy()).resize(size, kind)
            out[f"picture.{name}.{size[0]}"] = torch.from_numpy(np.array(resized)).float()
    save_golden("hires", out, "3 steps at 16 x 16, then 4 with strength 0.5; seed 42, guidance 4.5")


if __name__ == "__main__":
    main()

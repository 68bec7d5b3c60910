"""Whole clips by diffusers' CogVideoXPipeline: pipeline_cogvideox.safetensors. Run after make_cogvideox_models.py."""
import os

from common import MODELS, generator, save_golden

import torch
from diffusers import CogVideoXPipeline

PROMPT = "A red shiny sphere  rolls left past a Blue cube."
NEGATIVE = "blurry, low quality"
SEED, STEPS, GUIDANCE, FRAMES, SIZE = 42, 4, 6.0, 17, (16, 32)


def open_model(name):
    pipe = CogVideoXPipeline.from_pretrained(os.path.join(MODELS, name), dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe, kind="latent", **changes):
    args = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, num_frames=FRAMES,
                guidance_scale=GUIDANCE, height=SIZE[0], width=SIZE[1])
    result = pipe(**{**args, **changes}, generator=generator(SEED), output_type=kind).frames
    return torch.from_numpy(result) if kind == "np" else result


def main():
    pipe, out = open_model("tiny-cogvideox"), {}
    embeds, negative = pipe.encode_prompt(PROMPT, NEGATIVE, True)
    embeds = torch.cat([negative, embeds])
    out["embeds.first"] = embeds[:, :24]
    out["embeds.last"] = embeds[:, -2:]  # of the padding, which is read, too
    out["latents"] = run(pipe)[0]
    out["latents.cfg1"] = run(pipe, guidance_scale=1.0)[0]
    out["latents.picture"] = run(pipe, num_frames=1)[0]
    out["frames"] = run(pipe, "np", num_frames=9)[0]  # [F, H, W, 3] in 0..1
    five = open_model("tiny-cogvideox-5b")
    out["latents.5b"] = run(five)[0]
    save_golden("pipeline_cogvideox", out,
                f"prompt '{PROMPT}', negative '{NEGATIVE}', seed {SEED}, {STEPS} steps, guidance {GUIDANCE}, "
                f"{FRAMES} frames (of frames 9); latents [F, C, h, w]")


if __name__ == "__main__":
    main()

"""Whole clips by diffusers' WanPipeline: pipeline_wan.safetensors."""
import os

from common import MODELS, generator, save_golden

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline

PROMPT = "A red shiny sphere  rolls left past a blue cube."
NEGATIVE = "blurry, low quality"
SEED, STEPS, GUIDANCE, FRAMES, SIZE = 42, 4, 5.0, 9, (16, 32)


def main():
    pipe = WanPipeline.from_pretrained(os.path.join(MODELS, "tiny-wan"))
    pipe.set_progress_bar_config(disable=True)
    common = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, num_frames=FRAMES,
                  guidance_scale=GUIDANCE, height=SIZE[0], width=SIZE[1])

    def run(kind="latent", **changes):
        result = pipe(**{**common, **changes}, generator=generator(SEED), output_type=kind).frames
        return torch.from_numpy(result) if kind == "np" else result

    out = {}
    embeds, negative = pipe.encode_prompt(PROMPT, NEGATIVE, True, max_sequence_length=512)
    out["embeds"] = torch.cat([negative, embeds])[:, :24]  # what is behind the text is zero
    assert not torch.cat([negative, embeds])[:, 24:].any()
    out["latents"] = run()[0]
    out["latents.cfg1"] = run(guidance_scale=1.0)[0]
    out["frames"] = run("np")[0]  # [F, H, W, 3] in 0..1
    out["latents.picture"] = run(num_frames=1)[0]
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    out["latents.euler"] = run()[0]
    save_golden("pipeline_wan", out,
                f"prompt '{PROMPT}', negative '{NEGATIVE}', seed {SEED}, {STEPS} steps, guidance {GUIDANCE}, "
                f"{FRAMES} frames; latents [C, F, h, w]")


if __name__ == "__main__":
    main()

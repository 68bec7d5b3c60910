"""One whole generation by diffusers' PixArtSigmaPipeline: pipeline_tiny.safetensors."""
import os

from common import MODELS, generator, save_golden

import torch
from diffusers import PixArtSigmaPipeline

from flow_scheduler import FlowMatchEulerForPixArt

PROMPT = "A red shiny sphere left of a blue cube."
NEGATIVE = "blurry, low quality"
SEED, STEPS, GUIDANCE, PIXELS, TOKENS = 42, 3, 4.5, 32, 20


def main():
    pipe = PixArtSigmaPipeline.from_pretrained(os.path.join(MODELS, "tiny-pixart"))
    pipe.set_progress_bar_config(disable=True)
    out = {}

    # What prepare_latents will draw from the same generator.
    shape = (1, pipe.transformer.config.in_channels,
             PIXELS // pipe.vae_scale_factor, PIXELS // pipe.vae_scale_factor)
    out["latents.initial"] = torch.randn(shape, generator=generator(SEED))
    embeds, mask, negative, negative_mask = pipe.encode_prompt(
        PROMPT, True, negative_prompt=NEGATIVE, clean_caption=False, max_sequence_length=TOKENS)
    out.update({"prompt.embeds": embeds, "prompt.mask": mask.int(),
                "negative.embeds": negative, "negative.mask": negative_mask.int()})
    for name, text in (("prompt", PROMPT), ("negative", NEGATIVE)):
        out[name + ".ids"] = pipe.tokenizer(
            text.lower().strip(), padding="max_length", max_length=TOKENS, truncation=True,
            return_tensors="pt").input_ids.int()

    steps, calls = [], []
    record = pipe.transformer.register_forward_hook(
        lambda _m, args, kwargs, result: calls.append((kwargs["timestep"].float(), result[0].clone())),
        with_kwargs=True)
    common = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS,
                  guidance_scale=GUIDANCE, height=PIXELS, width=PIXELS, clean_caption=False,
                  use_resolution_binning=False, max_sequence_length=TOKENS)
    final = pipe(**common, generator=generator(SEED), output_type="latent",
                 callback=lambda _i, _t, latents: steps.append(latents.clone())).images
    record.remove()
    out["timesteps"] = torch.stack([t[0] for t, _ in calls])
    out["transformer"] = torch.stack([y for _, y in calls])  # [step, negative then positive, 8, h, w]
    out["latents.step"] = torch.cat(steps)
    out["latents.final"] = final
    assert torch.equal(final, steps[-1])
    out["decoded"] = pipe.vae.decode(final / pipe.vae.config.scaling_factor).sample
    out["image"] = torch.from_numpy(pipe(**common, generator=generator(SEED), output_type="np").images)


    def run(**changes):
        return pipe(**{**common, **changes}, generator=generator(SEED), output_type="latent").images

    # guidance 1: one pass per step, no negative prompt
    out["latents.final.cfg1"] = run(guidance_scale=1.0)
    # the same with flow matching: the latents stay near 1, as a trained model's do
    pipe.scheduler = FlowMatchEulerForPixArt(shift=1.0)
    out["flow.latents.final"] = run()
    out["flow.latents.final.cfg1"] = run(guidance_scale=1.0)
    out["flow.latents.final.cfg1.given"] = run(
        guidance_scale=1.0, sigmas=[1 - i / STEPS for i in range(STEPS)], num_inference_steps=None)
    out["flow.decoded.cfg1"] = pipe.vae.decode(
        out["flow.latents.final.cfg1"] / pipe.vae.config.scaling_factor).sample
    save_golden("pipeline_tiny", out,
                f"prompt '{PROMPT}', negative '{NEGATIVE}', seed {SEED}, {STEPS} steps, guidance {GUIDANCE}, "
                f"{PIXELS} pixels, {TOKENS} tokens; image is [1,H,W,3] in 0..1")


if __name__ == "__main__":
    main()

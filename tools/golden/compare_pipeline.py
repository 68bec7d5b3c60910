"""Compare a picture of ours with the one diffusers makes from the same model.

    compare_pipeline.py MODELDIR PNG --prompt TEXT --seed N --steps N
                        [--cfg-scale S] [--negative-prompt TEXT] [--max-tokens N]
                        [--uniform-sigmas] [--save OUT.png]

MODELDIR is a PixArt-type folder (T5, PixArt transformer, AutoencoderKL); any scheduler
the PixArt pipeline takes works, and FlowMatchEulerDiscreteScheduler as well. Runs in
f32 on the CPU, takes the size from PNG and prints the PSNR of the 8-bit pictures as
JSON (null when they are identical).
"""
import argparse
import json
import os

from common import generator

import numpy as np
import torch
from diffusers import (AutoencoderKL, DPMSolverMultistepScheduler, EulerDiscreteScheduler,
                       DDIMScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel)
from PIL import Image
from transformers import T5EncoderModel, T5TokenizerFast

from flow_scheduler import FlowMatchEulerForPixArt

SCHEDULERS = {"FlowMatchEulerDiscreteScheduler": FlowMatchEulerForPixArt,
              "DPMSolverMultistepScheduler": DPMSolverMultistepScheduler,
              "EulerDiscreteScheduler": EulerDiscreteScheduler,
              "DDIMScheduler": DDIMScheduler}


def read_json(*path):
    try:
        with open(os.path.join(*path), encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def load(folder):
    """Part by part: model_index.json may name a scheduler the pipeline class refuses."""
    part = lambda cls, name: cls.from_pretrained(os.path.join(folder, name), torch_dtype=torch.float32)
    kind = read_json(folder, "scheduler", "scheduler_config.json").get("_class_name")
    if kind not in SCHEDULERS:
        raise SystemExit(f"{folder}: scheduler {kind} is not one of {', '.join(SCHEDULERS)}")
    pipe = PixArtSigmaPipeline(
        tokenizer=T5TokenizerFast.from_pretrained(os.path.join(folder, "tokenizer")),
        text_encoder=part(T5EncoderModel, "text_encoder").eval(),
        transformer=part(PixArtTransformer2DModel, "transformer").eval(),
        vae=part(AutoencoderKL, "vae").eval(),
        scheduler=SCHEDULERS[kind].from_pretrained(os.path.join(folder, "scheduler")))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generate(pipe, args, height, width, max_tokens):
    shift = pipe.vae.config.shift_factor or 0.0
    # Sigmas 1, 1-1/N, ...: what few-step flow models run at; the scheduler's own list
    # goes from 1 to 1/1000 instead.
    schedule = dict(num_inference_steps=args.steps)
    if args.uniform_sigmas:
        schedule = dict(num_inference_steps=None,
                        sigmas=[1 - i / args.steps for i in range(args.steps)])
    latents = pipe(
        prompt=args.prompt, negative_prompt=args.negative_prompt, guidance_scale=args.cfg_scale,
        height=height, width=width, generator=generator(args.seed), clean_caption=False,
        use_resolution_binning=False, max_sequence_length=max_tokens, output_type="latent",
        **schedule).images
    # Decoded here and not by the pipeline, which knows no shift_factor.
    image = pipe.vae.decode(latents / pipe.vae.config.scaling_factor + shift).sample
    image = (image / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    return (image * 255).round().astype(np.uint8)


def psnr(a, b):
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return None if error == 0 else round(10 * np.log10(255.0 ** 2 / error), 3)


def main():
    parser = argparse.ArgumentParser(description="PSNR of our picture against diffusers'")
    parser.add_argument("model")
    parser.add_argument("png")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--negative-prompt", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--cfg-scale", type=float, default=1.0)
    parser.add_argument("--max-tokens", type=int, help="default: halftone.json's max_tokens, or 300")
    parser.add_argument("--uniform-sigmas", action="store_true",
                        help="sigmas 1, 1-1/N, ... instead of the scheduler's own list")
    parser.add_argument("--save", help="also write diffusers' picture here")
    args = parser.parse_args()

    ours = np.asarray(Image.open(args.png).convert("RGB"))
    max_tokens = args.max_tokens or read_json(args.model, "halftone.json").get("max_tokens", 300)
    theirs = generate(load(args.model), args, ours.shape[0], ours.shape[1], max_tokens)
    if args.save:
        Image.fromarray(theirs).save(args.save)
    difference = np.abs(ours.astype(int) - theirs.astype(int))
    print(json.dumps({"psnr_db": psnr(ours, theirs), "max_difference": int(difference.max()),
                      "share_exact": round(float((difference == 0).mean()), 5),
                      "width": ours.shape[1], "height": ours.shape[0], "max_tokens": max_tokens}))


if __name__ == "__main__":
    main()

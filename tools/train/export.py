"""Write scenes-dit in the diffusers folder layout, f16, and check it against the training code.

    python export.py --dit FILE.pt --vae FILE.pt --tokenizer DIR --out assets/models/scenes-dit
"""
import argparse
import json
import os
import shutil

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

import data
import dit
import models
import rescale
import vae as vae_stage

INDEX = {
    "_class_name": "PixArtSigmaPipeline", "_diffusers_version": "0.30.0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "T5Tokenizer"],
    "transformer": ["diffusers", "PixArtTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"]}
DESCRIPTION = ("Small pictures of one or two coloured solids: sphere, cube, cylinder, cone, torus, "
               "pyramid; on a checkerboard, wood, grass or sand; by day, at sunset or at night.")
DEFAULTS = {"defaults": {"steps": 4, "cfg_scale": 2.5, "width": 128, "height": 128,
                         "sampler": "flow_euler", "schedule": "uniform"},
            "description": DESCRIPTION, "max_tokens": models.MAX_TOKENS}


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def clean_config(path):
    """Nothing about the machine or the library's private state belongs into the file."""
    with open(path) as f:
        config = json.load(f)
    write_json(path, {k: v for k, v in config.items() if k != "_name_or_path"})


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for name in ("dit", "vae", "tokenizer", "out"):
        ap.add_argument("--" + name, required=True)
    args = ap.parse_args()
    kept = torch.load(args.dit)
    net = dit.Net(kept["ema"]["text.shared.weight"].shape[0])
    dit.load_into(net, kept["ema"])
    vae = AutoencoderKL(**vae_stage.CONFIG)
    vae.load_state_dict(torch.load(args.vae)["vae"])
    rescale.rescale(vae, data.to_float(data.render(1, 16)[0]))
    shutil.rmtree(args.out, ignore_errors=True)
    os.makedirs(args.out)
    net.text.half().save_pretrained(args.out + "/text_encoder")
    net.dit.half().save_pretrained(args.out + "/transformer")
    vae.half().save_pretrained(args.out + "/vae")
    FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0).save_pretrained(
        args.out + "/scheduler")
    shutil.copytree(args.tokenizer, args.out + "/tokenizer")
    write_json(args.out + "/model_index.json", INDEX)
    write_json(args.out + "/halftone.json", DEFAULTS)
    for part in ("text_encoder", "transformer", "vae"):
        clean_config(f"{args.out}/{part}/config.json")
    total = 0
    for folder, _, files in os.walk(args.out):
        for f in files:
            os.chmod(os.path.join(folder, f), 0o644)
        total += sum(os.path.getsize(os.path.join(folder, f)) for f in files)
    print(f"{args.out}: {total / 2**20:.1f} MiB, step {kept['step']}")


if __name__ == "__main__":
    main()

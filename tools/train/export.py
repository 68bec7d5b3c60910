"""Write parts of scenes-dit in the diffusers folder layout, f16. Parts not given stay as they are.

    python export.py --out DIR --tokenizer DIR --text FILE.pt --vae FILE.pt      what is trained first
    python export.py --out DIR --dit FILE.pt --cfg 1.5                           then the denoiser
"""
import argparse
import json
import os
import shutil

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

import data
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
DESCRIPTION = ("Pictures of one to four coloured solids, plain or striped, small or large: sphere, cube, "
               "cylinder, cone, torus, pyramid, capsule, star, cross, heart; on a checkerboard, wood, "
               "grass, sand, snow or bricks; by day, at sunset, at night or under clouds.")
DEFAULTS = {"defaults": {"steps": 4, "cfg_scale": 1.0, "width": 256, "height": 256,
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


@torch.no_grad()
def fold(vae, rgb):
    """Fold the latents' statistics into quant_conv and post_quant_conv, so that latents are about
    N(0, 1) per channel and scaling_factor is 1."""
    z = torch.cat([vae.encode(data.to_float(rgb[i:i + 8])).latent_dist.mode()
                   for i in range(0, len(rgb), 8)])
    mean, std, n = z.mean((0, 2, 3)), z.std((0, 2, 3)), z.shape[1]
    q, p = vae.quant_conv, vae.post_quant_conv
    q.weight[:n] /= std.view(-1, 1, 1, 1)
    q.bias[:n] = (q.bias[:n] - mean) / std
    q.bias[n:] -= 2 * std.log()
    p.bias += p.weight[:, :, 0, 0] @ mean
    p.weight *= std.view(1, -1, 1, 1)


def save(module, out, part):
    module.half().save_pretrained(f"{out}/{part}")
    clean_config(f"{out}/{part}/config.json")


def save_vae(file, out, folded):
    vae = AutoencoderKL(**vae_stage.CONFIG)
    vae.load_state_dict(torch.load(file, map_location="cpu")["vae"])
    pictures = data.render(1, 600)[0]
    if not folded:
        fold(vae, pictures)
    rescale.rescale(vae, data.to_float(pictures[:16]))
    save(vae, out, "vae")


def save_text(file, out):
    words = torch.load(file, map_location="cpu")["text"]
    text = models.text_encoder(words["shared.weight"].shape[0])
    text.load_state_dict(words)
    save(text, out, "text_encoder")


def save_dit(file, out):
    kept = torch.load(file, map_location="cpu", weights_only=False)["ema"]
    dit = models.transformer()
    dit.load_state_dict({n[len("dit."):]: p for n, p in kept.items() if n.startswith("dit.")},
                        strict=False) # the positions are a buffer
    save(dit, out, "transformer")


def finish(out, index, defaults):
    """The folder's own two files; says how large it has become."""
    write_json(out + "/model_index.json", index)
    write_json(out + "/halftone.json", defaults)
    total = 0
    for folder, _, files in os.walk(out):
        for f in files:
            os.chmod(os.path.join(folder, f), 0o644)
        total += sum(os.path.getsize(os.path.join(folder, f)) for f in files)
    print(f"{out}: {total / 2**20:.1f} MiB")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", required=True)
    for name in ("tokenizer", "text", "vae", "dit"):
        ap.add_argument("--" + name)
    ap.add_argument("--folded", action="store_true", help="--vae began as an exported one")
    ap.add_argument("--cfg", type=float, default=1.0, help="the default guidance")
    args = ap.parse_args()
    os.makedirs(args.out, exist_ok=True)
    if args.tokenizer:
        shutil.copytree(args.tokenizer, args.out + "/tokenizer", dirs_exist_ok=True)
    if args.text:
        save_text(args.text, args.out)
    if args.vae:
        save_vae(args.vae, args.out, args.folded)
    if args.dit:
        save_dit(args.dit, args.out)
    FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0).save_pretrained(
        args.out + "/scheduler")
    DEFAULTS["defaults"]["cfg_scale"] = args.cfg
    finish(args.out, INDEX, DEFAULTS)


if __name__ == "__main__":
    main()

"""Write parts of scenes-video in the diffusers folder layout, f16. Parts not given stay as they are.

    python video_export.py --out DIR --tokenizer DIR --text FILE.pt --vae FILE.pt   what comes first
    python video_export.py --out DIR --dit FILE.pt --cfg 2                          then the denoiser
"""
import argparse
import os
import shutil

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

import export
import video_data
import video_models

INDEX = {
    "_class_name": "WanPipeline", "_diffusers_version": "0.35.0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"]}
DESCRIPTION = ("Clips of one or two coloured solids (sphere, cube, cylinder, cone, torus, pyramid), one "
               "of which rolls or slides left or right, bounces, spins, grows or shrinks, or the camera "
               "orbits; on a checkerboard, wood, grass or sand; by day, at sunset or at night.")
DEFAULTS = {"defaults": {"steps": 8, "cfg_scale": 1.0, "width": video_data.SIZE,
                         "height": video_data.SIZE, "frames": video_data.FRAMES, "fps": 8,
                         "sampler": "flow_euler", "schedule": "uniform"},
            "description": DESCRIPTION, "max_tokens": video_models.MAX_TOKENS}


@torch.no_grad()
def save_vae(file, out):
    """With the latents' statistics in its configuration, where Wan has them."""
    vae = video_models.autoencoder()
    vae.load_state_dict(torch.load(file, weights_only=False)["vae"])
    rgb = video_data.render(1, 200)[0]
    z = torch.cat([video_models.encode(vae, video_data.to_float(rgb[i:i + 10]))[0]
                   for i in range(0, len(rgb), 10)])
    mean, std = z.mean((0, 2, 3, 4)), z.std((0, 2, 3, 4))
    vae.register_to_config(latents_mean=[round(v, 4) for v in mean.tolist()],
                           latents_std=[round(v, 4) for v in std.tolist()])
    export.save(vae, out, "vae")


def save_text(file, out):
    words = torch.load(file)["text"]
    text = video_models.text_encoder(words["shared.weight"].shape[0])
    text.load_state_dict(words)
    export.save(text, out, "text_encoder")


def save_dit(file, out):
    kept = torch.load(file, weights_only=False)["ema"]
    dit = video_models.transformer()
    dit.load_state_dict({n[len("dit."):]: p for n, p in kept.items() if n.startswith("dit.")})
    export.save(dit, out, "transformer")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", required=True)
    for name in ("tokenizer", "text", "vae", "dit"):
        ap.add_argument("--" + name)
    ap.add_argument("--cfg", type=float, default=1.0, help="the default guidance")
    args = ap.parse_args()
    os.makedirs(args.out, exist_ok=True)
    if args.tokenizer:
        shutil.copytree(args.tokenizer, args.out + "/tokenizer", dirs_exist_ok=True)
    for file, write in ((args.text, save_text), (args.vae, save_vae), (args.dit, save_dit)):
        if file:
            write(file, args.out)
    FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0).save_pretrained(
        args.out + "/scheduler")
    DEFAULTS["defaults"]["cfg_scale"] = args.cfg
    export.finish(args.out, INDEX, DEFAULTS)


if __name__ == "__main__":
    main()

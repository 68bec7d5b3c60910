"""Write scenes-unet in the diffusers folder layout, f16.

    python export_unet.py --out DIR --tokenizer DIR --text FILE.pt --unet FILE.pt --vae DIR --cfg 2

--vae is the exported autoencoder of scenes-dit, whose latents the UNet was trained on.
"""
import argparse
import os
import shutil

import torch

import export
import unet_models

INDEX = {
    "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0",
    "feature_extractor": [None, None], "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"]}


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for name in ("out", "tokenizer", "text", "unet", "vae"):
        ap.add_argument("--" + name, required=True)
    ap.add_argument("--cfg", type=float, default=1.0, help="the default guidance")
    args = ap.parse_args()
    shutil.copytree(args.tokenizer, args.out + "/tokenizer", dirs_exist_ok=True)
    shutil.copytree(args.vae, args.out + "/vae", dirs_exist_ok=True)
    export.save(unet_models.load_text(args.text), args.out, "text_encoder")
    unet = unet_models.unet()
    ema = torch.load(args.unet, map_location="cpu", weights_only=False)["ema"]
    unet.load_state_dict({n[len("unet."):]: p for n, p in ema.items() if n.startswith("unet.")})
    export.save(unet, args.out, "unet")
    unet_models.scheduler().save_pretrained(args.out + "/scheduler")
    defaults = {"defaults": {"steps": 4, "cfg_scale": args.cfg, "width": 256, "height": 256},
                "description": export.DESCRIPTION}
    export.write_json(args.out + "/model_index.json", INDEX)
    export.write_json(args.out + "/halftone.json", defaults)
    files = [os.path.join(f, n) for f, _, names in os.walk(args.out) for n in names]
    for path in files:
        os.chmod(path, 0o644)
    print(f"{args.out}: {sum(map(os.path.getsize, files)) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()

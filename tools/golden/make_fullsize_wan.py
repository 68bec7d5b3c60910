"""Wan 2.1 T2V 1.3B with random weights, outside the repository, on demand: make_fullsize_wan.py OUTDIR
writes OUTDIR/wan_transformer (2.8 GB, f16) and OUTDIR/golden_wan.safetensors, as make_fullsize.py does, and
OUTDIR/wan_vae, the VAE in full size; make_fullsize_wan.py OUTDIR vae writes the last alone.
"""
import os
import sys

from common import randn

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel

from make_fullsize import fill, save


def vae(outdir):
    os.makedirs(outdir, exist_ok=True)
    fill(AutoencoderKLWan(), 921).half().save_pretrained(os.path.join(outdir, "wan_vae"))


def main(outdir, frames=5, height=8, width=12):
    os.makedirs(outdir, exist_ok=True)
    model = fill(WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=12, attention_head_dim=128, in_channels=16,
        out_channels=16, text_dim=4096, freq_dim=256, ffn_dim=8960, num_layers=30,
        cross_attn_norm=True, qk_norm="rms_norm_across_heads", eps=1e-6), 911)
    latent = randn(912, 2, 16, frames, height, width)
    out = {"timestep": torch.tensor([999.0, 417.0]), "text": 0.2 * randn(913, 2, 32, 4096)}
    result = model(latent, out["timestep"], out["text"]).sample
    # frames one below the other
    out["latent.clip"] = latent.reshape(2, 16, frames * height, width)
    out["output.clip"] = result.reshape(2, 16, frames * height, width)
    save(outdir, "wan_transformer", "golden_wan", model, out)


if __name__ == "__main__":
    vae(sys.argv[1])
    if sys.argv[2:] != ["vae"]:
        main(sys.argv[1])

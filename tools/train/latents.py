"""Fold the latents' statistics into the autoencoder, and encode all training pictures once.

    python latents.py --vae FILE.pt --data DIR --out FILE.npz

Writes FILE.npz (latents f16, about N(0, 1) per channel) and FILE.vae.pt, whose quant_conv and
post_quant_conv hold the normalization, so that scaling_factor is 1.
"""
import argparse
import os

import numpy as np
import torch
from diffusers import AutoencoderKL

import data
import vae as vae_stage


@torch.no_grad()
def fold(vae, mean, std):
    """Afterwards the means are (old - mean) / std, and decoding undoes it."""
    n = len(mean)
    q, p = vae.quant_conv, vae.post_quant_conv
    q.weight[:n] /= std.view(-1, 1, 1, 1)
    q.bias[:n] = (q.bias[:n] - mean) / std
    q.weight[n:] = q.weight[n:]
    q.bias[n:] -= 2 * std.log()
    p.bias += p.weight[:, :, 0, 0] @ mean
    p.weight *= std.view(1, -1, 1, 1)


@torch.no_grad()
def encode(vae, rgb):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moments = vae.encoder(data.to_float(rgb))
    return vae.quant_conv(moments.float()).chunk(2, dim=1)[0]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--vae", required=True)
    ap.add_argument("--data", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--first-shard", type=int, default=0)
    ap.add_argument("--shards", type=int, default=1000)
    ap.add_argument("--folded", action="store_true", help="--vae is folded already")
    args = ap.parse_args()
    torch.set_num_threads(1)
    vae = AutoencoderKL(**vae_stage.CONFIG)
    vae.load_state_dict(torch.load(args.vae)["vae"])
    pictures = data.Pictures(args.data)
    if not args.folded:
        z = torch.cat([encode(vae, pictures.shards[0][i:i + 50]) for i in range(0, 1500, 50)])
        fold(vae, z.mean((0, 2, 3)), z.std((0, 2, 3)))
        folded = os.path.splitext(args.out)[0] + ".vae.pt"
        torch.save(dict(vae=vae.state_dict()), folded)
    out = []
    for shard in pictures.shards[args.first_shard:args.first_shard + args.shards]:
        out += [encode(vae, shard[i:i + 50]).half().numpy() for i in range(0, len(shard), 50)]
    z = np.concatenate(out)
    np.savez(args.out, latents=z)
    print(z.shape, "mean", z.mean((0, 2, 3), np.float64).round(3), "std",
          z.std((0, 2, 3), dtype=np.float64).round(3))


if __name__ == "__main__":
    main()

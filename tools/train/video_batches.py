"""Latents of clips with what they show, in shards.

    python video_batches.py --vae DIR --out DIR --first 0 --count 25

renders and encodes shards: DIR/lat<i>.npz (latents f16, how much of each place the objects cover)
and DIR/t<i>.jsonl. As batches.py, which the trainer's half of this file continues.
"""
import argparse
import os
import subprocess

import numpy as np
import torch
import torch.nn.functional as F

import batches
import captions
import video_captions
import video_data
import video_models

IDS = 32 # size of the renderer's maps
CLASSES = [len(captions.PLAIN_SHAPES), len(captions.PLAIN_COLORS)]


class Batches(batches.Batches):
    """`maps` of a batch are [B, 5, 8, 8, 2] bytes: the share of each place that objects cover."""

    read = staticmethod(video_data.read)

    @staticmethod
    def caption(clip, rng):
        return video_captions.caption(clip, rng), []

    @staticmethod
    def labels(objects):
        rows = [[captions.SHAPES.index(o["shape"]), captions.COLORS.index(o["color"])] for o in objects]
        return rows + [[0, 0]] * (2 - len(rows))


def coverage(maps):
    """[B, 5, 8, 8, 2] bytes to the share of each token's area, [B, 80, 2]."""
    share = maps.float().view(len(maps), video_models.LATENT_FRAMES, 4, 2, 4, 2, 2) / 255
    return share.mean((3, 5)).flatten(1, 3)


def pixel_weight(maps):
    """[B, 1, 5, 8, 8]: objects count three times."""
    return (1 + 2 * maps.float().sum(-1).div(255).clamp(max=1))[:, None]


def covered(ids):
    """Maps [n, 17, 32, 32] of what is seen to bytes [n, 5, 8, 8, 2]. A latent frame but the first
    stands for four frames."""
    cells = IDS // video_models.LATENT_SIZE
    share = [F.avg_pool2d((torch.from_numpy(ids) == k).float(), cells) for k in (0, 1)]
    share = torch.stack(share, -1) # [n, 17, 8, 8, 2]
    later = share[:, 1:].unflatten(1, (-1, 4)).mean(2)
    return (torch.cat([share[:, :1], later], 1) * 255).round().byte().numpy()


@torch.no_grad()
def encode(vae, rgb):
    """About N(0, 1) per channel, as the denoiser sees them."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = video_models.encode(vae, video_data.to_float(rgb))[0]
    mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1)
                 for x in (vae.config.latents_mean, vae.config.latents_std))
    return (z - mean) / std


def make_shard(vae, folder, number):
    count, rgb_file, ids_file = video_data.SHARD, f"{folder}/t{number}.rgb", f"{folder}/t{number}.ids"
    subprocess.run(video_data.command(number * count, count, "train", "--pixels", rgb_file, "--ids",
                                      ids_file, "--json", f"{folder}/t{number}.jsonl"), check=True)
    rgb = np.fromfile(rgb_file, np.uint8).reshape(-1, *video_data.SHAPE)
    ids = np.fromfile(ids_file, np.uint8).reshape(-1, video_data.FRAMES, IDS, IDS)
    z = np.concatenate([encode(vae, rgb[i:i + 10]).half().numpy() for i in range(0, len(rgb), 10)])
    fresh = f"{folder}/fresh{number}.npz"
    np.savez(fresh, latents=z, ids=covered(ids))
    os.replace(fresh, f"{folder}/lat{number}.npz")
    os.remove(rgb_file)
    os.remove(ids_file)
    print(number, "mean", z.mean((0, 2, 3, 4), np.float64).round(2), "std",
          z.std((0, 2, 3, 4), dtype=np.float64).round(2), flush=True)


def main():
    from diffusers import AutoencoderKLWan
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--vae", required=True, help="folder of the exported autoencoder")
    ap.add_argument("--out", required=True)
    ap.add_argument("--first", type=int, default=0)
    ap.add_argument("--step", type=int, default=1)
    ap.add_argument("--count", type=int, default=25)
    args = ap.parse_args()
    torch.set_num_threads(1)
    os.makedirs(args.out, exist_ok=True)
    vae = AutoencoderKLWan.from_pretrained(args.vae).float().eval()
    for i in range(args.first, args.count, args.step):
        if not os.path.exists(f"{args.out}/lat{i}.npz"):
            make_shard(vae, args.out, i)


if __name__ == "__main__":
    main()

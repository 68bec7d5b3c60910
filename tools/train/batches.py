"""Latents with their scenes, in shards that a background process may still be writing.

    python batches.py --vae DIR --out DIR --first 0 --count 25

renders and encodes shards: DIR/lat<i>.npz (latents f16, object maps) and DIR/t<i>.jsonl.
"""
import argparse
import json
import os
import subprocess

import numpy as np
import torch

import captions
import data
import flow
import processes

HELD = 256 # the last ones of shard 0 serve as validation


class Batches:
    """Batches with fresh captions; new shards are noticed while training runs."""

    caption = staticmethod(captions.caption_and_demand)
    read = staticmethod(json.loads) # one line of what is shown

    def __init__(self, folder, tokens, seed):
        self.folder, self.z, self.ids, self.scenes, self.ends = folder, [], [], [], []
        self.tokens = tokens
        self.rng, self.calls = np.random.default_rng(seed), 0
        self.look()

    def look(self):
        while os.path.exists(f"{self.folder}/lat{len(self.z)}.npz"):
            n = len(self.z)
            shard = np.load(f"{self.folder}/lat{n}.npz")
            with open(f"{self.folder}/t{n}.jsonl") as f:
                rows = [self.read(line) for line in f]
            last = len(rows) - HELD if n == 0 else len(rows)
            if n == 0:
                self.held = (shard["latents"][last:], rows[last:])
            self.z.append(shard["latents"][:last])
            self.ids.append(shard["ids"][:last])
            self.scenes += rows[:last]
            self.ends.append(len(self.scenes))

    def pick(self, shards, picks):
        """Rows of arrays that lie one behind the other; never joined, which would take them twice."""
        shard = np.searchsorted(self.ends, picks, side="right")
        return self.here(np.stack([shards[s][i - self.ends[s]] for s, i in zip(shard, picks)]))

    @staticmethod
    def here(array):
        return torch.from_numpy(array).to(processes.DEVICE)

    @staticmethod
    def labels(objects):
        return captions.object_labels(objects, flow.OBJECTS)

    def batch(self, count):
        """(latents, token ids, mask, object maps [B, 32, 32], labels [B, objects, attributes],
        what the captions demand [B, heads])"""
        self.calls += 1
        if self.calls % 50 == 0:
            self.look()
        picks = self.rng.integers(0, len(self.scenes), count)
        scenes = [self.scenes[i] for i in picks]
        texts, demands = zip(*[self.caption(s, self.rng) for s in scenes])
        ids, mask = self.tokens(texts)
        labels = torch.tensor([self.labels(s["objects"]) for s in scenes])
        return (self.pick(self.z, picks).float(), ids, mask, self.pick(self.ids, picks), labels,
                torch.tensor(demands))

    def validation(self, count=64):
        """The same batches of (latents, token ids, mask) each time."""
        rng = np.random.default_rng(1)
        z, scenes = self.held
        for i in range(0, len(scenes), count):
            part = [self.caption(s, rng)[0] for s in scenes[i:i + count]]
            yield (self.here(z[i:i + count]).float(), *self.tokens(part))


@torch.no_grad()
def encode(vae, rgb):
    with processes.halves():
        moments = vae.encoder(data.to_float(rgb).to(processes.DEVICE))
    return vae.quant_conv(moments.float()).chunk(2, dim=1)[0]


def make_shard(vae, folder, number):
    rgb_file, ids_file = f"{folder}/t{number}.rgb", f"{folder}/t{number}.ids"
    subprocess.run([data.renderer(), "--first-seed", str(number * data.SHARD), "--count",
                    str(data.SHARD), "--pixels", rgb_file, "--ids", ids_file, "--json",
                    f"{folder}/t{number}.jsonl"], check=True)
    rgb = np.fromfile(rgb_file, np.uint8).reshape(-1, data.SIZE, data.SIZE, 3)
    ids = data.read_maps(ids_file)
    z = np.concatenate([encode(vae, rgb[i:i + 8]).half().cpu().numpy() for i in range(0, len(rgb), 8)])
    fresh = f"{folder}/fresh{number}.npz"
    np.savez(fresh, latents=z, ids=ids)
    os.replace(fresh, f"{folder}/lat{number}.npz")
    os.remove(rgb_file)
    os.remove(ids_file)
    print(number, "mean", z.mean((0, 2, 3), np.float64).round(2), "std",
          z.std((0, 2, 3), dtype=np.float64).round(2), flush=True)


def main():
    from diffusers import AutoencoderKL
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--vae", required=True, help="folder of the exported autoencoder")
    ap.add_argument("--out", required=True)
    ap.add_argument("--first", type=int, default=0)
    ap.add_argument("--step", type=int, default=1)
    ap.add_argument("--count", type=int, default=25)
    args = ap.parse_args()
    torch.set_num_threads(1)
    vae = AutoencoderKL.from_pretrained(args.vae).float().eval().to(processes.DEVICE)
    for i in range(args.first, args.count, args.step):
        if not os.path.exists(f"{args.out}/lat{i}.npz"):
            make_shard(vae, args.out, i)


if __name__ == "__main__":
    main()

"""Clips from the renderer, as data.py has pictures.

    python video_data.py --out DIR --count 8        shards t<i>.rgb and t<i>.jsonl of 500 clips each
"""
import argparse
import glob
import json
import os
import subprocess
import tempfile

import numpy as np
import torch

import data

FRAMES, SIZE, SHARD = 17, 64, 500
SHAPE = (FRAMES, SIZE, SIZE, 3)


def read(line):
    """What a clip shows: its scene's fields, with `motion` and `mover`."""
    row = json.loads(line)
    return {**row.pop("scene"), **row}


def command(first_seed, count, split, *more):
    return [data.renderer(), "--frames", str(FRAMES), "--size", str(SIZE), "--first-seed",
            str(first_seed), "--count", str(count), "--split", split, *more]


def render(first_seed, count, split="train"):
    """([count, 17, 64, 64, 3] bytes, [what each clip shows])."""
    with tempfile.TemporaryDirectory() as folder:
        pixels, text = os.path.join(folder, "p"), os.path.join(folder, "j")
        subprocess.run(command(first_seed, count, split, "--pixels", pixels, "--json", text),
                       check=True)
        with open(text) as f:
            return np.fromfile(pixels, np.uint8).reshape(-1, *SHAPE), [read(x) for x in f]


def describe(first_seed, count, split="train"):
    """What clips show, alone; cheap."""
    out = subprocess.run(command(first_seed, count, split, "--json", "-"), check=True,
                         capture_output=True)
    return [read(line) for line in out.stdout.splitlines()]


def to_float(rgb):
    """Bytes [n, F, H, W, 3] to floats [n, 3, F, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


class Clips:
    """The shards t*.rgb of a folder, mapped."""

    def __init__(self, folder):
        self.shards = [np.memmap(f"{folder}/t{i}.rgb", np.uint8, "r").reshape(-1, *SHAPE)
                       for i in range(len(glob.glob(f"{folder}/t*.rgb")))]
        self.told = []
        for i in range(len(self.shards)):
            with open(f"{folder}/t{i}.jsonl") as f:
                self.told += [read(line) for line in f]

    def __len__(self):
        return len(self.told)

    def get(self, picks):
        return np.stack([self.shards[i // SHARD][i % SHARD] for i in picks])


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", required=True)
    ap.add_argument("--count", type=int, default=8)
    ap.add_argument("--split", default="train")
    args = ap.parse_args()
    os.makedirs(args.out, exist_ok=True)
    for i in range(args.count):
        name = f"{args.out}/t{i}"
        if not os.path.exists(name + ".rgb"):
            subprocess.run(command(i * SHARD, SHARD, args.split, "--pixels", name + ".fresh",
                                   "--json", name + ".jsonl"), check=True)
            os.replace(name + ".fresh", name + ".rgb")


if __name__ == "__main__":
    main()

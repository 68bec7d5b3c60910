"""Pictures and scene descriptions from the renderer, built on first use."""
import glob
import json
import os
import subprocess
import tempfile

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
SCENES = os.path.join(HERE, "..", "scenes")
SIZE = 256
BYTES = SIZE * SIZE * 3
SHARD = 2000


def renderer():
    """The path of the renderer; compiles it if it is missing or out of date."""
    folder = os.environ.get("SCENES_BUILD", os.path.join(tempfile.gettempdir(), "scenes-build"))
    os.makedirs(folder, exist_ok=True)
    program = os.path.join(folder, "scenes-render")
    sources = sorted(glob.glob(SCENES + "/*.c"))
    newest = max(map(os.path.getmtime, sources + glob.glob(SCENES + "/*.h")))
    if not os.path.exists(program) or os.path.getmtime(program) < newest:
        fresh = f"{program}.{os.getpid()}"
        subprocess.run(["gcc", "-std=c11", "-O3", "-flto", "-march=native", "-ffast-math", "-o",
                        fresh, *sources, "-lm"], check=True)
        os.replace(fresh, program)
    return program


def render(first_seed, count, split="train"):
    """([count, 256, 256, 3] bytes, [scene descriptions])."""
    with tempfile.TemporaryDirectory() as folder:
        pixels, text = os.path.join(folder, "p"), os.path.join(folder, "j")
        subprocess.run([renderer(), "--first-seed", str(first_seed), "--count", str(count),
                        "--split", split, "--pixels", pixels, "--json", text], check=True)
        rgb = np.fromfile(pixels, np.uint8).reshape(count, SIZE, SIZE, 3)
        with open(text) as f:
            return rgb, [json.loads(line) for line in f]


def describe(first_seed, count, split="train"):
    """Scene descriptions alone; cheap."""
    out = subprocess.run([renderer(), "--first-seed", str(first_seed), "--count", str(count),
                          "--split", split, "--json", "-"], check=True, capture_output=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def to_float(rgb):
    """Bytes [n, H, W, 3] to floats [n, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Pictures:
    """The shards t*.rgb of a folder, mapped; new ones are noticed while training runs."""

    def __init__(self, folder):
        self.folder, self.shards, self.calls = folder, [], 0
        self.look()

    def look(self):
        n = len(self.shards)
        while os.path.exists(f"{self.folder}/t{n}.rgb"):
            self.shards.append(np.memmap(f"{self.folder}/t{n}.rgb", np.uint8, "r").reshape(
                -1, SIZE, SIZE, 3))
            n += 1

    def __len__(self):
        return sum(len(s) for s in self.shards)

    def sample(self, rng, count):
        self.calls += 1
        if self.calls % 50 == 0:
            self.look()
        return self.get(rng.integers(0, len(self), count))

    def get(self, picks):
        return np.stack([self.shards[i // SHARD][i % SHARD] for i in picks])


def read_maps(path):
    """Which object is where, as the renderer's --ids says it: [n, 32, 32]."""
    return np.fromfile(path, np.uint8).reshape(-1, 32, 32)


def maps(folder):
    """Those of all complete shards, in order."""
    n = len(glob.glob(f"{folder}/t*.rgb"))
    return np.concatenate([read_maps(f"{folder}/t{i}.ids") for i in range(n)])


def scenes(folder):
    """The descriptions of all complete shards, in order."""
    out = []
    n = len(glob.glob(f"{folder}/t*.rgb"))
    for i in range(n):
        with open(f"{folder}/t{i}.jsonl") as f:
            out += [json.loads(line) for line in f]
    return out

"""Train the judge: a small network that reads the scene off a picture, on renders alone.

    python judge.py --data DIR --out assets/judge/scenes-judge.safetensors

DIR is that of the autoencoder: the judge must also know what is held out from the generator.
"""
import argparse
import json
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import batches
import captions
import data
import flow

CLASSES = captions.HEADS


class Judge(nn.Module):
    """Convolutions to 8x8, one hidden layer, a head per attribute; these here at 256x256."""

    CLASSES = CLASSES
    CHANNELS = [(3, 16, 2), (16, 32, 2), (32, 48, 2), (48, 48, 1), (48, 64, 2), (64, 64, 1), (64, 96, 2),
                (96, 96, 1)]

    def __init__(self, channels=None, classes=None):
        super().__init__()
        channels, classes = channels or self.CHANNELS, classes or self.CLASSES
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, stride=s, padding=1) for i, o, s in channels)
        self.norms = nn.ModuleList(nn.GroupNorm(8, o) for _, o, _ in channels)
        self.hidden = nn.Linear(96 * 8 * 8, 192)
        self.heads = nn.ModuleDict({k: nn.Linear(192, len(v)) for k, v in classes.items()})

    def cells(self, x):
        """[B, 96, 8, 8]"""
        for conv, norm in zip(self.convs, self.norms):
            x = F.relu(norm(conv(x)))
        return x

    def read(self, cells):
        h = F.relu(self.hidden(cells.flatten(1)))
        return {k: head(h) for k, head in self.heads.items()}

    def forward(self, x):
        return self.read(self.cells(x))


def targets(scenes):
    """[scenes, heads]"""
    return torch.tensor([captions.labels(s) for s in scenes])


def mirrored(names):
    """[the attributes `names` of a scene, where each is found in its mirror image] per layout: what stands
    left stands right, and of a row the last first."""
    table = torch.arange(len(names)).repeat(len(captions.LAYOUTS), 1)
    for layout, swaps in (("left-right", "ba"), ("row", "cba")):
        for slot, other in zip(captions.SLOTS, swaps):
            for i, name in enumerate(names):
                if name.endswith("_" + slot):
                    table[captions.LAYOUTS.index(layout), i] = names.index(name[:-1] + other)
    return table


MIRRORED = mirrored(list(CLASSES))


def mirror(x, maps, want, gen):
    """Half of the pictures and of the maps of objects left to right; want: [B, heads]."""
    flip = torch.rand(len(x), generator=gen) < 0.5
    x = torch.where(flip.view(-1, 1, 1, 1), x.flip(-1), x)
    maps = torch.where(flip.view(-1, 1, 1), maps.flip(-1), maps)
    return x, maps, torch.where(flip[:, None], want.gather(1, MIRRORED[want[:, 0]]), want)


def soften(x, gen):
    """Half of the pictures blurred by a Gaussian of up to 1.3 pixels: an autoencoder is about that
    soft, and what an eye still reads off its pictures the judge has to read too."""
    n, planes, sigma = len(x) // 2, x.shape[1], 0.3 + torch.rand(1, generator=gen).item()
    at = torch.arange(-4, 5).float()
    line = torch.exp(-at.square() / (2 * sigma * sigma))
    kernel = (line / line.sum()).view(1, 1, 1, 9).expand(planes, 1, 1, 9)
    soft = F.conv2d(F.pad(x[:n], (4, 4, 4, 4), mode="replicate"), kernel, groups=planes)
    soft = F.conv2d(soft, kernel.transpose(2, 3), groups=planes)
    return torch.cat([soft, x[n:]])


def augment(x, gen):
    """A shift of up to 3 pixels, slight gain and noise: little, so that the judge stays strict."""
    x = soften(x, gen)
    dx, dy = torch.randint(-3, 4, (2,), generator=gen).tolist()
    height, width = x.shape[-2:]
    x = F.pad(x, (3, 3, 3, 3), mode="replicate")[..., 3 + dy:][..., :height, 3 + dx:][..., :width]
    gain = 1 + 0.06 * torch.randn(len(x), 1, 1, 1, generator=gen)
    noise = 0.03 * torch.rand(len(x), 1, 1, 1, generator=gen)
    return x * gain + noise * torch.randn(x.shape, generator=gen)


@torch.no_grad()
def accuracy(model, rgb, scenes):
    """Share right per attribute, and of pictures with every one right."""
    out = [torch.stack([o.argmax(1) for o in model(data.to_float(rgb[i:i + 50])).values()], 1)
           for i in range(0, len(rgb), 50)]
    right = torch.cat(out) == targets(scenes)
    result = dict(zip(CLASSES, right.float().mean(0).tolist()))
    result["all"] = right.all(1).float().mean().item()
    return result


def write(model, path, **about):
    """The weights, and beside them what gen-eval must know."""
    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, path)
    with open(path.replace(".safetensors", ".json"), "w") as f:
        json.dump(dict(**about, classes=model.CLASSES), f, indent=1)


def save(model, path):
    write(model, path, input="RGB 256x256, bytes / 127.5 - 1", edge=data.SIZE, convs=Judge.CHANNELS,
          norm_groups=8, judged=list(CLASSES))


def load(path, model=None):
    """A judge as its .json describes it, if it is not one of another class."""
    if model is None:
        with open(path.replace(".safetensors", ".json")) as f:
            about = json.load(f)
        model = Judge(about["convs"], about["classes"])
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return model.eval()


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--start", help="go on from this file")
    ap.add_argument("--steps", type=int, default=2200)
    ap.add_argument("--rate", type=float, default=2e-3)
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    gen = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(1)
    pictures, scenes = data.Pictures(args.data), data.scenes(args.data)
    maps, want = torch.from_numpy(data.maps(args.data)), targets(scenes)
    objects = torch.tensor([batches.Batches.labels(s["objects"]) for s in scenes])
    fresh, fresh_scenes = data.render(6_000_000, 2000, "all")
    model = load(args.start).train() if args.start else Judge()
    # What each cell shows is learnt beside what the picture does: it is there to be seen, and soon told.
    reader = flow.Reader(Judge.CHANNELS[-1][1], flow.coverage, flow.OBJECTS, flow.CLASSES)
    opt = torch.optim.AdamW([*model.parameters(), *reader.parameters()], lr=2e-3, weight_decay=0.02)
    begin = time.process_time()
    for step in range(args.steps):
        done = step / args.steps
        for g in opt.param_groups:
            g["lr"] = args.rate * min(1.0, step / 100) * (1 - done) ** 0.7 + 1e-5
        picks = rng.integers(0, len(want), 32)
        x, shown, now = mirror(data.to_float(pictures.get(picks)), maps[picks], want[picks], gen)
        x = augment(x, gen)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cells = model.cells(x)
            out = model.read(cells)
        loss = sum(F.cross_entropy(o.float(), now[:, i]) for i, o in enumerate(out.values()))
        loss = loss + 2 * reader(cells.flatten(2).mT, shown, objects[picks])
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 100 == 99:
            r = accuracy(model, fresh[:300], fresh_scenes[:300])
            print(step + 1, round(loss.item(), 3), {k: round(v, 3) for k, v in r.items()},
                  round(time.process_time() - begin), "s", flush=True)
            save(model, args.out)
    save(model, args.out)
    r = accuracy(load(args.out), fresh, fresh_scenes)
    print("final, 2000 fresh renders:", json.dumps({k: round(v, 4) for k, v in r.items()}),
          round(time.process_time() - begin), "s", flush=True)


if __name__ == "__main__":
    main()

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

import captions
import data
import flow

CLASSES = captions.HEADS


class Judge(nn.Module):
    """Convolutions to 8x8, one hidden layer, a head per attribute."""

    def __init__(self, channels=None, classes=None):
        super().__init__()
        channels, classes = channels or self.CHANNELS, classes or self.CLASSES
        self.channels = channels
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, stride=s, padding=1) for i, o, s in channels)
        self.norms = nn.ModuleList(nn.GroupNorm(8, o) for _, o, _ in channels)
        self.heads = self.make_heads(channels[-1][1], classes)

    def make_heads(self, width, classes):
        self.hidden = nn.Linear(width * 8 * 8, 192)
        return nn.ModuleDict({k: nn.Linear(192, len(v)) for k, v in classes.items()})

    def cells(self, x):
        """[B, channels, 8, 8]"""
        for conv, norm in zip(self.convs, self.norms):
            x = F.relu(norm(conv(x)))
        return x

    def read(self, cells):
        h = F.relu(self.hidden(cells.flatten(1)))
        return {k: head(h) for k, head in self.heads.items()}

    def forward(self, x):
        return self.read(self.cells(x))


class SceneJudge(Judge):
    """That of pictures at 256x256. Instead of a hidden layer, which has to learn each shape anew at each
    place, tokens that are learnt look at the cells: one for the scene, one for each object."""

    CLASSES = CLASSES
    CHANNELS = [(3, 16, 2), (16, 32, 2), (32, 64, 2), (64, 64, 1), (64, 96, 2), (96, 96, 1), (96, 128, 2),
                (128, 128, 1)]
    HEADS, LAYERS = 4, 2 # of attention, of the transformer

    def make_heads(self, width, classes):
        self.query = nn.Parameter(0.1 * torch.randn(1 + len(captions.SLOTS), width))
        self.position = nn.Parameter(0.1 * torch.randn(8 * 8, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, self.HEADS, 2 * width, dropout=0.0, activation="gelu",
                                       batch_first=True, norm_first=True) for _ in range(self.LAYERS))
        return nn.ModuleDict({k: nn.Linear(width, len(v)) for k, v in classes.items()})

    @staticmethod
    def token(head):
        """Of the queries, the one that `head` reads."""
        name, _, slot = head.rpartition("_")
        return 1 + captions.SLOTS.index(slot) if name else 0

    def read(self, cells):
        tokens = torch.cat([self.query.expand(len(cells), -1, -1), cells.flatten(2).mT + self.position], 1)
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = F.layer_norm(tokens[:, :len(self.query)].float(), tokens.shape[-1:])
        return {k: head(tokens[:, self.token(k)]) for k, head in self.heads.items()}


def targets(scenes):
    """[scenes, heads]"""
    return torch.tensor([captions.labels(s) for s in scenes])


def object_targets(scenes):
    """[scenes, objects, attributes]"""
    return torch.tensor([captions.object_labels(s["objects"], flow.OBJECTS) for s in scenes])


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
def accuracy(model, x, want):
    """Share right per attribute, and of pictures with every one right; x(begin, end): pictures."""
    out = [torch.stack([o.argmax(1) for o in model(x(i, i + 50)).values()], 1)
           for i in range(0, len(want), 50)]
    right = torch.cat(out) == want
    result = dict(zip(model.CLASSES, right.float().mean(0).tolist()))
    result["all"] = right.all(1).float().mean().item()
    return {k: round(v, 4) for k, v in result.items()}


def accuracy_on(model, rgb, scenes):
    return accuracy(model, lambda begin, end: data.to_float(rgb[begin:end]), targets(scenes))


def write(model, path, **about):
    """The weights, and beside them what gen-eval must know."""
    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, path)
    with open(path.replace(".safetensors", ".json"), "w") as f:
        json.dump(dict(**about, convs=model.channels, norm_groups=8, classes=model.CLASSES), f, indent=1)


def save(model, path, **about):
    """tokens: which of the queries each attribute is read from"""
    write(model, path, **about, layers=model.LAYERS, attention_heads=model.HEADS,
          tokens={k: model.token(k) for k in model.CLASSES}, judged=list(model.CLASSES))


def load(path, model=None):
    """A judge as its .json describes it, if it is not one of another class."""
    if model is None:
        with open(path.replace(".safetensors", ".json")) as f:
            about = json.load(f)
        model = (SceneJudge if "layers" in about else Judge)(about["convs"], about["classes"])
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return model.eval()


class Renders:
    """What the judge learns from."""

    def __init__(self, folder):
        self.pictures, scenes = data.Pictures(folder), data.scenes(folder)
        self.maps, self.want = torch.from_numpy(data.maps(folder)), targets(scenes)
        self.objects = object_targets(scenes)
        self.fresh = data.render(6_000_000, 2000, "all")

    def batch(self, count, rng, gen):
        """(pictures, object maps, labels [B, heads], labels of objects)"""
        picks = rng.integers(0, len(self.want), count)
        x = data.to_float(self.pictures.get(picks))
        x, maps, want = mirror(x, self.maps[picks], self.want[picks], gen)
        return augment(x, gen), maps, want, self.objects[picks]

    def accuracy(self, model, count):
        rgb, scenes = self.fresh
        return accuracy_on(model, rgb[:count], scenes[:count])


def train(model, source, args, about):
    """What each cell shows is learnt beside what the picture does: it is there to be seen, and soon told."""
    gen, rng = torch.Generator().manual_seed(0), np.random.default_rng(1)
    reader = flow.Reader(model.channels[-1][1], flow.coverage, flow.OBJECTS, flow.CLASSES)
    opt = torch.optim.AdamW([*model.parameters(), *reader.parameters()], lr=args.rate, weight_decay=0.02)
    begin, losses = time.process_time(), []
    for step in range(args.steps):
        for g in opt.param_groups:
            g["lr"] = args.rate * min(1.0, step / 100) * (1 - step / args.steps) ** 0.7 + 1e-6
        x, maps, want, objects = source.batch(args.batch, rng, gen)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cells = model.cells(x)
            out = model.read(cells)
        loss = sum(F.cross_entropy(o.float(), want[:, i]) for i, o in enumerate(out.values()))
        losses.append(loss.item())
        loss = loss + 2 * reader(cells.flatten(2).mT, maps, objects)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        opt.step()
        if step % 200 == 199:
            print(step + 1, round(np.mean(losses[-200:]), 3), source.accuracy(model, 400),
                  round(time.process_time() - begin), "s", flush=True)
            save(model, args.out, **about)
    save(model, args.out, **about)
    print("final:", json.dumps(source.accuracy(load(args.out), None)),
          round(time.process_time() - begin), "s", flush=True)


def arguments(about):
    ap = argparse.ArgumentParser(description=about)
    ap.add_argument("--data", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--start", help="go on from this file")
    ap.add_argument("--steps", type=int, default=4500)
    ap.add_argument("--batch", type=int, default=32)
    ap.add_argument("--rate", type=float, default=2e-3)
    return ap.parse_args()


def main():
    args = arguments(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = load(args.start).train() if args.start else SceneJudge()
    train(model, Renders(args.data), args, dict(input="RGB 256x256, bytes / 127.5 - 1", edge=data.SIZE))


if __name__ == "__main__":
    main()

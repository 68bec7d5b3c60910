"""Golden logits of the judge (tools/train/judge.py) for a render and two made-up pictures, and of a small
one whose cells are read by a transformer.

The made-up ones come from integer formulas that tests/models/test_judge.c repeats.
"""
import json
import os
import sys

from common import ROOT, save_golden

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
import torch.nn.functional as F

WEIGHTS = os.path.join(ROOT, "assets", "judge", "scenes-judge.safetensors")
with open(WEIGHTS.replace(".safetensors", ".json")) as f:
    ABOUT = json.load(f)
EDGE = ABOUT.get("edge", 128)


def pictures():
    y, x = np.mgrid[0:EDGE, 0:EDGE].astype(np.int64)
    out = [np.asarray(Image.open(os.path.join(ROOT, "assets", "pictures", "first.png"))
                      .convert("RGB"))]
    for k in (1, 2):
        planes = [(x * (3 * k + c) + y * (5 - k + 2 * c) + x * y // (16 * k)) & 255
                  for c in range(3)]
        disc = (x - 64) ** 2 + (y - 50 - 10 * k) ** 2 < 900
        planes[k] = np.where(disc, 230, planes[k])
        out.append(np.stack(planes, -1).astype(np.uint8))
    return np.stack(out)


def logits(x, w):
    """tools/train/judge.py's Judge.forward, by functions, in f64."""
    for i, (_, _, stride) in enumerate(ABOUT["convs"]):
        x = F.conv2d(x, w[f"convs.{i}.weight"], w[f"convs.{i}.bias"], stride, 1)
        x = F.relu(F.group_norm(x, ABOUT["norm_groups"], w[f"norms.{i}.weight"], w[f"norms.{i}.bias"], 1e-5))
    x = F.relu(F.linear(x.flatten(1), w["hidden.weight"], w["hidden.bias"]))
    return torch.cat([F.linear(x, w[f"heads.{k}.weight"], w[f"heads.{k}.bias"]) for k in ABOUT["classes"]], 1)


def by_stage(x):
    """The same by the training script itself, when its imports are there."""
    sys.path.insert(0, os.path.join(ROOT, "tools", "train"))
    import judge
    out = judge.load(WEIGHTS)(x.float())
    return torch.cat([out[k] for k in ABOUT["classes"]], 1)


SMALL = dict(edge=16, convs=[[3, 16, 2], [16, 32, 2]], norm_groups=8, layers=2, attention_heads=2,
             classes=dict(sky=["day", "night"], shape_a=["cube", "cone", "none"]), tokens=dict(sky=0, shape_a=2))


def small():
    """Random weights, two pictures and their logits, by torch.nn's own layers in f64."""
    torch.manual_seed(0)
    width = SMALL["convs"][-1][1]
    cells = torch.nn.Sequential(*[
        layer for i, o, s in SMALL["convs"] for layer in (
            torch.nn.Conv2d(i, o, 3, stride=s, padding=1), torch.nn.GroupNorm(SMALL["norm_groups"], o),
            torch.nn.ReLU())])
    layers = torch.nn.ModuleList(
        torch.nn.TransformerEncoderLayer(width, SMALL["attention_heads"], 2 * width, dropout=0.0,
                                         activation="gelu", batch_first=True, norm_first=True)
        for _ in range(SMALL["layers"]))
    heads = torch.nn.ModuleDict({k: torch.nn.Linear(width, len(v)) for k, v in SMALL["classes"].items()})
    parts = torch.nn.ModuleDict(dict(cells=cells, layers=layers, heads=heads))
    for p in parts.parameters(): # norms that do something
        p.data += 0.1 * torch.randn_like(p)
    query, place = torch.randn(3, width), torch.randn(16, width)
    x = torch.rand(2, 3, SMALL["edge"], SMALL["edge"]) * 2 - 1
    out = {"query": query, "position": place, "pictures": x}
    for name, value in parts.state_dict().items():
        part, i, rest = name.split(".", 2)
        if part == "cells":
            name = f"{('convs', 'norms')[int(i) % 3]}.{int(i) // 3}.{rest}"
        out[name] = value
    parts.double()
    tokens = cells(x.double()).flatten(2).mT + place
    tokens = torch.cat([query.double().expand(2, -1, -1), tokens], 1)
    for layer in layers:
        tokens = layer(tokens)
    tokens = F.layer_norm(tokens, [width])
    out["logits"] = torch.cat([heads[k](tokens[:, SMALL["tokens"][k]]) for k in heads], 1).float()
    return out


if __name__ == "__main__":
    save_golden("judge-transformer", small(), "a small judge with layers: " + json.dumps(SMALL))
    rgb = pictures()
    x = torch.from_numpy(rgb).double().permute(0, 3, 1, 2) / 127.5 - 1
    want = logits(x, {k: v.double() for k, v in load_file(WEIGHTS).items()})
    other = by_stage(x)
    error = ((other - want).norm() / want.norm()).item()
    print(f"f32 of judge.py against f64: {error:.2e}")
    assert error < 1e-5
    save_golden("judge", {"logits": want.float(), "render": torch.from_numpy(rgb[:1].copy())},
                "scenes-judge, outputs in the order of its json")

"""Golden logits of the judge (tools/train/judge.py) for a render and two made-up pictures.

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


if __name__ == "__main__":
    rgb = pictures()
    x = torch.from_numpy(rgb).double().permute(0, 3, 1, 2) / 127.5 - 1
    want = logits(x, {k: v.double() for k, v in load_file(WEIGHTS).items()})
    other = by_stage(x)
    error = ((other - want).norm() / want.norm()).item()
    print(f"f32 of judge.py against f64: {error:.2e}")
    assert error < 1e-5
    save_golden("judge", {"logits": want.float(), "render": torch.from_numpy(rgb[:1].copy())},
                "scenes-judge, outputs in the order of its json")

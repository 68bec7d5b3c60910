"""Train the judge of clips: a small network that reads what moves, how, and past what, on renders.

    python video_judge.py --data DIR --out assets/judge/scenes-video-judge.safetensors
"""
import argparse
import json
import time

import numpy as np
import torch
import torch.nn.functional as F

import captions
import judge
import video_captions
import video_data

SEEN = (0, 4, 8, 12, 16) # the frames that it looks at, side by side as channels
CLASSES = dict(
    motion=video_captions.MOTIONS, side=["left", "right", "none"],
    shape_a=captions.PLAIN_SHAPES, color_a=captions.PLAIN_COLORS,
    shape_b=captions.PLAIN_SHAPES + ["none"], color_b=captions.PLAIN_COLORS + ["none"],
    ground=captions.PLAIN_GROUNDS, sky=captions.PLAIN_SKIES)


class Judge(judge.Judge):
    """That of pictures, for frames at 64x64 side by side: `look`."""

    CLASSES = CLASSES
    CHANNELS = [(15, 32, 1), (32, 48, 2), (48, 64, 1), (64, 64, 2), (64, 64, 1), (64, 96, 2),
                (96, 96, 1)]


def look(rgb):
    """Bytes [n, 17, 64, 64, 3] to what the judge sees."""
    return video_data.to_float(rgb[:, SEEN]).transpose(1, 2).flatten(1, 2)


def attributes(want):
    """{attribute: class name} of what video_captions.wants says; b is none where there is one object."""
    a, b = (want["objects"] + [dict(shape="none", color="none")])[:2]
    out = {k: v for k, v in want.items() if k != "objects" and v}
    for letter, o in (("a", a), ("b", b)):
        out.update({f"shape_{letter}": o["shape"], f"color_{letter}": o["color"]})
    return out


def targets(clips):
    rows = [attributes(video_captions.wants(c)) for c in clips]
    return {k: torch.tensor([names.index(r[k]) for r in rows]) for k, names in CLASSES.items()}


def augment(x, gen):
    """Softer, as an autoencoder leaves it; a shift of up to 2 pixels, slight gain and noise."""
    x = judge.soften(x, gen)
    dx, dy = torch.randint(-2, 3, (2,), generator=gen).tolist()
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")[..., 2 + dy:66 + dy, 2 + dx:66 + dx]
    gain = 1 + 0.06 * torch.randn(len(x), 1, 1, 1, generator=gen)
    noise = 0.03 * torch.rand(len(x), 1, 1, 1, generator=gen)
    return x * gain + noise * torch.randn(x.shape, generator=gen)


@torch.no_grad()
def read(model, rgb):
    out = [model(look(rgb[i:i + 50])) for i in range(0, len(rgb), 50)]
    return {k: torch.cat([o[k] for o in out]) for k in CLASSES}


def accuracy(model, rgb, clips):
    """Share right per attribute, and of clips with every one right."""
    out, want = read(model, rgb), targets(clips)
    right = {k: out[k].argmax(1) == want[k] for k in CLASSES}
    result = {k: v.float().mean().item() for k, v in right.items()}
    result["all"] = torch.stack(list(right.values())).all(0).float().mean().item()
    return result


def save(model, path):
    judge.write(model, path, input="RGB 64x64, bytes / 127.5 - 1, frames as channels", edge=64,
                frames=SEEN, judged=list(CLASSES))


def load(path):
    return judge.load(path, Judge())


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", required=True, help="clips of --split all")
    ap.add_argument("--out", required=True)
    ap.add_argument("--start", help="go on from this file")
    ap.add_argument("--steps", type=int, default=1800)
    ap.add_argument("--rate", type=float, default=2e-3)
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    gen, rng = torch.Generator().manual_seed(0), np.random.default_rng(1)
    clips = video_data.Clips(args.data)
    want = targets(clips.told)
    fresh, told = video_data.render(6_000_000, 1000, "all")
    model = load(args.start).train() if args.start else Judge()
    opt = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.02)
    begin = time.process_time()
    for step in range(args.steps):
        for g in opt.param_groups:
            g["lr"] = args.rate * min(1.0, step / 100) * (1 - step / args.steps) ** 0.7 + 1e-5
        picks = rng.integers(0, len(clips), 32)
        x = augment(look(clips.get(picks)), gen)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model(x)
        loss = sum(F.cross_entropy(out[k].float(), want[k][picks]) for k in CLASSES)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 100 == 99:
            r = accuracy(model, fresh[:200], told[:200])
            print(step + 1, round(loss.item(), 3), {k: round(v, 3) for k, v in r.items()},
                  round(time.process_time() - begin), "s", flush=True)
    save(model, args.out)
    r = accuracy(load(args.out), fresh, told)
    print("final, 1000 fresh renders:", json.dumps({k: round(v, 4) for k, v in r.items()}),
          round(time.process_time() - begin), "s", flush=True)


if __name__ == "__main__":
    main()

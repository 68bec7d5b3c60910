"""Judge the pictures of the held-out prompts, made by the gen program or by diffusers.

    python evaluate.py --gen ./ht --model DIR --prompts FILE.jsonl -o report.json
    python evaluate.py --torch    --model DIR --prompts FILE.jsonl --steps 4,1,8 -o report.json

Adherence is the share of prompts whose every demanded attribute the judge reads off the picture.
"""
import argparse
import glob
import json
import os
import shlex
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image

import captions
import data
import judge as judge_stage
import models

HERE = os.path.dirname(os.path.abspath(__file__))
JUDGE = os.path.join(HERE, "..", "..", "assets", "judge", "scenes-judge.safetensors")

SHAPE = (models.LATENT_CHANNELS, models.LATENT_SIZE, models.LATENT_SIZE)


class TorchModel:
    """The folder's parts in the classes of diffusers and transformers, in f32."""

    def __init__(self, folder):
        from diffusers import AutoencoderKL, PixArtTransformer2DModel
        from transformers import T5EncoderModel, T5Tokenizer
        self.tok = T5Tokenizer.from_pretrained(folder + "/tokenizer")
        self.text = T5EncoderModel.from_pretrained(folder + "/text_encoder").float().eval()
        self.dit = PixArtTransformer2DModel.from_pretrained(folder + "/transformer").float().eval()
        self.vae = AutoencoderKL.from_pretrained(folder + "/vae").float().eval()
        with open(folder + "/halftone.json") as f:
            self.max_tokens = json.load(f)["max_tokens"]

    def encode(self, prompts):
        tokens = self.tok([p.lower().strip() for p in prompts], padding="max_length",
                          max_length=self.max_tokens, truncation=True, return_tensors="pt")
        mask = tokens.attention_mask
        return self.text(input_ids=tokens.input_ids, attention_mask=mask).last_hidden_state, mask

    def velocity(self, x, t, text, mask):
        return self.dit(x, encoder_hidden_states=text, timestep=torch.full((len(x),), 1000.0 * t),
                        encoder_attention_mask=mask,
                        added_cond_kwargs={"resolution": None, "aspect_ratio": None}).sample

    @torch.no_grad()
    def sample(self, prompts, steps, seeds, cfg=1.0):
        """Pictures [n, 256, 256, 3] by Euler steps of equal length; the noise is torch.randn's."""
        text, mask = self.encode(prompts)
        no_text, no_mask = self.encode([""] * len(prompts))
        x = torch.cat([torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(s))
                       for s in seeds])
        for i in range(steps):
            v = self.velocity(x, 1 - i / steps, text, mask)
            if cfg != 1.0:
                v0 = self.velocity(x, 1 - i / steps, no_text, no_mask)
                v = v0 + cfg * (v - v0)
            x = x - v / steps
        y = self.vae.decode(x).sample
        return ((y / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def by_torch(model, prompts, steps, seed, cfg):
    out = []
    for i in range(0, len(prompts), 32):
        part = prompts[i:i + 32]
        out.append(model.sample(part, steps, range(seed + i, seed + i + len(part)), cfg))
    return np.concatenate(out)


def by_program(args, prompts, steps):
    """Picture i of a prompt file is in %04d.png, counted from what the program starts with."""
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "prompts.txt")
        with open(text, "w") as f:
            f.write("\n".join(prompts) + "\n")
        command = shlex.split(args.gen)
        if os.path.basename(command[0]) == "ht":
            command.append("gen")
        command += ["--model", args.model, "--prompt-file", text, "--steps", str(steps),
                    "--seed", str(args.seed), "--cfg-scale", str(args.cfg),
                    "-o", os.path.join(folder, "%04d.png")]
        subprocess.run(command + shlex.split(args.gen_args), check=True)
        files = sorted(glob.glob(folder + "/*.png"))
        if len(files) != len(prompts):
            raise SystemExit(f"{len(prompts)} prompts, but {len(files)} pictures")
        return np.stack([np.asarray(Image.open(f).convert("RGB")) for f in files])


def edge_energy(rgb):
    x = rgb.astype(np.float32).mean(-1) / 255
    return float(np.square(np.diff(x, axis=1)).mean() + np.square(np.diff(x, axis=2)).mean())


@torch.no_grad()
def read(judge, rgb):
    out = [judge(data.to_float(rgb[i:i + 50])) for i in range(0, len(rgb), 50)]
    return {k: torch.cat([o[k] for o in out]) for k in judge_stage.CLASSES}


def demanded(want):
    """{head: class} of a prompt; objects that it does not name are none."""
    objects = dict(zip(captions.SLOTS, want["objects"]))
    out = {f"{what}_{slot}": name for slot, o in objects.items() for what, name in o.items()}
    out.update({f"{what}_{slot}": "none" for slot in captions.SLOTS if slot not in objects
                for what in ("shape", "color")})
    out.update({k: v for k, v in want.items() if k != "objects" and v})
    return out


def score(judge, rgb, wants):
    """(adherence, accuracy per attribute, mean probability of what was demanded, right or not)."""
    logits = read(judge, rgb)
    hits, sure = {k: [] for k in judge_stage.CLASSES}, []
    each = []
    for i, want in enumerate(wants):
        good = True
        for k, name in demanded(want).items():
            row, index = logits[k][i], judge_stage.CLASSES[k].index(name)
            hit = int(row.argmax()) == index
            hits[k].append(hit)
            sure.append(float(row.softmax(0)[index]))
            good &= hit
        each.append(bool(good))
    return (float(np.mean(each)), {k: float(np.mean(v)) for k, v in hits.items()},
            float(np.mean(sure)), each)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--gen", help="the program, or the driver script")
    ap.add_argument("--gen-args", default="", help="further arguments for it")
    ap.add_argument("--torch", action="store_true")
    ap.add_argument("--model", required=True)
    ap.add_argument("--prompts", required=True)
    ap.add_argument("--judge", default=JUDGE)
    ap.add_argument("--steps", default="4")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--cfg", type=float, default=1.0)
    ap.add_argument("--limit", type=int, default=10**9)
    ap.add_argument("--fresh", type=int, default=2000, help="renders the judge is checked on")
    ap.add_argument("--sheet", help="write the first 64 pictures to this PNG")
    ap.add_argument("-o", "--output", required=True)
    args = ap.parse_args()
    if bool(args.gen) == args.torch:
        ap.error("give either --gen or --torch")
    with open(args.prompts) as f:
        rows = [json.loads(line) for line in f][:args.limit]
    prompts, wants = [r["prompt"] for r in rows], [r["want"] for r in rows]
    judge = judge_stage.load(args.judge)
    report = dict(model=args.model, prompts=len(rows), seed=args.seed, cfg_scale=args.cfg, runs={})
    renders, scenes = data.render(7_000_000, max(args.fresh, 300), "held-out")
    if args.fresh:
        report["judge_accuracy"] = judge_stage.accuracy_on(judge, renders, scenes)
        print("judge on fresh held-out renders:", report["judge_accuracy"])
    model = TorchModel(args.model) if args.torch else None
    for steps in map(int, args.steps.split(",")):
        rgb = (by_torch(model, prompts, steps, args.seed, args.cfg) if args.torch
               else by_program(args, prompts, steps))
        adherence, parts, sure, each = score(judge, rgb, wants)
        energy = edge_energy(rgb) / edge_energy(renders)
        report["runs"][steps] = dict(adherence=adherence, attributes=parts, confidence=sure,
                                     edge_energy=energy,
                                     failed=[i for i, ok in enumerate(each) if not ok])
        print(f"{steps} steps: adherence {adherence:.4f}, confidence {sure:.4f}, edge energy "
              f"{energy:.3f},", {k: round(v, 3) for k, v in parts.items()}, flush=True)
        if args.sheet:
            n = min(64, len(rgb)) // 8 * 8
            sheet = np.concatenate([np.concatenate(list(rgb[i:i + 8]), 1) for i in range(0, n, 8)])
            Image.fromarray(sheet).save(args.sheet.replace(".png", f"-{steps}.png"))
    with open(args.output, "w") as f:
        json.dump(report, f, indent=1)


if __name__ == "__main__":
    main()

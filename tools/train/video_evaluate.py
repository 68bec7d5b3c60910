"""Judge the clips of the held-out prompts, made by the classes of diffusers and transformers.

    python video_evaluate.py --model DIR --prompts FILE.jsonl --steps 4,8 --cfg 1,2 -o report.json

Adherence is the share of prompts whose every demanded attribute the judge reads off the clip.
"""
import argparse
import json
import os

import numpy as np
import torch
from PIL import Image

import text
import video_data
import video_judge
import video_models

HERE = os.path.dirname(os.path.abspath(__file__))
JUDGE = os.path.join(HERE, "..", "..", "assets", "judge", "scenes-video-judge.safetensors")


class Model:
    def __init__(self, folder):
        from diffusers import AutoencoderKLWan, WanTransformer3DModel
        from transformers import UMT5EncoderModel
        self.tokens = text.Tokens(folder + "/tokenizer")
        self.text = UMT5EncoderModel.from_pretrained(folder + "/text_encoder").float().eval()
        self.dit = WanTransformer3DModel.from_pretrained(folder + "/transformer").float().eval()
        self.vae = AutoencoderKLWan.from_pretrained(folder + "/vae").float().eval()

    def encode(self, prompts):
        ids, mask = self.tokens([p.lower().strip() for p in prompts])
        h = self.text(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        return torch.nn.functional.pad(h, (0, 0, 0, video_models.MAX_TOKENS - h.shape[1]))

    def velocity(self, x, t, h):
        return self.dit(x, timestep=torch.full((len(x),), 1000.0 * t), encoder_hidden_states=h).sample

    @torch.no_grad()
    def sample(self, prompts, steps, seeds, cfg):
        """Clips [n, 17, 64, 64, 3] by Euler steps of equal length."""
        h, empty = self.encode(prompts), self.encode([""] * len(prompts))
        shape = (1, video_models.LATENT_CHANNELS, video_models.LATENT_FRAMES,
                 video_models.LATENT_SIZE, video_models.LATENT_SIZE)
        x = torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(s))
                       for s in seeds])
        for i in range(steps):
            v = self.velocity(x, 1 - i / steps, h)
            if cfg != 1.0:
                v0 = self.velocity(x, 1 - i / steps, empty)
                v = v0 + cfg * (v - v0)
            x = x - v / steps
        mean, std = (torch.tensor(p).view(1, -1, 1, 1, 1) for p in (
            self.vae.config.latents_mean, self.vae.config.latents_std))
        y = video_models.decode(self.vae, x * std + mean)
        return ((y / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 4, 1).numpy()


def score(judge, rgb, wants):
    """(adherence, accuracy per attribute, right or not)."""
    logits, hits, each = video_judge.read(judge, rgb), {}, []
    for i, want in enumerate(wants):
        good = True
        for k, name in video_judge.attributes(want).items():
            hit = int(logits[k][i].argmax()) == video_judge.CLASSES[k].index(name)
            hits.setdefault(k, []).append(hit)
            good &= hit
        each.append(good)
    return float(np.mean(each)), {k: float(np.mean(v)) for k, v in hits.items()}, each


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--model", required=True)
    ap.add_argument("--prompts", required=True)
    ap.add_argument("--judge", default=JUDGE)
    ap.add_argument("--steps", default="8")
    ap.add_argument("--cfg", default="1")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--limit", type=int, default=10**9)
    ap.add_argument("--fresh", type=int, default=500, help="renders the judge is checked on")
    ap.add_argument("--sheet", help="write every other frame of the first 12 clips to this PNG")
    ap.add_argument("-o", "--output", required=True)
    args = ap.parse_args()
    torch.set_num_threads(1)
    with open(args.prompts) as f:
        rows = [json.loads(line) for line in f][:args.limit]
    prompts, wants = [r["prompt"] for r in rows], [r["want"] for r in rows]
    judge, model = video_judge.load(args.judge), Model(args.model)
    report = dict(model=args.model, prompts=len(rows), seed=args.seed, runs=[])
    if args.fresh:
        report["judge_accuracy"] = video_judge.accuracy(
            judge, *video_data.render(7_000_000, args.fresh, "held-out"))
        print("judge on fresh held-out renders:", report["judge_accuracy"])
    for steps in map(int, args.steps.split(",")):
        for cfg in map(float, args.cfg.split(",")):
            rgb = np.concatenate([
                model.sample(prompts[i:i + 16], steps, range(args.seed + i, args.seed + i + 16)[
                    :len(prompts[i:i + 16])], cfg) for i in range(0, len(prompts), 16)])
            adherence, parts, each = score(judge, rgb, wants)
            report["runs"].append(dict(steps=steps, cfg=cfg, adherence=adherence, attributes=parts,
                                       failed=[i for i, ok in enumerate(each) if not ok]))
            print(f"{steps} steps, guidance {cfg}: adherence {adherence:.4f},",
                  {k: round(v, 3) for k, v in parts.items()}, flush=True)
            if args.sheet:
                rows = [np.concatenate(list(c[::2]), 1) for c in rgb[:12]]
                Image.fromarray(np.concatenate(rows)).save(
                    args.sheet.replace(".png", f"-{steps}-{cfg:g}.png"))
    with open(args.output, "w") as f:
        json.dump(report, f, indent=1)


if __name__ == "__main__":
    main()

"""Train the autoencoder of clips: 17 frames of 64x64 to latents of 5x8x8x16 and back.

    python video_vae.py --data DIR --out FILE.pt --minutes 60
    python video_vae.py --data DIR --out FILE.pt --minutes 60 --start FIRST.pt --decoder-only

The second keeps the encoder of FIRST.pt, so the denoiser may be training on its latents meanwhile.
Steps see whole clips: trained on nine frames, what lies behind the padding of the beginning came out in
wrong colours. Saved every few minutes, gone on from what is there; the rate follows the processor
time spent. Processes average their gradients.
"""
import argparse
import json
import os
import time

import numpy as np
import torch

import muon
import processes
import vae as vae_stage
import video_data
import video_models


def draw(clips, rng, count):
    """[count, 3, 17, 64, 64] in [-1, 1], half of them backwards."""
    rgb = clips.get(rng.integers(0, len(clips), count))
    return video_data.to_float(np.stack([c[::rng.choice((1, -1))] for c in rgb]))


def clip_loss(made, wanted):
    """The pictures' loss, and the first difference along time."""
    diff = made - wanted
    frames = vae_stage.picture_loss(*(x.transpose(1, 2).flatten(0, 1) for x in (made, wanted)))
    return frames + 0.5 * (diff[:, :, 1:] - diff[:, :, :-1]).abs().mean()


@torch.no_grad()
def psnr(vae, x, count):
    """Mean over clips of the PSNR after rounding to bytes."""
    total = []
    for part in x.split(count):
        y = video_models.decode(vae, video_models.encode(vae, part)[0])
        a, b = ((v.clamp(-1, 1) * 127.5 + 127.5).round() for v in (part, y))
        total.append(10 * torch.log10(255 ** 2 / (a - b).square().mean((1, 2, 3, 4))))
    return torch.cat(total).mean().item()


class Trainer:
    def __init__(self, rank, args):
        self.args, self.rank, self.step, self.spent = args, rank, 0, 0.0
        self.vae = video_models.autoencoder()
        if args.start:
            self.vae.load_state_dict(torch.load(args.start, weights_only=False)["vae"])
        if args.decoder_only:
            for part in (self.vae.encoder, self.vae.quant_conv):
                part.requires_grad_(False)
        self.opt = muon.make(
            self.vae.named_parameters(), args.muon_lr, args.adam_lr,
            lambda n, p: p.dim() >= 4 and "conv_in" not in n and "conv_out" not in n
            and "quant" not in n and "gamma" not in n)
        self.ema = muon.Average([p for p in self.vae.parameters() if p.requires_grad], args.decay)
        self.clips = video_data.Clips(args.data)
        self.check = video_data.to_float(video_data.render(10_000_000, 32, "all")[0])
        if os.path.exists(args.out):
            kept = torch.load(args.out, weights_only=False)
            self.vae.load_state_dict(kept["model"])
            self.opt.load_state_dict(kept["opt"])
            self.ema.shadow = kept["shadow"]
            self.step, self.spent = kept["step"], kept["spent"]
            self.opt.count = self.ema.count = self.step
        seed = args.seed + self.step + 100_000 * rank
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.trained = [p for p in self.vae.parameters() if p.requires_grad]

    def save(self):
        self.ema.swap()
        value, vae = psnr(self.vae, self.check, self.args.batch), self.vae.state_dict()
        vae = {n: p.clone() for n, p in vae.items()}
        self.ema.swap()
        processes.save(dict(vae=vae, model=self.vae.state_dict(), opt=self.opt.state_dict(),
                            shadow=self.ema.shadow, step=self.step, spent=self.spent, psnr=value),
                       self.args.out)
        print(json.dumps(dict(step=self.step, psnr=round(value, 3), spent=round(self.spent))),
              flush=True)

    def encode(self, x):
        """(latents, what they differ from N(0, 1) by)"""
        if self.args.decoder_only:
            with torch.no_grad():
                return video_models.encode(self.vae, x)[0], 0.0
        mean, logvar = video_models.encode(self.vae, x)
        logvar = logvar.clamp(-30, 20)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        return mean + (0.5 * logvar).exp() * torch.randn_like(mean), kl

    def train_step(self, spent):
        """The loss, and the processor time of a process so far, of which this one has used `spent`."""
        x = draw(self.clips, self.rng, self.args.batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z, kl = self.encode(x)
            y = video_models.decode(self.vae, z)
        loss = clip_loss(y, x) + self.args.kl * kl
        self.opt.zero_grad()
        loss.backward()
        told = processes.average(self.trained, [loss.item(), spent])
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), 1.0)
        self.opt.step()
        self.ema.update()
        self.step += 1
        return told

    def run(self):
        budget, begin, saved, losses = self.args.minutes * 60, time.process_time(), time.time(), []
        before = self.spent
        while self.spent < budget:
            for g in self.opt.param_groups:
                g["lr"] = g["base"] * vae_stage.rate_at(self.spent / budget)
            loss, self.spent = self.train_step(before + time.process_time() - begin)
            losses.append(loss)
            if self.rank:
                continue
            if self.step % 50 == 0:
                print(self.step, round(float(np.mean(losses[-50:])), 4), round(self.spent),
                      flush=True)
            if time.time() - saved > self.args.save_seconds:
                self.save()
                saved = time.time()
        if not self.rank:
            self.save()


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--minutes", type=float, default=60, help="of processor time, of each process")
    ap.add_argument("--start", metavar="FILE", help="begin with the weights of this one")
    ap.add_argument("--decoder-only", action="store_true", help="the encoder stays as it is")
    ap.add_argument("--processes", type=int, default=1)
    ap.add_argument("--batch", type=int, default=4, help="of one process")
    ap.add_argument("--muon-lr", type=float, default=0.02)
    ap.add_argument("--adam-lr", type=float, default=2e-3)
    ap.add_argument("--kl", type=float, default=1e-4)
    ap.add_argument("--decay", type=float, default=0.998)
    ap.add_argument("--save-seconds", type=float, default=240)
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    args.out = os.path.abspath(args.out)
    processes.run(Trainer, args)


if __name__ == "__main__":
    main()

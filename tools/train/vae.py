"""Train the autoencoder: images of 256x256 to latents of 32x32x8 and back.

    python vae.py --data DIR --out FILE.pt --minutes 30           both halves
    python vae.py --data DIR --out FILE.pt --decoder-only ...     the encoder stays as it is

One process per core; gradients are averaged. The rate follows the processor time spent.
"""
import argparse
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

import data
import muon
import processes

CONFIG = dict(
    in_channels=3, out_channels=3, down_block_types=["DownEncoderBlock2D"] * 4,
    up_block_types=["UpDecoderBlock2D"] * 4, block_out_channels=[16, 16, 32, 64],
    layers_per_block=1, act_fn="silu", latent_channels=8, norm_num_groups=8, sample_size=256,
    scaling_factor=1.0, force_upcast=False)


def edges(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def picture_loss(made, wanted):
    diff = made - wanted
    dx, dy = edges(diff)
    return diff.abs().mean() + diff.square().mean() + 0.5 * (dx.abs().mean() + dy.abs().mean())


@torch.no_grad()
def psnr(vae, pictures):
    """Mean over pictures of the PSNR after rounding to bytes; pictures in [-1, 1]."""
    total = []
    for x in pictures.split(8):
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample
        a, b = ((v.clamp(-1, 1) * 127.5 + 127.5).round() for v in (x, y))
        total.append(10 * torch.log10(255 ** 2 / (a - b).square().mean((1, 2, 3))))
    return torch.cat(total).mean().item()


def rate_at(done, warm=0.02):
    """Warm-up, then half a cosine down to a thirtieth; done in [0, 1]."""
    if done < warm:
        return done / warm
    return 0.03 + 0.97 * 0.5 * (1 + np.cos(np.pi * min(1.0, (done - warm) / (1 - warm))))


class Trainer:
    def __init__(self, rank, args):
        self.rank, self.args, self.step, self.spent = rank, args, 0, 0.0
        torch.manual_seed(args.seed)
        self.vae = AutoencoderKL(**CONFIG).to(processes.DEVICE)
        if args.start:
            self.vae.load_state_dict(read(args.start))
        if args.decoder_only:
            self.vae.encoder.requires_grad_(False)
            self.vae.quant_conv.requires_grad_(False)
        self.params = [p for p in self.vae.parameters() if p.requires_grad]
        self.opt = muon.make(self.vae.named_parameters(), args.muon_lr, args.adam_lr, is_matrix)
        self.ema = muon.Average(self.params, args.decay)
        self.resume()
        self.rng = np.random.default_rng(1000 * self.step + rank + args.seed)
        torch.manual_seed(1000 * self.step + rank + args.seed)
        self.pictures = data.Pictures(args.data)
        if rank == 0:
            self.check = data.to_float(data.render(10_000_000, 48, "all")[0]).to(processes.DEVICE)

    def resume(self):
        if not os.path.exists(self.args.out + ".state"):
            return
        kept = torch.load(self.args.out + ".state", weights_only=False,
                          map_location=processes.DEVICE)
        self.vae.load_state_dict(kept["vae"])
        self.opt.load_state_dict(kept["opt"])
        self.ema.shadow, self.spent = kept["shadow"], kept["spent"]
        self.opt.count = self.step = self.ema.count = kept["step"]

    def save(self):
        self.ema.swap()
        value = psnr(self.vae, self.check)
        processes.save(dict(vae=self.vae.state_dict(), psnr=value, step=self.step), self.args.out)
        self.ema.swap()
        processes.save(dict(vae=self.vae.state_dict(), opt=self.opt.state_dict(), shadow=self.ema.shadow,
                            step=self.step, spent=self.spent), self.args.out + ".state")
        print(json.dumps(dict(step=self.step, psnr=round(value, 3), seconds=round(self.spent))),
              flush=True)

    def loss(self):
        x = data.to_float(self.pictures.sample(self.rng, self.args.batch)).to(processes.DEVICE)
        vae, kl = self.vae, 0.0
        with processes.halves():
            if self.args.decoder_only:
                with torch.no_grad():
                    z = vae.encode(x).latent_dist.mode().float()
            else:
                dist = vae.encode(x).latent_dist
                mean, logvar = dist.mean.float(), dist.logvar.float()
                kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
                z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
            y = vae.decode(z).sample
        return picture_loss(y.float(), x) + self.args.kl * kl

    def run(self):
        args, begin, saved = self.args, time.process_time() - self.spent, time.time()
        while self.spent < args.minutes * 60:
            for g in self.opt.param_groups:
                g["lr"] = g["base"] * rate_at(self.spent / args.minutes / 60)
            loss = self.loss()
            self.opt.zero_grad()
            loss.backward()
            (self.spent,) = processes.average(self.params, [time.process_time() - begin])
            torch.nn.utils.clip_grad_norm_(self.params, 1.0)
            self.opt.step()
            self.ema.update()
            self.step += 1
            if self.rank == 0 and time.time() - saved > args.save_seconds:
                self.save()
                saved = time.time()
        if self.rank == 0:
            self.save()


def is_matrix(name, p):
    return p.dim() >= 2 and not any(x in name for x in ("conv_in", "conv_out", "quant"))


def read(path):
    """The weights of a file of ours, or of an exported folder."""
    if os.path.isdir(path):
        return AutoencoderKL.from_pretrained(path).float().state_dict()
    return torch.load(path, map_location="cpu")["vae"]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--start", help="go on from this file or exported folder")
    ap.add_argument("--decoder-only", action="store_true")
    ap.add_argument("--minutes", type=float, default=30, help="of processor time, of each process")
    ap.add_argument("--processes", type=int, default=2)
    ap.add_argument("--batch", type=int, default=4, help="of one process")
    ap.add_argument("--muon-lr", type=float, default=0.03)
    ap.add_argument("--adam-lr", type=float, default=2e-3)
    ap.add_argument("--kl", type=float, default=1e-4)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--decay", type=float, default=0.998)
    ap.add_argument("--save-seconds", type=float, default=120)
    args = ap.parse_args()
    args.out = os.path.abspath(args.out)
    processes.run(Trainer, args)


if __name__ == "__main__":
    main()

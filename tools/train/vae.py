"""Train the autoencoder: images of 128x128 to latents of 16x16x8 and back.

    python vae.py --data DIR --out FILE.pt --seconds 900          both halves
    python vae.py --data DIR --out FILE.pt --decoder-only ...     the encoder stays as it is
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

CONFIG = dict(
    in_channels=3, out_channels=3, down_block_types=["DownEncoderBlock2D"] * 4,
    up_block_types=["UpDecoderBlock2D"] * 4, block_out_channels=[16, 16, 32, 64],
    layers_per_block=1, act_fn="silu", latent_channels=8, norm_num_groups=8, sample_size=128,
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


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--start")
    ap.add_argument("--decoder-only", action="store_true")
    ap.add_argument("--steps", type=int, default=1500)
    ap.add_argument("--batch", type=int, default=8)
    ap.add_argument("--muon-lr", type=float, default=0.01)
    ap.add_argument("--adam-lr", type=float, default=2e-3)
    ap.add_argument("--all-adam", action="store_true")
    ap.add_argument("--kl", type=float, default=1e-4)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--decay", type=float, default=0.998)
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    vae = AutoencoderKL(**CONFIG)
    if args.start: # a file of ours, or an exported folder
        vae.load_state_dict(AutoencoderKL.from_pretrained(args.start).float().state_dict()
                            if os.path.isdir(args.start) else torch.load(args.start)["vae"])
    if args.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    matrix = (lambda n, p: False) if args.all_adam else (
        lambda n, p: p.dim() >= 2 and "conv_in" not in n and "conv_out" not in n and "quant" not in n)
    opt = muon.make(vae.named_parameters(), args.muon_lr, args.adam_lr, matrix)
    ema = muon.Average([p for p in vae.parameters() if p.requires_grad], args.decay)
    pictures = data.Pictures(args.data)
    check = data.to_float(data.render(10_000_000, 64, "all")[0])
    begin, wall, saved, step = time.process_time(), time.time(), time.time(), 0
    state = args.out + ".state"
    if os.path.exists(state):
        s = torch.load(state, weights_only=False)
        vae.load_state_dict(s["vae"])
        opt.load_state_dict(s["opt"])
        opt.count, step, ema.count = s["step"], s["step"], s["step"]
        ema.shadow = s["shadow"]
        rng = np.random.default_rng(args.seed + step)

    def save():
        ema.swap()
        value = psnr(vae, check)
        torch.save(dict(vae=vae.state_dict(), psnr=value, step=step), args.out + ".tmp")
        os.replace(args.out + ".tmp", args.out)
        ema.swap()
        torch.save(dict(vae=vae.state_dict(), opt=opt.state_dict(), shadow=ema.shadow, step=step),
                   state + ".tmp")
        os.replace(state + ".tmp", state)
        print(json.dumps(dict(step=step, pictures=step * args.batch, psnr=round(value, 3),
                              cpu=round(time.process_time() - begin),
                              wall=round(time.time() - wall))), flush=True)

    while step < args.steps:
        for g in opt.param_groups:
            g["lr"] = g["base"] * rate_at(step / args.steps)
        x = data.to_float(pictures.sample(rng, args.batch))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if args.decoder_only:
                with torch.no_grad():
                    z = vae.encode(x).latent_dist.mode().float()
                kl = 0.0
            else:
                dist = vae.encode(x).latent_dist
                mean, logvar = dist.mean.float(), dist.logvar.float()
                kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
                z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
            y = vae.decode(z).sample
        loss = picture_loss(y.float(), x) + args.kl * kl
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        opt.step()
        ema.update()
        step += 1
        if time.time() - saved > 90:
            save()
            saved = time.time()
    save()


if __name__ == "__main__":
    main()

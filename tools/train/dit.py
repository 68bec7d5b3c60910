"""Train the denoiser with flow matching, then distil it to four steps.

    python dit.py --latents 'FILES*.npz' --data DIR --tokenizer DIR --text FILE.pt --out FILE.pt
    python dit.py ... --distil FLOW.pt --out FILE.pt

x_t = (1 - t) x + t n, target n - x. Several processes share the parameters and update them without
waiting for each other; on a busy machine that wastes nothing, where averaging gradients made each
process wait for the slowest.
"""
import argparse
import glob
import json
import os
import time

import numpy as np
import torch
import torch.multiprocessing as mp

import captions
import data
import models
import muon
import text as text_stage

GRID = (1.0, 0.75, 0.5, 0.25, 0.0)


class Net(torch.nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.text = models.text_encoder(vocab)
        self.dit = models.transformer()

    def forward(self, x, t, ids, mask):
        with torch.no_grad(): # trained along, it forgot how to read: see docs/training.md
            h = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        return models.denoise(self.dit, x, t, h, mask)


def is_matrix(name, p):
    return p.dim() == 2 and "transformer_blocks" in name and "table" not in name


class Sampler:
    """Batches of latents with fresh captions."""

    def __init__(self, args, seed):
        files = sorted(glob.glob(args.latents))
        self.z = np.concatenate([np.load(f)["latents"] for f in files])
        self.scenes = data.scenes(args.data)[:len(self.z)]
        self.z = self.z[:len(self.scenes)]
        self.tokens = text_stage.Tokens(args.tokenizer)
        self.rng = np.random.default_rng(seed)
        self.held = 256 # the last ones serve as validation
        self.n = len(self.z) - self.held

    def batch(self, count, picks=None):
        if picks is None:
            picks = self.rng.integers(0, self.n, count)
        texts = [captions.caption(self.scenes[i], self.rng) for i in picks]
        return (torch.from_numpy(self.z[picks].astype(np.float32)), *self.tokens(texts))


def draw_times(count):
    """Half uniform, half sigmoid of a normal."""
    t = torch.rand(count)
    half = count // 2
    t[:half] = torch.randn(half).sigmoid()
    return t


def flow_loss(net, x, ids, mask):
    t, noise = draw_times(len(x)), torch.randn_like(x)
    k = t.view(-1, 1, 1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        v = net((1 - k) * x + k * noise, t, ids, mask)
    return (v - (noise - x)).square().mean()


@torch.no_grad()
def teacher_step(teacher, x, t, ids, mask, guidance, substeps):
    """The mean velocity of the guided teacher from t to t - 1/4, t in the grid."""
    begin, dt = x, 0.25 / substeps
    empty, only = torch.ones_like(ids[:, :1]), torch.ones_like(mask[:, :1])
    for i in range(substeps):
        now = t - i * dt
        v = teacher(x, now, ids, mask)
        if guidance != 1.0:
            v0 = teacher(x, now, empty, only)
            v = v0 + guidance * (v - v0)
        x = x - dt * v
    return (begin - x) / 0.25


def distil_loss(net, teacher, x, ids, mask, args):
    n = len(x) // 4
    plain = flow_loss(net, x[:n], ids[:n], mask[:n])
    x, ids, mask = x[n:], ids[n:], mask[n:]
    t = torch.tensor(GRID)[torch.randint(0, 4, (len(x),))]
    k = t.view(-1, 1, 1, 1)
    x = (1 - k) * x + k * torch.randn_like(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        want = teacher_step(teacher, x, t, ids, mask, args.guidance, args.substeps)
        v = net(x, t, ids, mask)
    return 0.25 * plain + 0.75 * (v - want).square().mean()


@torch.no_grad()
def validate(net, sampler):
    """The loss on the pictures kept apart, with the same captions, times and noise each time."""
    sampler.rng, kept = np.random.default_rng(1), sampler.rng
    gen = torch.Generator().manual_seed(1)
    total = 0.0
    for i in range(0, sampler.held, 64):
        x, ids, mask = sampler.batch(64, np.arange(sampler.n + i, sampler.n + i + 64))
        t = (torch.arange(64) + 0.5) / 64
        noise = torch.randn(x.shape, generator=gen)
        k = t.view(-1, 1, 1, 1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            v = net((1 - k) * x + k * noise, t, ids, mask)
        total += (v - (noise - x)).square().mean().item() / (sampler.held // 64)
    sampler.rng = kept
    return total


def save_model(args, net, shadow, step):
    names = [n for n, _ in net.named_parameters()]
    out = dict(step=step, model={n: p.detach() for n, p in net.named_parameters()},
               ema=dict(zip(names, shadow)))
    torch.save(out, args.out + ".tmp")
    os.replace(args.out + ".tmp", args.out)


def load_into(net, tensors):
    with torch.no_grad():
        for n, p in net.named_parameters():
            p.copy_(tensors[n])


def rate_factor(step, args):
    """Warm-up, constant, then linear down to a fiftieth over the last part."""
    decay = max(1, int(args.steps * args.decay_share))
    return max(0.02, min(1.0, (step + 1) / args.warmup, (args.steps - step) / decay))


def worker(rank, args, net, shadow, counter):
    torch.set_num_threads(1)
    start = counter.value
    torch.manual_seed(1000 * start + rank + args.seed)
    sampler = Sampler(args, 1000 * start + rank + args.seed)
    opt = muon.make(net.named_parameters(), args.muon_lr, args.adam_lr, is_matrix)
    opt_file = f"{args.out}.opt{rank}"
    if start > 0 and os.path.exists(opt_file):
        kept = torch.load(opt_file)
        opt.load_state_dict(kept["opt"])
        opt.count = kept["count"]
    teacher = None
    if args.distil:
        teacher = Net(args.vocab)
        load_into(teacher, torch.load(args.distil)["ema"])
    rest = [p for g in opt.param_groups if not g["muon"] for p in g["params"]]
    wall, cpu, losses, mine = time.time(), time.process_time(), [], 0
    saved = time.time()
    while counter.value < args.steps:
        for g in opt.param_groups:
            g["lr"] = g["base"] * rate_factor(counter.value, args)
        x, ids, mask = sampler.batch(args.batch)
        loss = (distil_loss(net, teacher, x, ids, mask, args) if teacher
                else flow_loss(net, x, ids, mask))
        net.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        opt.step()
        losses.append(loss.item())
        mine += 1
        with counter.get_lock():
            counter.value += 1
            done = counter.value
        if rank == 0:
            decay = min(args.ema, (1 + done) / (10 + done))
            with torch.no_grad():
                torch._foreach_lerp_(shadow, [p.detach() for p in net.parameters()], 1 - decay)
        if rank == 0 and mine % 25 == 0:
            print(json.dumps(dict(step=done, samples=done * args.batch,
                                  loss=round(np.mean(losses[-50:]), 4),
                                  wall=round(time.time() - wall),
                                  cpu=round(time.process_time() - cpu))), flush=True)
        if time.time() - saved > args.save_seconds or done >= args.steps:
            saved = time.time()
            torch.save(dict(opt=opt.state_dict(), count=opt.count), opt_file + ".tmp")
            os.replace(opt_file + ".tmp", opt_file)
            if rank == 0:
                save_model(args, net, shadow, done)
                probe = Net(args.vocab)
                load_into(probe, dict(zip([n for n, _ in net.named_parameters()], shadow)))
                print(json.dumps(dict(step=done, validation=round(validate(probe, sampler), 5))),
                      flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for name in ("latents", "data", "tokenizer", "text", "out"):
        ap.add_argument("--" + name, required=True)
    ap.add_argument("--distil", help="flow checkpoint: train a four-step student of it")
    ap.add_argument("--start", help="begin with the weights of this checkpoint")
    ap.add_argument("--new-cross", action="store_true", help="with fresh cross-attention")
    ap.add_argument("--guidance", type=float, default=1.25)
    ap.add_argument("--substeps", type=int, default=3)
    ap.add_argument("--processes", type=int, default=2)
    ap.add_argument("--batch", type=int, default=32, help="of one process")
    ap.add_argument("--steps", type=int, default=3000)
    ap.add_argument("--warmup", type=int, default=150)
    ap.add_argument("--decay-share", type=float, default=0.3)
    ap.add_argument("--muon-lr", type=float, default=0.02)
    ap.add_argument("--adam-lr", type=float, default=1e-3)
    ap.add_argument("--ema", type=float, default=0.997)
    ap.add_argument("--save-seconds", type=float, default=100)
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    words = torch.load(args.text)["text"]
    args.vocab = words["shared.weight"].shape[0]
    first_step = 0
    net = Net(args.vocab)
    models.initialize(net.dit)
    net.text.load_state_dict(words)
    net.text.requires_grad_(False)
    shadow = None
    if args.distil:
        load_into(net, torch.load(args.distil)["ema"])
    if args.start:
        kept = torch.load(args.start)["model"]
        load_into(net, {n: p.detach() if n.startswith("text.") or (
            args.new_cross and ("attn2" in n or "caption" in n)) else kept[n]
            for n, p in net.named_parameters()})
    if os.path.exists(args.out):
        kept = torch.load(args.out)
        load_into(net, kept["model"])
        shadow = [kept["ema"][n].clone() for n, _ in net.named_parameters()]
        first_step = kept["step"]
    shadow = shadow or [p.detach().clone() for p in net.parameters()]
    net.share_memory()
    for s in shadow:
        s.share_memory_()
    print("parameters", sum(p.numel() for p in net.parameters()), "from step", first_step,
          flush=True)
    counter = mp.get_context("spawn").Value("i", first_step)
    mp.spawn(worker, (args, net, shadow, counter), nprocs=args.processes)


if __name__ == "__main__":
    main()

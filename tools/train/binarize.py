"""Fine-tune scenes-dit or scenes-unet with one-bit weights to imitate the model that it was.

    python binarize.py --model DIR --minutes 15 --out FILE.pt
    python binarize.py --model DIR --out FILE.pt --export FOLDER          (what FILE.pt holds so far)

The parent makes pictures of training captions in four steps; the student sees the latents of all of
them, and learns to say what the parent says with guidance, in one pass without. Beside that its
tokens, in the directions in which the parent's vary most, are to be those of the parent (low-rank
representation mimicking), and weights turn binary bit by bit over the first part of the run
(progressive initialisation). FILE.pt is saved every few minutes, and gone on from. --start begins a
run of its own at the weights of another, whose layers may have had more bases.
"""
import argparse
import json
import os
import shutil
import time

import numpy as np
import torch

import bases
import binary_students
import captions
import data
import dit
import export
import models
import muon
import processes

STEPS = binary_students.STEPS
FIRST_SEED = 40_000_000 # of the captions; far from those of the parent's pictures


class Parent:
    """Paths of the parent from noise to picture: what the student is shown and has to say."""

    def __init__(self, kind, guidance, seed):
        self.kind, self.guidance = kind, guidance
        self.rng = np.random.default_rng(seed)
        self.gen = torch.Generator().manual_seed(seed)
        self.scenes, self.seed = [], FIRST_SEED + 100_000 * (seed % 1000)
        self.bases = None

    def captions(self, count):
        while len(self.scenes) < count:
            self.scenes += data.describe(self.seed, 2000)
            self.seed += 2000
        now, self.scenes = self.scenes[:count], self.scenes[count:]
        return [captions.caption(s, self.rng, empty=0.0) for s in now]

    @torch.no_grad()
    def paths(self, count):
        """Lists over STEPS * count samples: x, t, h, mask, velocity, tokens of each tap."""
        kind = self.kind
        h, mask = kind.read(self.captions(count))
        none, only = kind.read([""])
        none, only = none.expand(count, -1, -1), only.expand(count, -1)
        shape = (count, models.LATENT_CHANNELS, models.LATENT_SIZE, models.LATENT_SIZE)
        x = torch.randn(shape, generator=self.gen)
        rows = []
        for i in range(STEPS):
            t = torch.full((count,), kind.time(i))
            v, taps = kind.look(x, t, h, mask)
            v0 = kind.look(x, t, none, only)[0]
            v = v0 + self.guidance * (v - v0)
            rows.append((x, t, h, mask, v, taps))
            x = kind.step(x, v, i)
        return [torch.cat(part) for part in zip(*(r[:5] for r in rows))] + [
            torch.cat(tap) for tap in zip(*(r[5] for r in rows))]

    def learn_bases(self, rank):
        """[C, rank] of each tap: the directions of most variance, and the variance per token in them."""
        taps = self.paths(48)[5:]
        self.bases = []
        for tap in taps:
            flat = tap.flatten(0, 1).float()
            flat = flat - flat.mean(0)
            _, vectors = torch.linalg.eigh(flat.mT @ flat / len(flat))
            top = vectors[:, -rank:]
            self.bases.append((top, (flat @ top).square().mean()))


class Pool:
    """Samples to draw from: new ones replace the oldest, each is used about `reuse` times."""

    def __init__(self, parent, size):
        self.parent, self.size, self.kept = parent, size, []

    def add(self, count):
        new = self.parent.paths(count)
        low = [(tap.float() @ top).half() for tap, (top, _) in zip(new[5:], self.parent.bases)]
        rows = list(zip(*(part.half() if part.dim() > 1 else part for part in new[:5]), *low))
        self.kept = (self.kept + rows)[-self.size:]

    def draw(self, count):
        picks = torch.randint(0, len(self.kept), (count,)).tolist()
        return [torch.stack(part).float() for part in zip(*(self.kept[i] for i in picks))]


def sample(kind, h, mask, x):
    for i in range(STEPS):
        t = torch.full((len(x),), kind.time(i))
        x = kind.step(x, kind.look(x, t, h, mask)[0], i)
    return x


class Run:
    def __init__(self, args):
        torch.manual_seed(args.seed)
        self.args, self.step, self.spent = args, 0, 0.0
        self.kind = binary_students.open_kind(args.model, args.outer_bases)
        self.net = self.kind.net
        self.layers = bases.attach(self.net, self.kind.bases_of, self.kind.bits_of)
        named = [(n, p) for n, p in self.net.named_parameters()]
        self.opt = muon.make(named, args.muon_lr, args.adam_lr, self.kind.is_matrix)
        self.params = [p for _, p in named]
        self.rest = [p for g in self.opt.param_groups if not g["muon"] for p in g["params"]]
        self.average = muon.Average(self.params, args.ema)
        self.resume()
        if args.export:
            return
        teacher = binary_students.open_kind(args.model, args.outer_bases)
        teacher.net.requires_grad_(False)
        self.check = Parent(teacher, args.guidance, 999).paths(32)
        self.parent = Parent(teacher, args.guidance, args.seed + self.step)
        self.parent.learn_bases(args.rank)
        self.pool = Pool(self.parent, args.pool)

    def resume(self):
        if not os.path.exists(self.args.out):
            if self.args.start:
                self.begin_at(torch.load(self.args.start, weights_only=False)["model"])
            return
        kept = torch.load(self.args.out, weights_only=False)
        self.net.load_state_dict(kept["model"], strict=False)
        for shadow, p in zip(self.average.shadow, kept["ema"]):
            shadow.copy_(p)
        bases_of = [g["base"] for g in self.opt.param_groups]
        self.opt.load_state_dict(kept["opt"])
        for g, base in zip(self.opt.param_groups, bases_of): # rates are this run's
            g["base"] = base
        self.opt.count = self.average.count = self.step = kept["step"]
        self.spent = kept["spent"]

    @torch.no_grad()
    def begin_at(self, model):
        for (name, p), shadow in zip(self.net.named_parameters(), self.average.shadow):
            kept = model[name]
            p.copy_((kept[:len(p)] if name.endswith("factor") else kept).reshape(p.shape))
            shadow.copy_(p)

    def save(self):
        processes.save(dict(step=self.step, spent=self.spent, ema=self.average.shadow,
                            model=dict(self.net.named_parameters()), opt=self.opt.state_dict()),
                       self.args.out)

    @torch.no_grad()
    def validate(self):
        """How far the binary student's last latents are from the parent's, relative."""
        x, _, h, mask, v = self.check[:5]
        n = len(x) // STEPS
        want = self.kind.step(x[-n:], v[-n:], STEPS - 1)
        bases.set_share(self.layers, 1.0)
        out = {}
        for name in ("now", "mean"):
            got = sample(self.kind, h[:n], mask[:n], x[:n])
            out[name] = round(((got - want).square().sum() / want.square().sum()).item(), 4)
            self.average.swap()
        return out

    def losses(self):
        x, t, h, mask, v, *taps = self.pool.draw(self.args.batch)
        said, own = self.kind.look(x, t, h, mask)
        flow = (said - v).square().mean()
        near = sum(((mine.float() @ top - low).square().mean() / size)
                   for mine, low, (top, size) in zip(own, taps, self.parent.bases)) / len(own)
        return flow, near

    def one_step(self, done):
        args = self.args
        bases.set_share(self.layers, min(1.0, done / args.progressive) if args.progressive else 1.0)
        for g in self.opt.param_groups:
            g["lr"] = g["base"] * dit.rate_factor(done, args.decay_share)
        self.pool.add(max(1, round(args.batch / STEPS / args.reuse)))
        flow, near = self.losses()
        self.opt.zero_grad()
        (flow + args.mimic * near).backward()
        torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
        self.opt.step()
        self.average.update()
        self.step += 1
        return flow.item(), near.item()

    def run(self):
        args, begin, saved, log = self.args, time.process_time() - self.spent, time.time(), []
        self.pool.add(64)
        while self.spent < args.minutes * 60:
            log.append(self.one_step(self.spent / (args.minutes * 60)))
            self.spent = time.process_time() - begin
            if self.step % 25 == 0:
                mean = np.mean(log[-50:], axis=0)
                print(json.dumps(dict(step=self.step, flow=round(mean[0], 4), near=round(mean[1], 4),
                                      seconds=round(self.spent))), flush=True)
            if time.time() - saved > args.save_seconds:
                self.save()
                saved = time.time()
                print(json.dumps(dict(step=self.step, validation=self.validate())), flush=True)
        self.save()
        print(json.dumps(dict(step=self.step, validation=self.validate())), flush=True)

    @torch.no_grad()
    def export(self, folder, averaged):
        """A float checkpoint whose binary layers hold exactly what their bits will stand for."""
        shutil.copytree(self.args.model, folder, dirs_exist_ok=True)
        if averaged:
            self.average.swap()
        plain, part = self.kind.plain(), f"{folder}/{self.kind.part}"
        own = dict(self.net.named_parameters())
        for name, p in plain.named_parameters():
            layer = name.rsplit(".", 1)[0]
            binary = name.endswith(".weight") and layer in self.layers
            p.data = bases.frozen(self.layers[layer]) if binary else own[name].half()
        plain.save_pretrained(part)
        export.clean_config(part + "/config.json")
        with open(folder + "/halftone.json") as f:
            defaults = json.load(f)
        defaults["defaults"]["cfg_scale"] = 1.0
        export.write_json(folder + "/halftone.json", defaults)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "out"):
        ap.add_argument("--" + name, required=True)
    ap.add_argument("--export", help="write a checkpoint folder and stop")
    ap.add_argument("--start", help="the FILE.pt of another run, to begin at its last weights")
    ap.add_argument("--last", action="store_true", help="export the last weights, not their average")
    ap.add_argument("--minutes", type=float, default=15, help="of processor time")
    ap.add_argument("--outer-bases", type=int, default=2, help="of the layers that matter most")
    ap.add_argument("--guidance", type=float, default=2.0)
    ap.add_argument("--batch", type=int, default=64)
    ap.add_argument("--reuse", type=float, default=3.0)
    ap.add_argument("--pool", type=int, default=8192)
    ap.add_argument("--rank", type=int, default=32, help="directions of tokens that are compared")
    ap.add_argument("--mimic", type=float, default=0.3, help="weight of their comparison")
    ap.add_argument("--progressive", type=float, default=0.2, help="share of the run; 0: at once")
    ap.add_argument("--muon-lr", type=float, default=0.01)
    ap.add_argument("--adam-lr", type=float, default=5e-4)
    ap.add_argument("--decay-share", type=float, default=0.5)
    ap.add_argument("--ema", type=float, default=0.99)
    ap.add_argument("--save-seconds", type=float, default=300)
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    torch.set_num_threads(1)
    run = Run(args)
    if args.export:
        run.export(args.export, not args.last)
    else:
        run.run()


if __name__ == "__main__":
    main()

"""Train the denoiser with flow matching, then distil it to four steps.

    python dit.py --data DIR --model DIR --minutes 60 --out FILE.pt       (start from --model's weights)
    python dit.py ... --fresh                                             (or from nothing)
    python dit.py ... --new-text                          (or with another text encoder than before)
    python dit.py ... --distil FLOW.pt --out FILE.pt

--model is an exported folder: its text encoder (frozen) and tokenizer are used. One process per
core; gradients are averaged, so a step has one batch. The rate follows the processor time spent.
"""
import argparse
import copy
import json
import os
import time

import numpy as np
import torch

import batches
import flow
import models
import muon
import processes
import reward
import text as text_stage


class Net(torch.nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.text = models.text_encoder(vocab)
        self.dit = models.transformer()

    def forward(self, x, t, ids, mask, tap=None):
        with torch.no_grad(): # trained along, it forgot how to read: see docs/training.md
            h = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        return models.denoise(self.dit, x, t, h, mask, tap)

    pixel_weight = staticmethod(flow.pixel_weight)

    @staticmethod
    def mix(x, noise, t):
        k = t.view(-1, 1, 1, 1)
        return (1 - k) * x + k * noise, noise - x

    @staticmethod
    def step(x, v, t, to):
        """From t to `to`, as Euler has it."""
        return x + (to - t) * v


def from_folder(folder):
    from transformers import T5EncoderModel
    from diffusers import PixArtTransformer2DModel
    text = T5EncoderModel.from_pretrained(folder + "/text_encoder").float()
    net = Net(text.config.vocab_size)
    net.text.load_state_dict(text.state_dict())
    net.text.requires_grad_(False)
    if os.path.exists(folder + "/transformer"):
        dit = PixArtTransformer2DModel.from_pretrained(folder + "/transformer").float()
        net.dit.load_state_dict(dit.state_dict())
    return net


def load_into(net, tensors):
    with torch.no_grad():
        for n, p in net.named_parameters():
            p.copy_(tensors[n])


def is_matrix(name, p):
    return p.dim() == 2 and "transformer_blocks" in name and "table" not in name


def rate_factor(done, decay):
    """Warm-up, constant, then linear to nothing over the last share `decay`; done in 0..1."""
    return max(0.0, min(1.0, (done + 0.0005) / 0.01, (1 - done) / decay))


class Trainer:
    is_matrix = staticmethod(is_matrix)

    def __init__(self, rank, args):
        self.rank, self.args, self.step, self.spent = rank, args, 0, 0.0
        torch.manual_seed(args.seed)
        self.net = self.make_net().to(processes.DEVICE)
        self.reader = self.make_reader().to(processes.DEVICE)
        self.critic = reward.load(args.critic) if args.critic else None
        if args.distil:
            load_into(self.net, torch.load(args.distil, map_location="cpu")["ema"])
            self.teacher = Net(self.net.text.config.vocab_size).to(processes.DEVICE)
            load_into(self.teacher, torch.load(args.distil, map_location="cpu")["ema"])
        self.params = [p for p in self.net.parameters() if p.requires_grad]
        named = list(self.net.named_parameters()) + list(self.reader.named_parameters())
        self.opt = muon.make(named, args.muon_lr, args.adam_lr, self.is_matrix, args.weight_decay)
        self.trained = [p for g in self.opt.param_groups for p in g["params"]]
        self.rest = [p for g in self.opt.param_groups if not g["muon"] for p in g["params"]]
        self.shadow = [p.detach().clone() for p in self.net.parameters()]
        self.resume()
        torch.manual_seed(1000 * self.step + rank + args.seed)
        self.batches = self.make_batches(1000 * self.step + rank + args.seed)

    def make_net(self):
        net = from_folder(self.args.model)
        if self.args.fresh:
            models.initialize(net.dit)
        if self.args.new_text:
            models.initialize_reading(net.dit)
        return net

    def make_reader(self):
        return flow.Reader(models.WIDTH, flow.coverage, flow.OBJECTS, flow.CLASSES)

    def make_batches(self, seed):
        return batches.Batches(self.args.data, text_stage.Tokens(self.args.model + "/tokenizer"),
                               seed)

    def resume(self):
        if not os.path.exists(self.args.out):
            return
        kept = torch.load(self.args.out, weights_only=False, map_location=processes.DEVICE)
        load_into(self.net, kept["model"])
        self.shadow = [kept["ema"][n].clone() for n, _ in self.net.named_parameters()]
        self.reader.load_state_dict(kept["reader"])
        bases = [g["base"] for g in self.opt.param_groups]
        self.opt.load_state_dict(kept["opt"])
        for g, base in zip(self.opt.param_groups, bases): # rates are this run's
            g["base"] = base
        self.opt.count, self.step, self.spent = kept["step"], kept["step"], kept["spent"]

    def save(self):
        names = [n for n, _ in self.net.named_parameters()]
        out = dict(step=self.step, spent=self.spent, ema=dict(zip(names, self.shadow)),
                   model={n: p.detach() for n, p in self.net.named_parameters()},
                   reader=self.reader.state_dict(), opt=self.opt.state_dict())
        processes.save(out, self.args.out)
        probe = copy.deepcopy(self.net)
        load_into(probe, out["ema"])
        value = flow.validate(probe, self.batches)
        print(json.dumps(dict(step=self.step, validation=round(value, 5))), flush=True)

    def losses(self, done):
        """(what is minimized, [flow matching loss, reading loss, the critic's])"""
        x, ids, mask, maps, labels, demands = self.batches.batch(self.args.batch)
        if self.args.distil:
            loss = flow.distil_loss(self.net, self.teacher, x, ids, mask, self.args.guidance,
                                    self.args.substeps)
            return loss, [loss.item(), 0.0, 0.0]
        loss, plain, tokens = flow.flow_loss(self.net, x, ids, mask, maps)
        told = mask.sum(1) > 1 # of an empty caption nothing can be read
        reading = self.reader(tokens[told], maps[told], labels[told])
        share = self.args.reading * max(0.0, min(1.0, (0.9 - done) / 0.3))
        loss = loss + share * reading
        if not self.critic:
            return loss, [plain.item(), reading.item(), 0.0]
        n = self.args.drawn
        judged = reward.loss(self.net, self.critic, torch.randn_like(x[:n]), ids[:n], mask[:n], demands[:n])
        return loss + self.args.reward * judged, [plain.item(), reading.item(), judged.item()]

    def run(self):
        args, begin, saved, log = self.args, time.process_time() - self.spent, time.time(), []
        budget = args.minutes * 60
        while self.spent < budget:
            done = self.spent / budget
            for g in self.opt.param_groups:
                g["lr"] = g["base"] * rate_factor(done, args.decay_share)
            loss, shown = self.losses(done)
            self.opt.zero_grad()
            loss.backward()
            self.spent, *shown = processes.average(self.trained, [time.process_time() - begin] + shown)
            torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
            self.opt.step()
            self.step += 1
            decay = min(args.ema, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(self.shadow, [p.detach() for p in self.net.parameters()],
                                     1 - decay)
            log.append(shown)
            if self.rank == 0 and self.step % 20 == 0:
                mean = np.mean(log[-100:], axis=0)
                print(json.dumps(dict(step=self.step, flow=round(mean[0], 4),
                                      reading=round(mean[1], 4), critic=round(mean[2], 4),
                                      seconds=round(self.spent), pictures=len(self.batches.scenes))), flush=True)
            if self.rank == 0 and time.time() - saved > args.save_seconds:
                self.save()
                saved = time.time()
        if self.rank == 0:
            self.save()


def run(trainer, ap):
    """Train by the arguments of the command line, `ap` having the trainer's own."""
    for name in ("data", "out"):
        ap.add_argument("--" + name, required=True)
    ap.add_argument("--minutes", type=float, default=60, help="of processor time, of each process")
    ap.add_argument("--distil", help="checkpoint: train a four-step student of it")
    ap.add_argument("--guidance", type=float, default=1.5)
    ap.add_argument("--substeps", type=int, default=2)
    ap.add_argument("--reading", type=float, default=0.15, help="share of the reading task")
    ap.add_argument("--critic", help="critic.py's file: pictures are drawn and judged too")
    ap.add_argument("--reward", type=float, default=0.05, help="share of the critic's verdict")
    ap.add_argument("--drawn", type=int, default=16, help="pictures of a batch that are drawn")
    ap.add_argument("--processes", type=int, default=2)
    ap.add_argument("--batch", type=int, default=64, help="of one process")
    ap.add_argument("--decay-share", type=float, default=0.45)
    ap.add_argument("--muon-lr", type=float, default=0.012)
    ap.add_argument("--adam-lr", type=float, default=1e-3)
    ap.add_argument("--weight-decay", type=float, default=0.0, help="of what Muon steps")
    ap.add_argument("--ema", type=float, default=0.99)
    ap.add_argument("--save-seconds", type=float, default=240)
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    args.out = os.path.abspath(args.out)
    processes.run(trainer, args)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--model", required=True)
    ap.add_argument("--fresh", action="store_true")
    ap.add_argument("--new-text", action="store_true", help="what reads the text starts anew")
    run(Trainer, ap)


if __name__ == "__main__":
    main()

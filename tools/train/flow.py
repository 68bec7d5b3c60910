"""Losses of the denoiser: flow matching with a reading task beside it, and four-step distillation.

A network's `mix` says what it is shown and what it has to say: for the transformer
x_t = (1 - t) x + t n and n - x. Its `pixel_weight` says how much each place of the latents counts.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

import captions
import processes

GRID = (1.0, 0.75, 0.5, 0.25, 0.0)
TAP = 5 # blocks before the reading heads


class Reader(nn.Module):
    """What the tokens halfway say about the picture: how much of each object they cover, and what the
    nearest one is like. At high noise that can only come from the text, so words are bound to places
    long before the pixels' loss would do it. Training only.

    coverage(maps): [B, tokens, objects]; classes: how many of each attribute."""

    def __init__(self, width, coverage, objects, classes):
        super().__init__()
        self.coverage, self.sizes = coverage, [objects, *classes]
        self.out = nn.Linear(width, sum(self.sizes))

    def forward(self, tokens, ids, labels):
        """labels: [B, objects, attributes]"""
        out = self.out(F.layer_norm(tokens.float(), tokens.shape[-1:]))
        covered, *said = out.split(self.sizes, dim=-1)
        cover = self.coverage(ids)
        loss = F.binary_cross_entropy_with_logits(covered, cover)
        most, which = cover.max(-1)
        want = labels.gather(1, which[..., None].expand(-1, -1, labels.shape[-1]))
        seen = most >= 0.25
        return loss + 0.5 * sum(F.cross_entropy(logits[seen], want[seen][:, i])
                                for i, logits in enumerate(said))


OBJECTS = 4
CLASSES = [len(names) for names in captions.ATTRIBUTES.values()]


def coverage(ids):
    """Object maps [B, 32, 32] to the share of each token's area, [B, 64, 4]."""
    cells = ids.view(-1, 8, 4, 8, 4)
    return torch.stack([(cells == k).float().mean((2, 4)) for k in range(OBJECTS)], -1).flatten(1, 2)


def draw_times(count):
    """A third uniform, a third sigmoid of a normal, a third near pure noise."""
    t, third = torch.rand(count), count // 3
    t[:third] = torch.randn(third).sigmoid()
    t[third:2 * third] = 0.75 + 0.25 * t[third:2 * third]
    return t


def pixel_weight(ids):
    """[B, 1, 32, 32]: objects count three times."""
    return 1 + 2 * (ids < OBJECTS).float()[:, None]


def flow_loss(net, x, ids, mask, maps):
    t, noise = draw_times(len(x)), torch.randn_like(x)
    noisy, target = net.mix(x, noise, t)
    with processes.halves():
        v, tokens = net(noisy, t, ids, mask, TAP)
    error = (v - target).square()
    weight = net.pixel_weight(maps)
    return (error * weight).mean() / weight.mean(), error.mean(), tokens


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


def distil_loss(net, teacher, x, ids, mask, guidance, substeps):
    t = torch.tensor(GRID)[torch.randint(0, 4, (len(x),))]
    k = t.view(-1, 1, 1, 1)
    x = (1 - k) * x + k * torch.randn_like(x)
    with processes.halves():
        want = teacher_step(teacher, x, t, ids, mask, guidance, substeps)
        v = net(x, t, ids, mask)
    return (v - want).square().mean()


@torch.no_grad()
def validate(net, batches):
    """The loss on the pictures kept apart, with the same captions, times and noise each time."""
    gen, losses = torch.Generator(processes.DEVICE).manual_seed(1), []
    for x, ids, mask in batches.validation():
        t = (torch.arange(len(x)) + 0.5) / len(x)
        noise = torch.randn(x.shape, generator=gen, device=x.device)
        noisy, target = net.mix(x, noise, t)
        with processes.halves():
            v = net(noisy, t, ids, mask)
        losses.append((v - target).square().mean().item())
    return sum(losses) / len(losses)

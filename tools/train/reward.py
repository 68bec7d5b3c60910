"""The reward of a denoiser: that the critic reads off its own pictures what their captions demand.

Pictures are drawn from noise as `gen` draws them, in few steps, and the critic's verdict goes back through
all of these (Clark et al., Directly Fine-Tuning Diffusion Models on Differentiable Rewards, 2023). What the
denoising loss says of words and places in a million samples, this says in some ten thousand; alone it
would draw for the critic only, so it is a small addition to that loss.
"""
import torch
import torch.nn.functional as F

import captions
import flow
import judge
import processes

NOISE = 0.15 # at most, on what the critic is shown


def load(path):
    return judge.load(path).to(processes.DEVICE).requires_grad_(False)


def draw(net, noise, ids, mask):
    """Latents, by one step for each interval of the grid."""
    x = noise
    for t, to in zip(flow.GRID, flow.GRID[1:]):
        now = torch.full((len(x),), t, device=x.device)
        x = net.step(x, net(x, now, ids, mask), t, to)
    return x


def loss(net, critic, noise, ids, mask, demands):
    """demands: [B, heads], OPEN where a caption says nothing. The mean over what is demanded."""
    with processes.halves():
        x = draw(net, noise, ids, mask)
        x = x + NOISE * torch.rand(len(x), 1, 1, 1, device=x.device) * torch.randn_like(x)
        said = critic(x)
    wrong = sum(F.cross_entropy(logits.float(), demands[:, i], ignore_index=captions.OPEN, reduction="sum")
                for i, logits in enumerate(said.values()))
    return wrong / (demands != captions.OPEN).sum().clamp(min=1)

"""Weights as sums of scaled signs, learnt: w = s1 b1 + s2 b2 + .., b = +-1, a scale per output and tap.

A parametrization of torch: the layer keeps float weights to step, and computes with what they stand
for. After BinaryDM's multi-basis binarizer.
"""
import torch
import torch.nn as nn
from torch.nn.utils import parametrize

REACH = 3.0 # weights beyond so many scales get no gradient: they have long chosen their sign


class Sign(torch.autograd.Function):
    """+-1, never 0; the gradient passes as if nothing had been done."""

    @staticmethod
    def forward(ctx, x):
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad):
        return grad


class Rounded(torch.autograd.Function):
    """To signed integers of some bits, a scale for each row along `dim`: its largest size is the top.

    As the engine packs a token, or a pixel's channels; the gradient passes as if nothing had been done.
    """

    @staticmethod
    def forward(ctx, x, dim, bits):
        top = 2 ** (bits - 1) - 1
        size = x.float().abs().amax(dim, keepdim=True).clamp(min=1e-30)
        return ((x * (top / size)).round() * (size / top)).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad, None, None


def by_tap(w):
    """[rows, columns, taps]: a scale stands for the columns, as in the file."""
    return w.flatten(2) if w.dim() > 2 else w.unsqueeze(2)


class Bases(nn.Module):
    """A weight to its binary stand-in, by `share`: 0 the float weights, 1 the stand-in alone.

    A scale is the mean size of what it stands for (the least-squares one), times a learnt factor.
    """

    def __init__(self, weight, count):
        super().__init__()
        rows, _, taps = by_tap(weight).shape
        self.factor = nn.Parameter(torch.zeros(count, rows, taps)) # logarithms
        self.share = 1.0

    def forward(self, w):
        flat = by_tap(w)
        rest, total = flat, 0.0
        for factor in self.factor:
            size = rest.detach().abs().mean(1, keepdim=True)
            scale = size * factor.exp()[:, None]
            near = rest.clamp(-REACH * size, REACH * size)
            # d(scale * sign) / dw is 1 within reach: the sign's own gradient is that of w / size.
            part = scale * Sign.apply(near / size.clamp(min=1e-12))
            total = total + part
            rest = rest - part.detach()
        if self.share < 1:
            total = torch.lerp(flat, total, self.share)
        return total.view_as(w)

    def right_inverse(self, w):
        return w


def rounding(bits):
    def hook(layer, inputs):
        dim = 1 if isinstance(layer, nn.Conv2d) else -1
        return (Rounded.apply(inputs[0], dim, bits), *inputs[1:])
    return hook


def attach(model, count_of, bits_of):
    """Make every layer binary for whose name count_of gives bases; {name: layer}.

    bits_of(name) are those of what it reads, 0: floats.
    """
    layers = {}
    for name, layer in list(model.named_modules()):
        count = count_of(name) if isinstance(layer, (nn.Linear, nn.Conv2d)) else 0
        if count:
            parametrize.register_parametrization(layer, "weight", Bases(layer.weight, count))
            if bits_of(name):
                layer.register_forward_pre_hook(rounding(bits_of(name)))
            layers[name] = layer
    return layers


def set_share(layers, share):
    for layer in layers.values():
        layer.parametrizations.weight[0].share = share


@torch.no_grad()
def frozen(layer):
    """The stand-in with its scales as the file has them, f16."""
    bases, w = layer.parametrizations.weight[0], layer.parametrizations.weight.original
    rest, total = by_tap(w), 0.0
    for factor in bases.factor:
        scale = rest.abs().mean(1, keepdim=True) * factor.exp()[:, None]
        part = torch.where(rest >= 0, 1.0, -1.0)
        total = total + scale.half().float() * part
        rest = rest - scale * part
    return total.view_as(w)

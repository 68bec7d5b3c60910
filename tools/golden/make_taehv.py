"""Tiny autoencoders of clips: TAEHV's decoder with random weights and few channels, written anew from its published
layers (each module by its number in the file), and what it decodes: tests/data/models/tiny-taehv/taehv.safetensors
and taehv.safetensors."""
import os

from common import generator, model_dir, randn, save_golden

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

WIDTHS, LATENT = (16, 12, 8, 8), 4  # of the published one: 256, 128, 64, 64 and 16
GROWS = (1, 2, 2)                   # times as many frames, in front of each enlarged convolution


def weights(seed):
    gen, out = generator(seed), {}

    def conv(name, inputs, outputs, kernel=3, bias=True):
        gain = (2 / (inputs * kernel * kernel)) ** 0.5
        out[f"decoder.{name}.weight"] = gain * torch.randn(outputs, inputs, kernel, kernel, generator=gen)
        if bias:
            out[f"decoder.{name}.bias"] = 0.1 * torch.randn(outputs, generator=gen)

    conv("1", LATENT, WIDTHS[0])
    layer = 3
    for level, grow in enumerate(GROWS):
        width = WIDTHS[level]
        for i in range(3):
            for part, inputs in ((0, 2 * width), (2, width), (4, width)):
                conv(f"{layer + i}.conv.{part}", inputs, width)
        conv(f"{layer + 4}.conv", width, grow * width, 1, False)
        conv(f"{layer + 5}", width, WIDTHS[level + 1], 3, False)
        layer += 6
    conv("22", WIDTHS[3], 3)
    return out


def decode(w, z):
    """z [T, C, h, w] -> frames [4 T - 3, 3, 8 h, 8 w] in about 0..1."""
    def conv(name, x):
        weight = w[f"decoder.{name}.weight"]
        return F.conv2d(x, weight, w.get(f"decoder.{name}.bias"), padding=weight.shape[-1] // 2)

    x = conv("1", 3 * torch.tanh(z / 3)).relu()
    layer = 3
    for grow in GROWS:
        for i in range(3):
            past = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
            y = torch.cat([x, past], 1)
            for part in (0, 2, 4):
                y = conv(f"{layer + i}.conv.{part}", y)
                y = y.relu() if part < 4 else y
            x = (y + x).relu()
        x = F.interpolate(x, scale_factor=2)
        x = conv(f"{layer + 4}.conv", x)
        x = x.reshape(x.shape[0] * grow, x.shape[1] // grow, *x.shape[2:])
        x = conv(str(layer + 5), x)
        layer += 6
    return conv("22", x.relu())[3:]


def main():
    w = weights(821)
    path = os.path.join(model_dir("tiny-taehv"), "taehv.safetensors")
    save_file(w, path)
    os.chmod(path, 0o644)
    out = {}
    for frames in (1, 3):
        z = 1.5 * randn(822 + frames, frames, LATENT, 2, 3)
        out[f"z.{frames}"], out[f"decoded.{frames}"] = z, decode(w, z)
    save_golden("taehv", out, "z [T,C,h,w] -> decoded [4T-3,3,8h,8w] in about 0..1")


if __name__ == "__main__":
    main()

"""Bring a trained AutoencoderKL into the range of half floats without changing what it computes.

The group norms make the residual stream's scale free, and training lets it drift: sums of 10^5 and
more, beyond f16. Between two convolutions that write the stream its scale can be chosen: whatever
writes it is multiplied by the factor, whatever reads it linearly is divided by it, and norms do not
see it (their epsilon stays far below the variance, since the bound is large).
"""
import torch

BOUND = 512.0  # largest absolute value wanted in the stream: 65504 is the end of f16


def _scale(layer, weight, bias):
    layer.weight.data *= weight
    layer.bias.data *= bias


class _Walk:
    """Follows the stream through a half of the network; `at` is its factor where we stand."""

    def __init__(self, largest):
        self.largest, self.at = largest, 1.0

    def choose(self, name):
        return min(1.0, BOUND / self.largest[name])

    def rewrite(self, layer, name):
        """A convolution that reads the stream and starts it anew."""
        factor = self.choose(name)
        _scale(layer, factor / self.at, factor)
        self.at = factor

    def resnet(self, block, name):
        factor = self.at
        if block.conv_shortcut is not None:
            factor = self.choose(name)
            _scale(block.conv_shortcut, factor / self.at, factor)
        _scale(block.conv2, factor, factor)
        self.at = factor

    def mid(self, block, name):
        self.resnet(block.resnets[0], name + ".resnets.0")
        for attention, resnet in zip(block.attentions, list(block.resnets)[1:]):
            if attention is not None:
                _scale(attention.to_out[0], self.at, self.at)
            self.resnet(resnet, name + ".resnets.1")


def _largest(module, run):
    """Largest value that the stream reaches from each of its writers on, until the next one."""
    peaks, hooks = {}, []
    for name, m in module.named_modules():
        def hook(_, __, out, name=name):
            if torch.is_tensor(out):
                peaks[name] = max(peaks.get(name, 0.0), out.abs().max().item())
        hooks.append(m.register_forward_hook(hook))
    run()
    for h in hooks:
        h.remove()
    return peaks


def _segments(peaks, names):
    """names: stream positions in order, (name, writer?). A writer gets its segment's largest."""
    result, writer = {}, None
    for name, writes in names:
        writer = name if writes else writer
        result[writer] = max(result.get(writer, 0.0), peaks[name])
    return result


def _resnets(prefix, blocks):
    return [(f"{prefix}.resnets.{i}", r.conv_shortcut is not None) for i, r in enumerate(blocks)]


@torch.no_grad()
def rescale(vae, images):
    """vae: float32, in place. images: [B, 3, H, W] in -1..1, to see the ranges."""
    latent = vae.encode(images).latent_dist.mode()
    decoder, encoder = vae.decoder, vae.encoder
    names = [("conv_in", True)] + _resnets("mid_block", decoder.mid_block.resnets)
    for i, block in enumerate(decoder.up_blocks):
        names += _resnets(f"up_blocks.{i}", block.resnets)
        names += [(f"up_blocks.{i}.upsamplers.0", True)] if block.upsamplers else []
    walk = _Walk(_segments(_largest(decoder, lambda: vae.decode(latent)), names))
    walk.rewrite(decoder.conv_in, "conv_in")
    walk.mid(decoder.mid_block, "mid_block")
    for i, block in enumerate(decoder.up_blocks):
        for j, resnet in enumerate(block.resnets):
            walk.resnet(resnet, f"up_blocks.{i}.resnets.{j}")
        if block.upsamplers:
            walk.rewrite(block.upsamplers[0].conv, f"up_blocks.{i}.upsamplers.0")

    names = [("conv_in", True)]
    for i, block in enumerate(encoder.down_blocks):
        names += _resnets(f"down_blocks.{i}", block.resnets)
        names += [(f"down_blocks.{i}.downsamplers.0", True)] if block.downsamplers else []
    names += _resnets("mid_block", encoder.mid_block.resnets)
    walk = _Walk(_segments(_largest(encoder, lambda: vae.encode(images)), names))
    walk.rewrite(encoder.conv_in, "conv_in")
    for i, block in enumerate(encoder.down_blocks):
        for j, resnet in enumerate(block.resnets):
            walk.resnet(resnet, f"down_blocks.{i}.resnets.{j}")
        if block.downsamplers:
            walk.rewrite(block.downsamplers[0].conv, f"down_blocks.{i}.downsamplers.0")
    walk.mid(encoder.mid_block, "mid_block")

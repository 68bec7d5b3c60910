"""From the diffusers layout to one file with the names of CompVis' and Stability's code.

    python ldm.py MODEL_FOLDER FILE.safetensors

Written from the networks' structure, not from our reader's table, so that each checks the other.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file

RESNET = [("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
          ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection")]
ONCE = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "time_embedding.cond_proj": "time_embed.cond_proj",
        "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}


class Named:
    """Stands for a tensor where only names and shapes matter (make_single_file.py)."""

    def __init__(self, text, shape):
        self.text, self.shape = text, tuple(shape)


def stack(tensors):
    if isinstance(tensors[0], Named):
        rows = sum(t.shape[0] for t in tensors)
        return Named("stack " + " ".join(t.text.split()[1] for t in tensors),
                     (rows, *tensors[0].shape[1:]))
    return torch.cat(tensors)


def turned(tensor):
    if isinstance(tensor, Named):
        return Named(tensor.text.replace("same", "turned"), tensor.shape[::-1])
    return tensor.t().contiguous()


def squared(tensor):
    """A matrix as a 1 x 1 convolution."""
    if isinstance(tensor, Named):
        return Named(tensor.text, (*tensor.shape, 1, 1))
    return tensor[:, :, None, None]


def move(source, prefix, target, names=()):
    """Take all tensors below `prefix`, with the parts of their names replaced."""
    moved = {}
    for name in [n for n in source if n.startswith(prefix + ".")]:
        tail = name[len(prefix) + 1:]
        for here, there in names:
            if tail.startswith(here + "."):
                tail = there + tail[len(here):]
        moved[f"{target}.{tail}"] = source.pop(name)
    return moved


def unet(source, config):
    """The blocks are numbered in the order in which they run."""
    source, out = dict(source), {}
    for here, there in ONCE.items():
        out.update(move(source, here, there))
    per_level, levels = config["layers_per_block"], len(config["block_out_channels"])
    number = 1
    for level in range(levels):
        for j in range(per_level):
            block = f"down_blocks.{level}"
            out.update(move(source, f"{block}.resnets.{j}", f"input_blocks.{number}.0", RESNET))
            out.update(move(source, f"{block}.attentions.{j}", f"input_blocks.{number}.1"))
            number += 1
        if level + 1 < levels:
            out.update(move(source, f"down_blocks.{level}.downsamplers.0.conv",
                            f"input_blocks.{number}.0.op"))
            number += 1
    out.update(move(source, "mid_block.resnets.0", "middle_block.0", RESNET))
    out.update(move(source, "mid_block.attentions.0", "middle_block.1"))
    out.update(move(source, "mid_block.resnets.1", "middle_block.2", RESNET))
    number = 0
    for level in range(levels):
        for j in range(per_level + 1):
            block = f"up_blocks.{level}"
            out.update(move(source, f"{block}.resnets.{j}", f"output_blocks.{number}.0", RESNET))
            layers = move(source, f"{block}.attentions.{j}", f"output_blocks.{number}.1")
            out.update(layers)
            if j == per_level and level + 1 < levels:
                place = 2 if layers else 1
                out.update(move(source, f"{block}.upsamplers.0.conv",
                                f"output_blocks.{number}.{place}.conv"))
            number += 1
    assert not source, list(source)[:3]
    return out


def controlnet(source, config):
    source, out = dict(source), {}
    hint = "controlnet_cond_embedding"
    blocks = 2 * len(config["conditioning_embedding_out_channels"]) - 2
    for number, name in enumerate(["conv_in", *(f"blocks.{i}" for i in range(blocks)), "conv_out"]):
        out.update(move(source, f"{hint}.{name}", f"input_hint_block.{2 * number}"))
    for i in range(1 + len(source)):
        out.update(move(source, f"controlnet_down_blocks.{i}", f"zero_convs.{i}.0"))
    out.update(move(source, "controlnet_mid_block", "middle_block_out.0"))
    return prefixed("control_model.", {**out, **unet(source, config)})


def vae(source, config):
    source, out = dict(source), {}
    levels = len(config["block_out_channels"])
    shortcut = [("conv_shortcut", "nin_shortcut")]
    attention = [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"),
                 ("to_out.0", "proj_out")]
    for half, word, change in (("encoder", "down", "downsample"), ("decoder", "up", "upsample")):
        for i in range(levels):
            there = i if half == "encoder" else levels - 1 - i
            for j in range(config["layers_per_block"] + (half == "decoder")):
                out.update(move(source, f"{half}.{word}_blocks.{i}.resnets.{j}",
                                f"{half}.{word}.{there}.block.{j}", shortcut))
            out.update(move(source, f"{half}.{word}_blocks.{i}.{change}rs.0.conv",
                            f"{half}.{word}.{there}.{change}.conv"))
        for j in (0, 1):
            out.update(move(source, f"{half}.mid_block.resnets.{j}", f"{half}.mid.block_{j + 1}",
                            shortcut))
        for name, tensor in move(source, f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1",
                                 attention).items():
            out[name] = squared(tensor) if len(tensor.shape) == 2 else tensor
        out.update(move(source, f"{half}.conv_norm_out", f"{half}.norm_out"))
    out.update(source)
    return out


def open_clip(source, last_layer=False):
    """OpenCLIP stacks queries, keys and values and transposes the projection."""
    source, out = dict(source), {}
    out["token_embedding.weight"] = source.pop("text_model.embeddings.token_embedding.weight")
    out["positional_embedding"] = source.pop("text_model.embeddings.position_embedding.weight")
    out.update(move(source, "text_model.final_layer_norm", "ln_final"))
    if "text_projection.weight" in source:
        out["text_projection"] = turned(source.pop("text_projection.weight"))
    layers = 0
    while f"text_model.encoder.layers.{layers}.layer_norm1.weight" in source:
        here, there = f"text_model.encoder.layers.{layers}", f"transformer.resblocks.{layers}"
        for kind in ("weight", "bias"):
            out[f"{there}.attn.in_proj_{kind}"] = stack(
                [source.pop(f"{here}.self_attn.{x}_proj.{kind}") for x in "qkv"])
        out.update(move(source, here, there,
                        [("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"),
                         ("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj")]))
        layers += 1
    if last_layer:  # there in the files of Stable Diffusion 2, and not used
        first = "transformer.resblocks.0."
        for name in [n for n in out if n.startswith(first)]:
            out[name.replace(first, f"transformer.resblocks.{layers}.")] = out[name]
    source.pop("text_model.embeddings.position_ids", None)
    assert not source, list(source)[:3]
    return out


def read(folder, part):
    base = os.path.join(folder, part)
    for name in ("model.safetensors", "diffusion_pytorch_model.safetensors"):
        if os.path.exists(os.path.join(base, name)):
            with open(os.path.join(base, "config.json")) as f:
                return load_file(os.path.join(base, name)), json.load(f)
    raise FileNotFoundError(base)


def prefixed(prefix, tensors):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def names_of_clip(state):
    """transformers 5 leaves out the text_model. in front; the files of that time had it."""
    return {n if n.startswith(("text_model.", "text_projection.")) else "text_model." + n: t
            for n, t in state.items()}


def single_file(parts):
    """`parts`: (tensors by name, config) of each folder."""
    out = prefixed("model.diffusion_model.", unet(*parts["unet"]))
    out.update(prefixed("first_stage_model.", vae(*parts["vae"])))
    text, config = parts["text_encoder"]
    text = names_of_clip(text)
    if "text_encoder_2" in parts:
        out.update(prefixed("conditioner.embedders.0.transformer.", text))
        bigger = names_of_clip(parts["text_encoder_2"][0])
        out.update(prefixed("conditioner.embedders.1.model.", open_clip(bigger)))
    elif config["hidden_act"] == "gelu":
        out.update(prefixed("cond_stage_model.model.", open_clip(text, last_layer=True)))
    else:
        out.update(prefixed("cond_stage_model.transformer.", text))
    return out


def read_parts(folder):
    return {part: read(folder, part) for part in ("unet", "vae", "text_encoder", "text_encoder_2")
            if os.path.exists(os.path.join(folder, part))}


if __name__ == "__main__":
    whole = single_file(read_parts(sys.argv[1]))
    save_file({name: tensor.clone().contiguous() for name, tensor in whole.items()}, sys.argv[2])

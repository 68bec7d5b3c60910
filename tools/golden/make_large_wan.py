"""A whole Wan 2.1 T2V 14B model folder with random weights packed as w4a8, outside the repository, on demand:
make_large_wan.py OUTDIR GEN_QUANTIZE (the program) writes OUTDIR/model, 8 GB. One block is made and packed, and
stands for all forty; text encoder and VAE are small ones of the right widths. No goldens: it shows what
size and streaming cost (docs/video.md).
"""
import json
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
from common import MODELS

from diffusers import AutoencoderKLWan
from transformers import UMT5Config, UMT5EncoderModel

LAYERS, WIDTH, FFN, TEXT = 40, 5120, 13824, 4096
HEADER_PAD = 64


def block_shapes():
    shapes = {"scale_shift_table": (1, 6, WIDTH), "norm2.weight": (WIDTH,), "norm2.bias": (WIDTH,)}
    linears = {"ffn.net.0.proj": (FFN, WIDTH), "ffn.net.2": (WIDTH, FFN)}
    for attention in ("attn1", "attn2"):
        for leaf in ("to_q", "to_k", "to_v", "to_out.0"):
            linears[f"{attention}.{leaf}"] = (WIDTH, WIDTH)
        for leaf in ("norm_q", "norm_k"):
            shapes[f"{attention}.{leaf}.weight"] = (WIDTH,)
    for name, shape in linears.items():
        shapes[name + ".weight"], shapes[name + ".bias"] = shape, shape[:1]
    return {"blocks.0." + name: shape for name, shape in shapes.items()}


def shapes():
    linears = {"time_embedder.linear_1": (WIDTH, 256), "time_embedder.linear_2": (WIDTH, WIDTH),
               "time_proj": (6 * WIDTH, WIDTH), "text_embedder.linear_1": (WIDTH, TEXT),
               "text_embedder.linear_2": (WIDTH, WIDTH)}
    out = block_shapes()
    out.update({"patch_embedding.weight": (WIDTH, 16, 1, 2, 2), "patch_embedding.bias": (WIDTH,),
                "scale_shift_table": (1, 2, WIDTH), "proj_out.weight": (64, WIDTH), "proj_out.bias": (64,)})
    for name, shape in linears.items():
        name = "condition_embedder." + name
        out[name + ".weight"], out[name + ".bias"] = shape, shape[:1]
    return out


def values(name, shape, noise):
    count = int(np.prod(shape))
    start = sum(map(ord, name)) * 977 % (len(noise) // 2)
    part = np.resize(noise[start:], count).reshape(shape)
    if len(shape) == 1 and ".norm" in name and not name.endswith("bias"):
        return (1 + 0.2 * part).astype(np.float16)
    gain = 0.1 if len(shape) == 1 else 0.3 if "table" in name else 1 / np.sqrt(count / shape[0])
    return (part * np.float32(gain)).astype(np.float16)


def write(path, tensors, metadata):
    """tensors: name -> (dtype, shape, bytes); safetensors, one piece after another."""
    header, offset = {"__metadata__": metadata}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % HEADER_PAD)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _dtype, _shape, data in tensors.values():
            f.write(data)


def read(path):
    data = np.memmap(path, np.uint8, "r")
    length = struct.unpack("<Q", data[:8].tobytes())[0]
    header = json.loads(data[8:8 + length].tobytes())
    metadata = header.pop("__metadata__", {})
    begin = 8 + length
    names = sorted(header, key=lambda n: header[n]["data_offsets"])
    return {n: (header[n]["dtype"], header[n]["shape"],
                data[begin + header[n]["data_offsets"][0]:begin + header[n]["data_offsets"][1]])
            for n in names}, metadata


def repeat(entries):
    """What is there of the first block, for all."""
    out = {}
    for name, value in entries.items():
        for i in range(LAYERS if name.startswith("blocks.0.") else 1):
            out[name.replace("blocks.0.", f"blocks.{i}.", 1)] = value
    return out


def main(outdir, quantize):
    model = os.path.join(outdir, "model")
    folder = os.path.join(model, "transformer")
    os.makedirs(folder, exist_ok=True)
    noise = np.random.default_rng(1).standard_normal(1 << 22, np.float32)
    one = os.path.join(outdir, "one.safetensors")
    write(one, {n: ("F16", s, values(n, s, noise).tobytes()) for n, s in shapes().items()}, {})
    packed = os.path.join(outdir, "one-w4a8.safetensors")
    subprocess.run([quantize, "-m", one, "-o", packed, "--recipe", "w4a8", "--overwrite"], check=True)
    tensors, metadata = read(packed)
    listed = json.loads(metadata["halftone.tensors"])
    metadata["halftone.tensors"] = json.dumps(repeat(listed), separators=(",", ":"))
    every = repeat(tensors)
    write(os.path.join(folder, "diffusion_pytorch_model.safetensors"), every, metadata)
    config = {"_class_name": "WanTransformer3DModel", "num_attention_heads": 40, "attention_head_dim": 128,
              "in_channels": 16, "out_channels": 16, "num_layers": LAYERS, "text_dim": TEXT, "freq_dim": 256,
              "ffn_dim": FFN, "patch_size": [1, 2, 2], "cross_attn_norm": True, "eps": 1e-6}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    tiny = os.path.join(MODELS, "tiny-wan")
    for name in ("tokenizer", "scheduler"):
        shutil.copytree(os.path.join(tiny, name), os.path.join(model, name), dirs_exist_ok=True)
    shutil.copy(os.path.join(tiny, "model_index.json"), model)
    AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1).save_pretrained(
        os.path.join(model, "vae"))
    UMT5EncoderModel(UMT5Config(vocab_size=768, d_model=TEXT, d_kv=64, num_heads=8, d_ff=512, num_layers=1,
                                feed_forward_proj="gated-gelu")).half().save_pretrained(
        os.path.join(model, "text_encoder"))
    os.remove(one)
    os.remove(packed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

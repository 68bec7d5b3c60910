"""Full-size layers with random weights, outside the repository, on demand.

    make_fullsize.py OUTDIR [--latent 64] [--tokens 300] [--part transformer|t5|all]

Writes OUTDIR/transformer (PixArt-Sigma XL/2, 28 layers, 1.2 GB), OUTDIR/text_encoder
(T5 v1.1 XXL cut to two layers, 1.0 GB), both f16 in the diffusers layout, and
OUTDIR/golden_{transformer,t5}.safetensors with f32 inputs and outputs. The outputs come
from the f16 weights widened to f32, so that a reader of the files has the same weights.
"""
import argparse
import math
import os

from common import generator, hook_outputs, randn

import torch
from diffusers import PixArtTransformer2DModel
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel


def fill(model, seed, d_kv=None):
    """Seeded weights, rounded to f16; the spread keeps 28 layers near 1."""
    gen = generator(seed)
    for name, p in sorted(dict(model.named_parameters()).items()):
        n = torch.randn(p.shape, generator=gen)
        if "scale_shift_table" in name:
            n *= 0.2
        elif name.endswith("shared.weight") or "relative_attention_bias" in name:
            pass
        elif p.ndim >= 2:
            n *= 1 / math.sqrt(p[0].numel())
            if d_kv and name.endswith("SelfAttention.q.weight"):
                n /= math.sqrt(d_kv)
        elif name.endswith("bias"):
            n *= 0.05
        else:
            n = 1 + 0.1 * n
        p.copy_(n.half())
    return model.eval()


def save(outdir, folder, golden, model, tensors):
    path = os.path.join(outdir, golden + ".safetensors")
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    for name, v in tensors.items():
        if v.is_floating_point():
            print(f"  {name:20} {str(list(v.shape)):22} std {v.std():.3f} max {v.abs().max():.3f}")
    model.half().save_pretrained(os.path.join(outdir, folder), max_shard_size="10GB")
    print(path, "and", os.path.join(outdir, folder))


def transformer(outdir, latent, tokens):
    sample = 64  # the 512 px model: base size of the position table
    model = fill(PixArtTransformer2DModel(
        num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8, num_layers=28,
        cross_attention_dim=1152, sample_size=sample, patch_size=2, caption_channels=4096,
        interpolation_scale=1, use_additional_conditions=False), 901)
    out = {"latent": randn(902, 2, 4, latent, latent), "timestep": torch.tensor([999.0, 437.0]),
           "encoder": 0.2 * randn(903, 2, tokens, 4096),
           "mask": torch.ones(2, tokens, dtype=torch.int32)}
    out["mask"][0, 1:] = 0               # an empty prompt: only the end token
    out["mask"][1, tokens * 2 // 5:] = 0
    steps = {}
    handles = hook_outputs([(f"block.{i}", model.transformer_blocks[i]) for i in (0, 13, 27)], steps)
    out["output"] = model(out["latent"], encoder_hidden_states=out["encoder"], timestep=out["timestep"],
                          encoder_attention_mask=out["mask"]).sample
    for h in handles:
        h.remove()
    out.update(steps)
    save(outdir, "transformer", "golden_transformer", model, out)


def t5(outdir, tokens):
    config = T5Config(vocab_size=32128, d_model=4096, d_kv=64, num_heads=64, d_ff=10240, num_layers=2,
                      feed_forward_proj="gated-gelu", relative_attention_num_buckets=32,
                      relative_attention_max_distance=128, layer_norm_epsilon=1e-6, dropout_rate=0.0)
    model = fill(T5EncoderModel(config), 911, d_kv=64)
    ids = torch.randint(3, 32000, (1, tokens), generator=generator(912))
    length = tokens * 2 // 5
    ids[:, length - 1], ids[:, length:] = 1, 0
    mask = (torch.arange(tokens) < length).long()[None]
    out = {"ids": ids.int(), "mask": mask.int(),
           "output.masked": model(input_ids=ids, attention_mask=mask).last_hidden_state,
           "output.unmasked": model(input_ids=ids).last_hidden_state}
    save(outdir, "text_encoder", "golden_t5", model, out)


def main():
    parser = argparse.ArgumentParser(description="full-size random models and their f32 outputs")
    parser.add_argument("outdir")
    parser.add_argument("--latent", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--part", choices=("transformer", "t5", "all"), default="all")
    args = parser.parse_args()
    os.makedirs(args.outdir, exist_ok=True)
    if args.part != "t5":
        transformer(args.outdir, args.latent, args.tokens)
    if args.part != "transformer":
        t5(args.outdir, args.tokens)


if __name__ == "__main__":
    main()

"""Golden outputs of the tiny PixArt transformers, with what every block gives."""
import os

from common import MODELS, generator, hook_outputs, randn, save_golden

import torch
from diffusers import PixArtTransformer2DModel


def run(folder, name, seed, height, width, tokens, conditions=False, note=""):
    model = PixArtTransformer2DModel.from_pretrained(os.path.join(MODELS, folder, "transformer")).eval()
    inputs = {
        "latent": randn(seed, 2, 4, height, width),
        "timestep": torch.tensor([981.0, 37.25]),  # the second one fractional
        "encoder": randn(seed + 1, 2, tokens, 32),
        "mask": torch.ones(2, tokens, dtype=torch.int32),
    }
    inputs["mask"][1, 3:] = 0  # the second sample keeps three tokens
    added = {"resolution": None, "aspect_ratio": None}
    if conditions:  # pixels: (height, width) and height / width, different per sample
        added["resolution"] = torch.tensor([[height * 8.0, width * 8.0], [512.0, 768.0]])
        added["aspect_ratio"] = added["resolution"][:, :1] / added["resolution"][:, 1:]
        inputs.update(added)

    steps = {}
    block = model.transformer_blocks[0]
    pairs = [("pos_embed", model.pos_embed), ("caption", model.caption_projection),
             ("block.0.attn1", block.attn1), ("block.0.attn2", block.attn2), ("block.0.ff", block.ff),
             ("embedded_timestep", model.adaln_single.emb), ("modulation", model.adaln_single.linear),
             ("proj_out", model.proj_out)]
    pairs += [(f"block.{i}", b) for i, b in enumerate(model.transformer_blocks)]
    handles = hook_outputs(pairs, steps)

    def forward(mask):
        return model(inputs["latent"], encoder_hidden_states=inputs["encoder"],
                     timestep=inputs["timestep"], encoder_attention_mask=mask,
                     added_cond_kwargs=added).sample

    out = dict(inputs)
    out["output"] = forward(inputs["mask"])
    out.update(steps)
    for h in handles:
        h.remove()
    out["output.nomask"] = forward(None)
    # the table alone: [1, tokens, dim], as if the patch projection gave zero
    model.pos_embed.proj.weight.zero_()
    model.pos_embed.proj.bias.zero_()
    out["pos_table"] = model.pos_embed(inputs["latent"][:1])
    save_golden(name, out, note or "batch 2; output [2,8,H,W]: epsilon and variance halves")


if __name__ == "__main__":
    run("tiny-pixart", "pixart_tiny", 301, 8, 8, 20)
    run("tiny-pixart-alpha", "pixart_alpha", 311, 8, 12, 10, conditions=True)
    run("tiny-pixart-interp", "pixart_interp", 321, 8, 20, 7)

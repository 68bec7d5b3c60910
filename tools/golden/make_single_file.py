"""Names and shapes of models in one file, and what each tensor is made of.

For the tiny models: how to put the file together from the folder's tensors. For the published sizes:
names and shapes alone. Each conversion is turned back by diffusers' own code first.
"""
import json
import os

from common import GOLDEN, MODELS

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as theirs
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import ldm

SD1 = dict(cross_attention_dim=768, attention_head_dim=8, sample_size=64)
SD2 = dict(cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), sample_size=96,
           use_linear_projection=True)
XL = dict(cross_attention_dim=2048, attention_head_dim=(5, 10, 20), sample_size=128,
          use_linear_projection=True, block_out_channels=(320, 640, 1280),
          transformer_layers_per_block=(1, 2, 10), addition_embed_type="text_time",
          addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
          down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
          up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"))
CLIP_L = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
              num_attention_heads=12, projection_dim=768)
OPEN_H = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23,
              num_attention_heads=16, hidden_act="gelu")
OPEN_G = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32,
              num_attention_heads=20, hidden_act="gelu", projection_dim=1280)
VAE = dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
           down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)


def clip(config, kind=CLIPTextModel):
    model = kind(CLIPTextConfig(**config))
    return model, model.config.to_dict()


def published(unet, text, second=None):
    with torch.device("meta"):
        models = {"unet": UNet2DConditionModel(**unet), "vae": AutoencoderKL(**VAE)}
        parts = {name: (model.state_dict(), dict(model.config)) for name, model in models.items()}
        for name, config, kind in (("text_encoder", text, CLIPTextModel),
                                   ("text_encoder_2", second, CLIPTextModelWithProjection)):
            if config:
                model, config = clip(config, kind)
                parts[name] = (model.state_dict(), config)
    return parts


def named(parts):
    """Names for tensors: what each is made of stays readable."""
    return {part: ({name: ldm.Named(f"same {part}/{name}", t.shape) for name, t in state.items()},
                   config) for part, (state, config) in parts.items()}


def check(parts):
    """diffusers must find its own tensors again."""
    whole = ldm.single_file(parts)
    unet = theirs.convert_ldm_unet_checkpoint(dict(whole), dict(parts["unet"][1]))
    vae = theirs.convert_ldm_vae_checkpoint(dict(whole), dict(parts["vae"][1]))
    pairs = [("unet", unet), ("vae", vae)]
    if "text_encoder_2" in parts:
        class Model:  # what their function asks for
            class config:
                hidden_size = parts["text_encoder_2"][1]["hidden_size"]
        pairs.append(("text_encoder_2", theirs.convert_open_clip_checkpoint(
            Model, whole, prefix="conditioner.embedders.1.model.")))
    for part, found in pairs:
        state = parts[part][0]
        if part.startswith("text"):
            state = ldm.names_of_clip(state)
        assert set(found) == set(state), (part, set(found) ^ set(state))
        for name, tensor in state.items():
            assert found[name].squeeze().shape == tensor.squeeze().shape, (part, name)
            if tensor.device.type != "meta":
                assert torch.equal(found[name].squeeze(), tensor.squeeze()), (part, name)


def write(name, parts, how):
    check(parts)
    lines = []
    for tensor, what in sorted(ldm.single_file(named(parts)).items()):
        shape = ",".join(map(str, what.shape))
        lines.append(f"{tensor} {shape} {what.text}" if how else f"{tensor} {shape}")
    with open(os.path.join(GOLDEN, f"single_file_{name}.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")
    print(name, len(lines), "tensors")


def main():
    for name in ("tiny-sd", "tiny-xl"):
        write(name, ldm.read_parts(os.path.join(MODELS, name)), True)
    write("sd1", published(SD1, CLIP_L), False)
    write("sd2", published(SD2, OPEN_H), False)
    write("xl", published(XL, CLIP_L, OPEN_G), False)


if __name__ == "__main__":
    main()

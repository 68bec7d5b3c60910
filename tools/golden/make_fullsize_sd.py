"""Full-size Stable Diffusion 1.5 with random weights, outside the repository, on demand.

    make_fullsize_sd.py OUTDIR [--latent 32]

Writes a whole model folder in the diffusers layout (unet, text_encoder, vae in f16, DDIM; the
tokenizer is tiny-sd's, its end of text at id 976) and, beside it, OUTDIR/golden_unet.safetensors
and golden_clip.safetensors with f32 inputs and outputs of the f16 weights. Pictures are noise: the
folder is for parity, speed and memory.
"""
import argparse
import json
import os
import shutil

from common import MODELS, generator, randn
from make_fullsize import fill, save

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel


def unet(outdir, latent):
    model = fill(UNet2DConditionModel(
        block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8), 921)
    out = {"latent": randn(922, 2, 4, latent, latent), "timestep": torch.tensor([437.0]),
           "encoder": randn(923, 2, 77, 768)}
    out["output"] = model(out["latent"], out["timestep"][0], encoder_hidden_states=out["encoder"]).sample
    save(outdir, "unet", "golden_unet", model, out)


def clip(outdir):
    model = fill(CLIPTextModel(CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, max_position_embeddings=77, hidden_act="quick_gelu",
        eos_token_id=49407)), 931)
    ids = torch.randint(0, 49000, (2, 77), generator=generator(932))
    ids[:, -1] = 49407
    result = model(input_ids=ids, output_hidden_states=True)
    save(outdir, "text_encoder", "golden_clip", model, {
        "ids": ids.int(), "ends": torch.tensor([76, 153]).int(), "pooled": result.pooler_output,
        "hidden.last": result.last_hidden_state, "hidden.penultimate": result.hidden_states[-2]})


def rest(outdir):
    fill(AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=512, scaling_factor=0.18215), 941).half().save_pretrained(outdir + "/vae")
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(f"{MODELS}/tiny-sd/{part}", f"{outdir}/{part}", dirs_exist_ok=True)
    shutil.copy(f"{MODELS}/tiny-sd/model_index.json", outdir)
    path = outdir + "/tokenizer/tokenizer_config.json"
    with open(path) as f:
        config = json.load(f)
    with open(path, "w") as f:
        json.dump({**config, "model_max_length": 77}, f)


def main():
    parser = argparse.ArgumentParser(description="full-size random SD 1.5 and its f32 outputs")
    parser.add_argument("outdir")
    parser.add_argument("--latent", type=int, default=32)
    args = parser.parse_args()
    os.makedirs(args.outdir, exist_ok=True)
    unet(args.outdir, args.latent)
    clip(args.outdir)
    rest(args.outdir)


if __name__ == "__main__":
    main()

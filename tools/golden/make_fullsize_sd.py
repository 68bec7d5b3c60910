"""Full-size Stable Diffusion 1.5 or XL with random weights, outside the repository, on demand.

    make_fullsize_sd.py OUTDIR [--model sd15|sdxl] [--latent 32]

Writes a whole model folder in the diffusers layout (networks in f16; scheduler and tokenizers are
those of tiny-sd or tiny-xl, their end of text at id 976) and, beside it, OUTDIR/golden_unet.safetensors,
golden_clip, golden_clip_2 (XL) and golden_vae with f32 inputs and outputs of the f16 weights.
Pictures are noise: the folder is for parity, speed and memory. XL takes 14 GB of memory.
"""
import argparse
import json
import os
import shutil

from common import MODELS, generator, randn
from make_fullsize import fill, save

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection


UNETS = {
    "sd15": dict(block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768,
                 attention_head_dim=8),
    "sdxl": dict(block_out_channels=(320, 640, 1280), cross_attention_dim=2048,
                 attention_head_dim=(5, 10, 20), transformer_layers_per_block=(1, 2, 10),
                 down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                 up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                 use_linear_projection=True, addition_embed_type="text_time",
                 addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)}
TINY = {"sd15": "tiny-sd", "sdxl": "tiny-xl"}


def empty(make):
    """The module without its initial values, which take longer to draw than these."""
    with torch.device("meta"):
        model = make()
    return model.to_empty(device="cpu")


def unet(outdir, model, latent):
    config = UNETS[model]
    net = fill(empty(lambda: UNet2DConditionModel(**config)), 921)
    out = {"latent": randn(922, 2, 4, latent, latent), "timestep": torch.tensor([437.0]),
           "encoder": randn(923, 2, 77, config["cross_attention_dim"])}
    added = None
    if model == "sdxl":
        edge = 8.0 * latent
        added = {"text_embeds": randn(924, 2, 1280),
                 "time_ids": torch.tensor([[edge, edge, 0, 0, edge, edge]] * 2)}
        out |= {"pooled": added["text_embeds"], "time_ids": added["time_ids"]}
    out["output"] = net(out["latent"], out["timestep"][0], encoder_hidden_states=out["encoder"],
                        added_cond_kwargs=added).sample
    save(outdir, "unet", "golden_unet", net, out)


def clip(outdir, folder, golden, seed, make, **config):
    net = fill(make(CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, eos_token_id=49407,
                                   **config)), seed)
    ids = torch.randint(0, 49000, (2, 77), generator=generator(seed + 1))
    ids[:, -1] = 49407
    result = net(input_ids=ids, output_hidden_states=True)
    pooled = result.pooler_output if make is CLIPTextModel else result.text_embeds
    save(outdir, folder, golden, net, {
        "ids": ids.int(), "ends": torch.tensor([76, 153]).int(), "pooled": pooled,
        "hidden.last": result.last_hidden_state, "hidden.penultimate": result.hidden_states[-2]})


def clips(outdir, model):
    clip(outdir, "text_encoder", "golden_clip", 931, CLIPTextModel, hidden_size=768,
         intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
         hidden_act="quick_gelu")
    if model == "sdxl":
        clip(outdir, "text_encoder_2", "golden_clip_2", 951, CLIPTextModelWithProjection,
             hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
             hidden_act="gelu", projection_dim=1280)


def vae(outdir, model, latent):
    net = fill(AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=512, scaling_factor=0.18215 if model == "sd15" else 0.13025), 941)
    z = randn(942, 1, 4, latent, latent)
    save(outdir, "vae", "golden_vae", net, {"latent": z, "decoded": net.decode(z).sample})


def rest(outdir, model):
    tiny = f"{MODELS}/{TINY[model]}"
    shutil.copy(f"{tiny}/model_index.json", outdir)
    for part in [p for p in os.listdir(tiny) if p.startswith("tokenizer") or p == "scheduler"]:
        shutil.copytree(f"{tiny}/{part}", f"{outdir}/{part}", dirs_exist_ok=True)
        if part == "scheduler":
            continue
        path = f"{outdir}/{part}/tokenizer_config.json"
        with open(path) as f:
            config = json.load(f)
        with open(path, "w") as f:
            json.dump({**config, "model_max_length": 77}, f)


def main():
    parser = argparse.ArgumentParser(description="full-size random SD 1.5 or XL, f32 outputs")
    parser.add_argument("outdir")
    parser.add_argument("--model", choices=list(UNETS), default="sd15")
    parser.add_argument("--latent", type=int, default=32)
    args = parser.parse_args()
    os.makedirs(args.outdir, exist_ok=True)
    unet(args.outdir, args.model, args.latent)
    clips(args.outdir, args.model)
    vae(args.outdir, args.model, args.latent)
    rest(args.outdir, args.model)


if __name__ == "__main__":
    main()

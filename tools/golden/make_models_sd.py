"""Add the tiny models of the Stable Diffusion family to tests/data/models/ (after make_models.py)."""
import collections
import json
import os
import sys

from common import MODELS, model_dir, randomise

from diffusers import (AutoencoderKL, ControlNetModel, DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline,
                       StableDiffusionXLPipeline, UNet2DConditionModel)
from transformers import (CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer)

from corpus import sentences
from make_models import tidy, vae

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "train"))
import clip_tokenizer

TOKENS = 20


def tokenizer(folder, pad):
    """A vocabulary like CLIP's, with merges of the corpus; some words stay in pieces."""
    counts = collections.Counter()
    for line in sentences():
        counts.update(w for w in line.lower().split() if w.isascii())
    symbols = {w: n for w, n in counts.items() if n > 1}
    merges = clip_tokenizer.learn_merges(symbols)[:600]
    entries = clip_tokenizer.save(folder, merges)
    path = folder + "/tokenizer_config.json"
    with open(path) as f:
        config = json.load(f)
    config.update(model_max_length=TOKENS, pad_token=pad)
    with open(path, "w") as f:
        json.dump(config, f, indent=2)
    with open(folder + "/special_tokens_map.json", "w") as f:
        json.dump({**{k: config[k] for k in ("bos_token", "eos_token", "unk_token")},
                   "pad_token": pad}, f, indent=2)
    return entries


def clip(seed, vocab, kind=CLIPTextModel, **changes):
    config = dict(vocab_size=vocab, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
                  num_attention_heads=4, max_position_embeddings=TOKENS, hidden_act="quick_gelu",
                  projection_dim=24, bos_token_id=vocab - 2, eos_token_id=vocab - 1,
                  pad_token_id=vocab - 1)
    config.update(changes)
    return randomise(kind(CLIPTextConfig(**config)), seed)


def unet(seed, **changes):
    config = dict(sample_size=8, block_out_channels=(8, 16), layers_per_block=2, norm_num_groups=4,
                  down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                  up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=32,
                  attention_head_dim=2)
    config.update(changes)
    return randomise(UNet2DConditionModel(**config), seed)


def controlnet(seed, **changes):
    config = dict(block_out_channels=(8, 16), layers_per_block=2, norm_num_groups=4,
                  down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), cross_attention_dim=32,
                  attention_head_dim=2, conditioning_embedding_out_channels=(4, 8))
    config.update(changes)
    return randomise(ControlNetModel(**config), seed)


def save_parts(folder, parts):
    for name, part in parts.items():
        part.save_pretrained(model_dir(folder, name))


def link(target, folder, name):
    path = os.path.join(model_dir(folder), name)
    if not os.path.islink(path):
        os.symlink(target, path)


def write_index(folder, name, parts, **more):
    index = {"_class_name": name, "_diffusers_version": "0.30.0", **more}
    for key, part in parts.items():
        kind = type(part).__name__ if not isinstance(part, str) else part
        library = "transformers" if kind.startswith("CLIP") else "diffusers"
        index[key] = [library, kind]
    with open(os.path.join(MODELS, folder, "model_index.json"), "w") as f:
        json.dump(index, f, indent=2)


def controlnets():
    save_parts("tiny-control", {"sd": controlnet(161)})
    save_parts("tiny-control", {"xl": controlnet(
        162, cross_attention_dim=56, transformer_layers_per_block=(1, 2), use_linear_projection=True,
        attention_head_dim=(2, 4), addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24 + 6 * 8)})
    for name in ("scheduler", "text_encoder", "tokenizer", "unet", "vae"):
        link(f"../tiny-sd/{name}", "tiny-sd-control", name)
    link("../tiny-control/sd", "tiny-sd-control", "controlnet")
    write_index("tiny-sd-control", "StableDiffusionControlNetPipeline",
                {"controlnet": "ControlNetModel", "text_encoder": "CLIPTextModel",
                 "unet": "UNet2DConditionModel", "vae": "AutoencoderKL",
                 "scheduler": "DDIMScheduler", "tokenizer": "CLIPTokenizer"})


def main():
    sd = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    vocab = tokenizer(model_dir("tiny-sd", "tokenizer"), clip_tokenizer.END)
    parts = {"text_encoder": clip(131, vocab), "unet": unet(132), "vae": vae(133),
             "scheduler": DDIMScheduler(**sd, clip_sample=False, set_alpha_to_one=False)}
    save_parts("tiny-sd", parts)
    write_index("tiny-sd", "StableDiffusionPipeline", {**parts, "tokenizer": "CLIPTokenizer"})

    tokenizer(model_dir("tiny-xl", "tokenizer"), clip_tokenizer.END)
    tokenizer(model_dir("tiny-xl", "tokenizer_2"), "!")
    parts = {"text_encoder": clip(141, vocab),
             "text_encoder_2": clip(142, vocab, CLIPTextModelWithProjection, hidden_size=24,
                                    num_attention_heads=2, hidden_act="gelu"),
             "unet": unet(143, cross_attention_dim=56, transformer_layers_per_block=(1, 2),
                          use_linear_projection=True, attention_head_dim=(2, 4),
                          addition_embed_type="text_time", addition_time_embed_dim=8,
                          projection_class_embeddings_input_dim=24 + 6 * 8),
             "vae": vae(144), "scheduler": EulerDiscreteScheduler(**sd, timestep_spacing="leading")}
    save_parts("tiny-xl", parts)
    write_index("tiny-xl", "StableDiffusionXLPipeline",
                {**parts, "tokenizer": "CLIPTokenizer", "tokenizer_2": "CLIPTokenizer"},
                force_zeros_for_empty_prompt=True)

    save_parts("tiny-unet-lcm", {"unet": unet(151, time_cond_proj_dim=16, attention_head_dim=4)})
    save_parts("tiny-unet-inpaint", {"unet": unet(
        152, in_channels=9, block_out_channels=(8, 8, 16), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"))})
    for name in ("scheduler", "text_encoder", "tokenizer", "vae"):
        link(f"../tiny-sd/{name}", "tiny-sd-inpaint", name)
    link("../tiny-unet-inpaint/unet", "tiny-sd-inpaint", "unet")
    write_index("tiny-sd-inpaint", "StableDiffusionInpaintPipeline",
                {"text_encoder": "CLIPTextModel", "unet": "UNet2DConditionModel",
                 "vae": "AutoencoderKL", "scheduler": "DDIMScheduler", "tokenizer": "CLIPTokenizer"})
    controlnets()
    tidy()


if __name__ == "__main__":
    main()

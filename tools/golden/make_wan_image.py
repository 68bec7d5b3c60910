"""Image to video: the model tests/data/models/tiny-wan-i2v (transformer and image encoder of its own, the
rest by links to tiny-wan), and golden outputs of its parts and of diffusers' WanImageToVideoPipeline. Run after
make_wan_models.py."""
import json
import os
import shutil
import types

import numpy as np
from common import MODELS, generator, randn, randomise, save_golden
from make_wan import tall
from make_wan_models import transformer

import diffusers.pipelines.wan.pipeline_wan_i2v as wan_i2v
import torch
from diffusers import UniPCMultistepScheduler, AutoencoderKLWan, WanImageToVideoPipeline, WanTransformer3DModel
from PIL import Image
from transformers import (AutoTokenizer, CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel,
                          UMT5EncoderModel)

FOLDER = os.path.join(MODELS, "tiny-wan-i2v")
LINKED = ("text_encoder", "tokenizer", "vae", "scheduler")
PROMPT = "A red shiny sphere  rolls left past a blue cube."
NEGATIVE = "blurry, low quality"
SEED, STEPS, GUIDANCE, FRAMES, SIZE, EDGE = 42, 4, 5.0, 9, (16, 32), 16
TOKENS, ROWS = 11, 512  # of the text; behind them zeros

if not hasattr(wan_i2v, "ftfy"):  # which leaves prompts like ours as they are
    wan_i2v.ftfy = types.SimpleNamespace(fix_text=lambda text: text)


def image_encoder(seed):
    config = CLIPVisionConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
                              image_size=EDGE, patch_size=4, hidden_act="gelu", projection_dim=8)
    return randomise(CLIPVisionModel(config), seed)


def write_model():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    for name in LINKED:
        os.symlink(os.path.join("..", "tiny-wan", name), os.path.join(FOLDER, name))
    # 4 channels of the latent, 4 of the mask, 4 of the picture's latent
    transformer(221, in_channels=12, image_dim=16, added_kv_proj_dim=24).save_pretrained(
        os.path.join(FOLDER, "transformer"))
    image_encoder(222).save_pretrained(os.path.join(FOLDER, "image_encoder"))
    CLIPImageProcessor(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE}).save_pretrained(
        os.path.join(FOLDER, "image_processor"))
    index = {"_class_name": "WanImageToVideoPipeline", "boundary_ratio": None, "expand_timesteps": False,
             "image_encoder": ["transformers", "CLIPVisionModel"],
             "image_processor": ["transformers", "CLIPImageProcessor"],
             "scheduler": ["diffusers", "UniPCMultistepScheduler"],
             "text_encoder": ["transformers", "UMT5EncoderModel"],
             "tokenizer": ["transformers", "T5TokenizerFast"],
             "transformer": ["diffusers", "WanTransformer3DModel"], "transformer_2": [None, None],
             "vae": ["diffusers", "AutoencoderKLWan"]}
    with open(os.path.join(FOLDER, "model_index.json"), "w", encoding="utf-8") as f:
        json.dump(index, f, indent=2, sort_keys=True)
        f.write("\n")
    for root, _dirs, files in os.walk(FOLDER):
        for name in files:
            os.chmod(os.path.join(root, name), 0o644)


def part(kind, name):
    return kind.from_pretrained(os.path.join(FOLDER, name))


def encoder_golden():
    model = part(CLIPVisionModel, "image_encoder").eval()
    pixels = randn(621, 1, 3, EDGE, EDGE)
    hidden = model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
    save_golden("clip_vision_tiny", {"pixels": pixels, "hidden": hidden},
                "pixels [1,3,H,W] as the processor gives them; hidden [1,T,C] = hidden_states[-2]")


def transformer_golden():
    model = part(WanTransformer3DModel, "transformer").eval()
    # The processor takes what is in front of the last 512 rows for the picture's.
    text = torch.zeros(2, ROWS, 32)
    text[:, :TOKENS] = randn(602, 2, TOKENS, 32)
    latent, image, timestep = randn(631, 2, 12, 3, 4, 6), randn(632, 1, 17, 16), torch.tensor([999.0, 417.0])
    output = model(latent, timestep, text, image.expand(2, -1, -1)).sample
    out = {"timestep": timestep, "text": text[:, :TOKENS], "image": image, "latent": tall(latent),
           "output": tall(output)}
    save_golden("wan_image", out, f"batch 2 of one picture; text: of {ROWS} rows the first, the others are zero")


def pipeline_golden():
    pipe = WanImageToVideoPipeline(
        tokenizer=part(AutoTokenizer, "tokenizer"), text_encoder=part(UMT5EncoderModel, "text_encoder"),
        vae=part(AutoencoderKLWan, "vae"), scheduler=part(UniPCMultistepScheduler, "scheduler"),
        image_processor=part(CLIPImageProcessor, "image_processor"),
        image_encoder=part(CLIPVisionModel, "image_encoder"),
        transformer=part(WanTransformer3DModel, "transformer"))
    pipe.set_progress_bar_config(disable=True)
    init = (128 + 60 * randn(641, *SIZE, 3)).clamp(0, 255).round().to(torch.uint8)
    picture = Image.fromarray(init.numpy())
    # The shorter edge is the encoder's: nothing is resized, so the comparison is exact.
    pixels = pipe.image_processor(images=picture, return_tensors="pt").pixel_values
    seen = pipe.image_processor.image_mean, pipe.image_processor.image_std
    cut = init.float()[:, SIZE[1] // 2 - EDGE // 2:SIZE[1] // 2 + EDGE // 2] / 255
    assert (pixels[0].permute(1, 2, 0) - (cut - torch.tensor(seen[0])) / torch.tensor(seen[1])).abs().max() < 1e-6
    large = (128 + 60 * randn(642, 9, 12, 3)).clamp(0, 255).round().to(torch.uint8)
    large = Image.fromarray(large.numpy()).resize((60, 40), Image.BICUBIC)
    out = {"init": init.float(), "large": torch.from_numpy(np.array(large)).float(),
           "large.pixels": pipe.image_processor(images=large, return_tensors="pt").pixel_values}

    def run(**changes):
        common = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, num_frames=FRAMES,
                      guidance_scale=GUIDANCE, height=SIZE[0], width=SIZE[1], image=picture)
        return pipe(**{**common, **changes}, generator=generator(SEED), output_type="latent").frames[0]

    _, condition = pipe.prepare_latents(pipe.video_processor.preprocess(picture, height=SIZE[0], width=SIZE[1]), 1,
                                        4, *SIZE, FRAMES, torch.float32, torch.device("cpu"), generator(1))
    out["condition"] = condition[0]
    out["embeds"] = pipe.encode_image(picture)
    out["latents"] = run()
    out["latents.cfg1"] = run(guidance_scale=1.0)
    save_golden("pipeline_wan_image", out,
                f"as pipeline_wan, from the picture init [H,W,3] in 0..255; condition [8,F,h,w]: mask, then latent")


if __name__ == "__main__":
    write_model()
    encoder_golden()
    transformer_golden()
    pipeline_golden()

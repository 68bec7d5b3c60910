"""Textual inversion: files for the tiny models in each layout, and prompts encoded with them by diffusers."""
import os

from common import MODELS, ROOT, randn, save_golden

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

FOLDER = os.path.join(ROOT, "tests", "data", "embeddings")
PROMPT, NEGATIVE = "A shiny <cat-toy> left of foggy cube.", "blurry foggy, low"


def save(name, tensors):
    os.makedirs(FOLDER, exist_ok=True)
    path = os.path.join(FOLDER, name + ".safetensors")
    save_file(tensors, path)
    os.chmod(path, 0o644)


def pipeline(kind, folder, **more):
    pipe = kind.from_pretrained(os.path.join(MODELS, folder), **more)
    for encoder in (pipe.text_encoder, getattr(pipe, "text_encoder_2", None)):
        if encoder is not None and not hasattr(encoder, "text_model"):
            object.__setattr__(encoder, "text_model", encoder)
    return pipe


def encode(pipe):
    with torch.no_grad():
        embeds = pipe.encode_prompt(PROMPT, device="cpu", num_images_per_prompt=1,
                                    do_classifier_free_guidance=True, negative_prompt=NEGATIVE)
    out = {"embeds": torch.cat([embeds[1], embeds[0]])}
    if len(embeds) == 4:
        out["pooled"] = torch.cat([embeds[3], embeds[2]])
    return out


def main():
    toy, foggy = randn(181, 32), randn(182, 3, 32)
    save("toy", {"<cat-toy>": toy})
    save("foggy", {"emb_params": foggy})
    pipe = pipeline(StableDiffusionPipeline, "tiny-sd", safety_checker=None, feature_extractor=None)
    pipe.load_textual_inversion(os.path.join(FOLDER, "toy.safetensors"))
    pipe.load_textual_inversion({"foggy": foggy})
    out = {f"sd.{k}": v for k, v in encode(pipe).items()}

    parts = {"toy_xl": (randn(183, 1, 32), randn(184, 1, 24)),
             "foggy_xl": (randn(185, 3, 32), randn(186, 3, 24))}
    pipe = pipeline(StableDiffusionXLPipeline, "tiny-xl")
    for (name, (l, g)), token in zip(parts.items(), ("<cat-toy>", "foggy")):
        save(name, {"clip_l": l, "clip_g": g})
        pipe.load_textual_inversion({token: l}, text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer)
        pipe.load_textual_inversion({token: g}, text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2)
    out.update({f"xl.{k}": v for k, v in encode(pipe).items()})
    save_golden("embeddings", out, f"prompt: {PROMPT} negative: {NEGATIVE} embeds: negative, positive")


if __name__ == "__main__":
    main()

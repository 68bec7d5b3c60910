"""LoRAs of the tiny models (tests/data/loras) and what PEFT computes with them (lora_*.safetensors).

The same factors go into a file with kohya's names (alpha as tensors) and one with diffusers' (alpha in
the metadata). The LyCORIS file has one kind on each of some layers; PEFT's own LoHa and LoKr modules, and
for the kinds that it lacks a chain of convolutions, say what each adds to the weight.
"""
import json
import os
import re

from common import MODELS, ROOT, randn, save_golden

import torch
from diffusers import (PixArtTransformer2DModel, StableDiffusionPipeline, StableDiffusionXLPipeline,
                       UNet2DConditionModel)
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.tuners.loha.layer import Conv2d as LohaConv, Linear as LohaLinear
from peft.tuners.lokr.layer import Conv2d as LokrConv, Linear as LokrLinear
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5EncoderModel

LORAS = os.path.join(ROOT, "tests", "data", "loras")
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]
CONVS = ["conv_in", "conv_out", "conv1", "conv2", "conv_shortcut", "downsamplers.0.conv",
         "upsamplers.0.conv", "time_emb_proj", "linear_1", "linear_2"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def save(name, tensors, metadata=None):
    os.makedirs(LORAS, exist_ok=True)
    path = os.path.join(LORAS, name + ".safetensors")
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata=metadata)
    os.chmod(path, 0o644)
    print(f"{os.path.relpath(path, ROOT)}: {len(tensors)} tensors, {os.path.getsize(path)} bytes")


def half(values):
    """Values that half floats hold, so that files may be small."""
    return values.half().float()


def adapt(model, seed, rank, alpha, targets, config=None):
    """An adapter with random factors, whose change is about a third of the weight."""
    config = config or LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights=False)
    if hasattr(model, "add_adapter"):
        model.add_adapter(config)
    else:
        get_peft_model(model, config)  # changes the model itself
    for i, (name, p) in enumerate(sorted(model.named_parameters())):
        if ".lora_A." in name:
            p.copy_(half(randn(seed + i, *p.shape) / p[0].numel() ** 0.5))
        elif ".lora_B." in name:
            p.copy_(half(0.3 * randn(seed + i, *p.shape) / rank ** 0.5))
    return get_peft_model_state_dict(model)


def kohya(prefix, state, alpha, rename=lambda module: module):
    out = {}
    for key, value in state.items():
        module, side = re.fullmatch(r"(.*)\.lora_([AB])\.weight", key).groups()
        base = prefix + rename(module).replace(".", "_")
        out[f"{base}.lora_{'down' if side == 'A' else 'up'}.weight"] = value.half()
        out[base + ".alpha"] = torch.tensor(float(alpha)).half()
    return out


def sd():
    unet = UNet2DConditionModel.from_pretrained(os.path.join(MODELS, "tiny-sd", "unet")).eval()
    text = CLIPTextModel.from_pretrained(os.path.join(MODELS, "tiny-sd", "text_encoder")).eval()
    inputs = {"latent": randn(611, 2, 4, 8, 12), "timestep": torch.tensor([981.0]),
              "encoder": randn(612, 2, 20, unet.config.cross_attention_dim)}
    ids = torch.randint(3, 900, (2, 20), generator=torch.Generator().manual_seed(613))
    before = unet(inputs["latent"], 981.0, encoder_hidden_states=inputs["encoder"]).sample
    state, text_state = adapt(unet, 6000, 2, 3, ATTENTION + CONVS), adapt(text, 7000, 3, 6, TEXT)
    save("sd_kohya", {**kohya("lora_unet_", state, 3), **kohya("lora_te_", text_state, 6)})
    StableDiffusionPipeline.save_lora_weights(
        LORAS, {k: v.half() for k, v in state.items()}, {k: v.half() for k, v in text_state.items()},
        weight_name="sd_diffusers.safetensors",
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
        text_encoder_lora_adapter_metadata=text.peft_config["default"].to_dict())
    os.chmod(os.path.join(LORAS, "sd_diffusers.safetensors"), 0o644)
    out = unet(inputs["latent"], 981.0, encoder_hidden_states=inputs["encoder"]).sample
    hidden = text(ids, output_hidden_states=True).last_hidden_state
    save_golden("lora_sd", {**inputs, "output": out, "output.without": before, "ids": ids.int(),
                            "hidden.last": hidden}, "batch 2, one timestep; output [2,C,H,W]")


def factors(seed, state, prefix):
    """Fill the factors of a PEFT module and give them names."""
    out = {}
    for i, (name, p) in enumerate(sorted(state.items())):
        fan = p[0].numel() if "_b" in name or "_t" in name else 1
        p.copy_(half(randn(seed + i, *p.shape) * (1.0 / fan ** 0.5 if fan > 1 else 0.7)))
        out[f"{prefix}.{name}"] = p.half()
    return out


def lycoris():
    """Kinds beside plain LoRA, each on some layer of tiny-sd's UNet."""
    folder = os.path.join(MODELS, "tiny-sd", "unet")
    unet = UNet2DConditionModel.from_pretrained(folder).eval()
    block = "mid_block.attentions.0.transformer_blocks.0."
    rows = [  # layer, module class, its configuration, rank
        (block + "attn1.to_q", LohaLinear, LoHaConfig(), 2),
        ("mid_block.resnets.0.conv1", LohaConv, LoHaConfig(), 2),
        ("mid_block.resnets.0.conv2", LohaConv, LoHaConfig(use_effective_conv2d=True), 2),
        (block + "attn1.to_k", LokrLinear, LoKrConfig(), 1),
        (block + "ff.net.2", LokrLinear, LoKrConfig(decompose_both=True), 1),
        ("mid_block.resnets.1.conv1", LokrConv, LoKrConfig(), 1),
        ("mid_block.resnets.1.conv2", LokrConv, LoKrConfig(use_effective_conv2d=True), 1),
    ]
    tensors = {}
    for n, (name, kind, config, rank) in enumerate(rows):
        layer, base = unet.get_submodule(name), "lora_unet_" + name.replace(".", "_")
        module = kind(layer, adapter_name="a", config=config, r=rank, alpha=1.5)
        state = {k.split(".")[0]: p for k, p in module.named_parameters() if k.endswith(".a")}
        tensors.update(factors(8000 + 10 * n, state, base))
        tensors[base + ".alpha"] = torch.tensor(1.5).half()
        layer.weight.copy_(layer.weight + module.get_delta_weight("a"))
    name = "down_blocks.0.resnets.0.conv1"  # LoCon with a convolution of its own in the middle
    layer, base = unet.get_submodule(name), "lora_unet_" + name.replace(".", "_")
    down, mid = half(randn(8101, 2, layer.in_channels, 1, 1)), half(randn(8102, 2, 2, 3, 3) / 3)
    up = half(randn(8103, layer.out_channels, 2, 1, 1) / 3)
    tensors.update({base + ".lora_down.weight": down.half(), base + ".lora_mid.weight": mid.half(),
                    base + ".lora_up.weight": up.half(), base + ".alpha": torch.tensor(1.0).half()})
    conv = torch.nn.functional.conv2d
    layer.register_forward_hook(
        lambda _m, args, y: y + 0.5 * conv(conv(conv(args[0], down), mid, padding=1), up))
    save("sd_lycoris", tensors)
    latent, encoder = randn(621, 1, 4, 8, 8), randn(622, 1, 9, unet.config.cross_attention_dim)
    out = unet(latent, 501.0, encoder_hidden_states=encoder).sample
    save_golden("lora_lycoris", {"latent": latent, "timestep": torch.tensor([501.0]),
                                 "encoder": encoder, "output": out}, "one timestep")


def pixart():
    folder = os.path.join(MODELS, "tiny-pixart", "transformer")
    model = PixArtTransformer2DModel.from_pretrained(folder).eval()
    config = model.config
    targets = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "pos_embed.proj",
               "proj_out", "linear", "linear_1", "linear_2"]
    adapt(model, 9000, 3, 3, targets)
    state = {k.replace(".default", ""): p for k, p in model.named_parameters() if ".lora_" in k}
    save("pixart", {"base_model.model." + k: v.half() for k, v in state.items()})
    mask = torch.tensor([[1] * 7 + [0] * 2, [1] * 9])
    inputs = {"latent": randn(631, 2, config.in_channels, 8, 8), "mask": mask.int(),
              "encoder": randn(632, 2, 9, config.caption_channels), "timestep": torch.tensor([371.0])}
    out = model(inputs["latent"], encoder_hidden_states=inputs["encoder"],
                encoder_attention_mask=mask, timestep=torch.tensor([371.0, 371.0]),
                added_cond_kwargs={"resolution": None, "aspect_ratio": None}).sample
    save_golden("lora_pixart", {**inputs, "output": out}, "batch 2, one timestep")


def t5():
    """A rank-stabilized LoRA, whose scale is alpha / sqrt(rank), of a T5 encoder; with diffusers' names."""
    model = T5EncoderModel.from_pretrained(os.path.join(MODELS, "tiny-pixart", "text_encoder"),
                                           attn_implementation="eager").eval()
    targets = ["q", "k", "v", "o", "wi_0", "wi_1", "wo"]
    ids = torch.randint(3, model.config.vocab_size - 40, (2, 9),
                        generator=torch.Generator().manual_seed(641))
    mask = torch.tensor([[1] * 7 + [0] * 2, [1] * 9])
    before = model(input_ids=ids, attention_mask=mask).last_hidden_state
    config = LoraConfig(r=3, lora_alpha=2, use_rslora=True, target_modules=targets, init_lora_weights=False)
    adapt(model, 13000, 3, 2, targets, config)
    state = {k.replace(".default", ""): p for k, p in model.named_parameters() if ".lora_" in k}
    words = {"text_encoder.r": 3, "text_encoder.lora_alpha": 2, "text_encoder.use_rslora": True}
    save("t5_rslora", {"text_encoder." + k: v.half() for k, v in state.items()},
         {"lora_adapter_metadata": json.dumps(words)})
    out = model(input_ids=ids, attention_mask=mask).last_hidden_state
    save_golden("lora_t5", {"ids": ids.int(), "mask": mask.int(), "output": out, "output.without": before},
                "ids [2,T], mask [2,T]; output = last_hidden_state")


def sgm(module):
    """Name of an SDXL UNet's attention layer in the original code; two resnets per level here."""
    found = re.match(r"(down|up)_blocks\.(\d+)\.attentions\.(\d+)\.(.*)", module)
    if not found:
        return re.sub(r"^mid_block\.attentions\.0\.", "middle_block.1.", module)
    level, index = int(found[2]), int(found[3])
    side = f"input_blocks.{3 * level + index + 1}" if found[1] == "down" else (
        f"output_blocks.{3 * level + index}")
    return f"{side}.1.{found[4]}"


def pipelines():
    """Final latents with LoRAs that diffusers reads from the files."""
    folder = os.path.join(MODELS, "tiny-xl")
    unet = UNet2DConditionModel.from_pretrained(os.path.join(folder, "unet")).eval()
    texts = [CLIPTextModel.from_pretrained(os.path.join(folder, "text_encoder")),
             CLIPTextModelWithProjection.from_pretrained(os.path.join(folder, "text_encoder_2"))]
    tensors = kohya("lora_unet_", adapt(unet, 10000, 2, 1, ATTENTION), 1, sgm)
    for i, text in enumerate(texts):
        tensors.update(kohya(f"lora_te{i + 1}_", adapt(text.eval(), 11000 + 1000 * i, 2, 2, TEXT), 2))
    save("xl_kohya", tensors)
    out = {}
    for name, kind, files in (("sd", StableDiffusionPipeline, [("sd_kohya", 0.7)]),
                              ("xl", StableDiffusionXLPipeline, [("xl_kohya", 0.8)])):
        pipe = kind.from_pretrained(os.path.join(MODELS, "tiny-" + name))
        pipe.set_progress_bar_config(disable=True)
        for file, _ in files:
            pipe.load_lora_weights(LORAS, weight_name=file + ".safetensors", adapter_name=file)
        pipe.set_adapters([f for f, _ in files], [s for _, s in files])
        out[name] = pipe(prompt="a red cube", negative_prompt="blurry", num_inference_steps=3,
                         guidance_scale=4.5, generator=torch.Generator().manual_seed(42),
                         output_type="latent", height=16, width=16).images
    save_golden("pipeline_lora", {"latents." + k: v for k, v in out.items()},
                "seed 42, 3 steps, guidance 4.5, 16 x 16 pixels")


if __name__ == "__main__":
    sd()
    lycoris()
    pixart()
    t5()
    pipelines()

"""What one-bit training has to know of a kind of model: its path from noise to picture, its layers.

A kind has `whole` (the trainer's network with its text encoder), its `net` (what is trained), `text` and
`tokens`, and says how the network is called (`look`), which times a path has (`time`), how many bases a layer gets
(`bases_of`) and with how many bits it reads its input (`bits_of`; 0: as it is).
"""
import json

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

import dit
import models
import text as text_stage
import unet_models

STEPS = 4


class Kind:
    """Pads texts to the full length; on the rest the kinds differ."""

    def read(self, texts):
        """(hidden states, mask) of captions"""
        ids, mask = self.tokens(texts)
        pad = models.MAX_TOKENS - ids.shape[1]
        ids, mask = F.pad(ids, (0, pad)), F.pad(mask, (0, pad))
        return self.text(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def step(self, x, v, i):
        return self.whole.step(x, v, 1 - i / STEPS, 1 - (i + 1) / STEPS)

    def bits_of(self, name):
        return 0


class Dit(Kind):
    """scenes-dit: flow matching, Euler steps."""

    part = "transformer"
    BINARY = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_q",
              "attn2.to_out.0", "ff.net.0.proj", "ff.net.2")
    # Where attention looks is as well said by one sign: the second is worth 0.002 of the last latents.
    ONE = ("attn1.to_q", "attn1.to_k", "attn2.to_q")
    TAPS = (2, 4, 6, 8) # blocks behind which tokens are compared

    def __init__(self, folder, outer):
        whole = dit.from_folder(folder)
        self.whole, self.net, self.text, self.outer = whole, whole.dit, whole.text, outer
        self.tokens = text_stage.Tokens(folder + "/tokenizer")

    def bases_of(self, name):
        """`outer` in the first and the last block but for ONE, one in those between."""
        if not name.endswith(self.BINARY) or not name.startswith("transformer_blocks."):
            return 0
        outside = int(name.split(".")[1]) in (0, models.DEPTH - 1)
        return self.outer if outside and not name.endswith(self.ONE) else 1

    @staticmethod
    def is_matrix(name, p):
        return dit.is_matrix(name, p) and "factor" not in name

    def look(self, x, t, h, mask):
        """(what the network says, [tokens of each tap])"""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return models.denoise(self.net, x, t, h, mask, self.TAPS)

    def time(self, i):
        return 1 - i / STEPS

    def plain(self):
        return models.transformer()


class Unet(Kind):
    """scenes-unet: v on the discrete schedule, DDIM steps with trailing spacing."""

    part = "unet"
    HIGH = ("conv_in", "conv_out", "conv_shortcut", "time_embedding", "time_emb_proj", "attn2.to_k",
            "attn2.to_v")
    OUTER = ("down_blocks.0.", "up_blocks.1.") # 16 x 16: few weights, much to draw
    # What goes into the residual stream, and values, which attention can but mix.
    TWO = ("proj_out", "to_out.0", "attn1.to_v")

    def __init__(self, folder, outer):
        text = CLIPTextModel.from_pretrained(folder + "/text_encoder").float()
        whole = unet_models.Denoiser(text.requires_grad_(False))
        kept = UNet2DConditionModel.from_pretrained(folder + "/unet").float()
        whole.unet.load_state_dict(kept.state_dict())
        self.whole, self.net, self.text, self.outer = whole, whole.unet, text, outer
        self.tokens = unet_models.Tokens(folder + "/tokenizer")
        self.tapped = {}
        for tap in ("down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"):
            self.net.get_submodule(tap).register_forward_hook(self.keep(tap))

    def keep(self, tap):
        def hook(module, inputs, output):
            self.tapped[tap] = output[0] if isinstance(output, tuple) else output
        return hook

    def bases_of(self, name):
        if any(part in name for part in self.HIGH):
            return 0
        return self.outer if name.startswith(self.OUTER) or name.endswith(self.TWO) else 1

    def bits_of(self, name):
        return 4

    @staticmethod
    def is_matrix(name, p):
        return p.dim() in (2, 4) and "factor" not in name and not any(
            part in name for part in ("conv_in", "conv_out", "time_embedding"))

    def read(self, texts):
        ids, mask = self.tokens(texts) # no mask: padding is text too
        return self.text(input_ids=ids).last_hidden_state, mask

    def look(self, x, t, h, mask):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            v = self.net(x, self.whole.index(t), encoder_hidden_states=h).sample.float()
        return v, [tap.flatten(2).mT for tap in self.tapped.values()]

    def time(self, i):
        return 1 - i / STEPS - 0.0005 # in the middle of level 999, 749, ..

    def plain(self):
        return unet_models.unet()


def open_kind(folder, outer):
    with open(folder + "/model_index.json") as f:
        return (Unet if "unet" in json.load(f) else Dit)(folder, outer)

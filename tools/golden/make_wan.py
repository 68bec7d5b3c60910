"""Golden outputs of the tiny Wan transformer and of the UMT5 encoder beside it."""
import os

from common import MODELS, generator, randn, save_golden

import torch
from diffusers import WanTransformer3DModel
from transformers import UMT5EncoderModel


def tall(x):
    """[B, C, F, H, W] -> [B, C, F * H, W]: frames one below the other."""
    return x.reshape(x.shape[0], x.shape[1], -1, x.shape[-1])


def transformer():
    model = WanTransformer3DModel.from_pretrained(os.path.join(MODELS, "tiny-wan", "transformer")).eval()
    out = {"timestep": torch.tensor([999.0, 417.0]), "text": randn(602, 2, 11, 32)}
    for name, shape in (("clip", (3, 4, 6)), ("picture", (1, 6, 4))):
        latent = randn(601, 2, 4, *shape)
        out[f"latent.{name}"] = tall(latent)
        out[f"output.{name}"] = tall(model(latent, out["timestep"], out["text"]).sample)
    cos, sin = model.rope(torch.zeros(1, 4, 3, 4, 6))
    # one number per pair, cosine and sine beside each other
    out["positions"] = torch.stack([cos[0, :, 0, 0::2], sin[0, :, 0, 1::2]], -1).flatten(1).float()
    save_golden("wan_tiny", out, "batch 2; frames below one another")


def umt5():
    model = UMT5EncoderModel.from_pretrained(os.path.join(MODELS, "tiny-wan", "text_encoder"),
                                             attn_implementation="eager").eval()
    length = 20
    ids = torch.randint(3, 700, (2, length), generator=generator(611))
    mask = torch.zeros(2, length, dtype=torch.int64)
    for row, n in enumerate((length - 3, 5)):
        ids[row, n - 1] = 1
        ids[row, n:] = 0
        mask[row, :n] = 1
    out = {"ids": ids.int(), "mask": mask.int(),
           "output.masked": model(input_ids=ids, attention_mask=mask).last_hidden_state,
           "output.unmasked": model(input_ids=ids, attention_mask=torch.ones_like(mask)).last_hidden_state}
    save_golden("umt5_tiny", out, "ids [2,T], mask [2,T]; output.* = last_hidden_state")


if __name__ == "__main__":
    transformer()
    umt5()

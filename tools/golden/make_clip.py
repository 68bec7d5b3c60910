"""Golden outputs of the tiny CLIP text encoders: clip_tiny (projection), clip_gelu, clip ids."""
import os

from common import MODELS, generator, save_golden

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection


def run(folder, part, name, seed, kind):
    model = kind.from_pretrained(os.path.join(MODELS, folder, part), attn_implementation="eager").eval()
    eos, length = model.config.eos_token_id, 20
    ids = torch.randint(0, eos - 1, (2, length), generator=generator(seed))
    for row, n in enumerate((length, 7)):  # the second one padded with the end of text
        ids[row, 0], ids[row, n - 1:] = eos - 1, eos
    out = model(input_ids=ids, output_hidden_states=True)
    tensors = {"ids": ids.int(), "ends": torch.tensor([length - 1, length + 6]).int(),
               "hidden.last": out.last_hidden_state, "hidden.penultimate": out.hidden_states[-2],
               "pooled": out.text_embeds if "text_embeds" in out else out.pooler_output}
    inner = getattr(model, "text_model", model)
    tensors["hidden.penultimate_normed"] = inner.final_layer_norm(out.hidden_states[-2])
    save_golden(name, tensors, "ids [2,T]; ends: rows of the end of text in [2T]; hidden.* [2,T,C]")


if __name__ == "__main__":
    run("tiny-sd", "text_encoder", "clip_tiny", 401, CLIPTextModel)
    run("tiny-xl", "text_encoder_2", "clip_projection", 402, CLIPTextModelWithProjection)

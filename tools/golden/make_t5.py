"""Golden outputs of the tiny T5 encoders: t5_tiny and t5_narrow."""
import os

from common import MODELS, generator, hook_outputs, save_golden

import torch
from transformers import T5EncoderModel


def run(folder, name, seed, length):
    model = T5EncoderModel.from_pretrained(os.path.join(MODELS, folder, "text_encoder"),
                                           attn_implementation="eager").eval()
    gen = generator(seed)
    ids = torch.randint(3, model.config.vocab_size - 40, (2, length), generator=gen)
    lengths = [length - 3, 5]  # different, both with padding behind the eos
    mask = torch.zeros(2, length, dtype=torch.int64)
    for row, n in enumerate(lengths):
        ids[row, n - 1] = 1
        ids[row, n:] = 0
        mask[row, :n] = 1

    out = {"ids": ids.int(), "mask": mask.int()}
    stack = model.encoder
    for suffix, attention_mask in (("masked", mask), ("unmasked", None)):
        steps = {}
        handles = hook_outputs([(f"block.{i}.{suffix}", b) for i, b in enumerate(stack.block)], steps)
        handles += hook_outputs([(f"block.0.attention.{suffix}", stack.block[0].layer[0].SelfAttention)], steps)
        out[f"output.{suffix}"] = model(input_ids=ids, attention_mask=attention_mask).last_hidden_state
        for h in handles:
            h.remove()
        out.update(steps)
    attention = stack.block[0].layer[0].SelfAttention
    # bias[head, query, key]; the same for every query-key distance
    out["position_bias"] = attention.compute_bias(length, length)[0]
    # bucket of rel = key - query for rel = -512..512
    rel = torch.arange(-512, 513)
    out["buckets"] = attention._relative_position_bucket(
        rel, bidirectional=True, num_buckets=32, max_distance=128).int()
    save_golden(name, out, "ids [2,T], mask [2,T]; output.* = last_hidden_state; buckets: key-query -512..512")


if __name__ == "__main__":
    run("tiny-pixart", "t5_tiny", 201, 20)
    run("tiny-t5-narrow", "t5_narrow", 202, 40)

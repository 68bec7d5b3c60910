"""Teach the CLIP text encoder to read captions, before the denoiser needs it.

    python clip_text.py --tokenizer DIR --out FILE.pt

A causal encoder knows the whole caption from the end of text on: from there, and from the padding
after it, linear heads read the layout, both objects, and ground and sky where they are named; each
word says which object it belongs to. Short captions first, as for T5 (text.py).
"""
import argparse
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import captions
import data
import muon
import text as t5
import unet_models


def roles(tokens, text, things):
    """Per token: 0 in the words for the first object, 1 in those for the second, .., else SILENT."""
    out = [t5.SILENT] * unet_models.MAX_TOKENS
    encoded = tokens.tok(text, return_offsets_mapping=True)["offset_mapping"]
    for role, words in enumerate(things):
        at = text.find(words)
        for i, (begin, end) in enumerate(encoded[:len(out)]):
            if end > begin and at <= begin and end <= at + len(words):
                out[i] = role
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=1500)
    ap.add_argument("--bare-steps", type=int, default=400)
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(3)
    tokens = unet_models.Tokens(args.tokenizer)
    scenes = data.describe(0, 24000)
    model = unet_models.text_encoder(len(tokens.tok))
    names = list(captions.HEADS)
    heads = nn.ModuleDict({k: nn.Linear(unet_models.TEXT_WIDTH, len(captions.HEADS[k])) for k in names})
    role = nn.Linear(unet_models.TEXT_WIDTH, len(captions.SLOTS))
    readers = list(heads.named_parameters()) + list(role.named_parameters())
    opt = muon.make(list(model.named_parameters()) + readers, 0.01, 2e-3,
                    lambda n, p: p.dim() == 2 and "encoder.layers" in n)
    begin, recent = time.process_time(), []
    for step in range(args.steps):
        for g in opt.param_groups:
            g["lr"] = g["base"] * min(1, step / 60, (args.steps - step) / 300)
        batch = [scenes[i] for i in rng.integers(0, len(scenes), 64)]
        writer, texts, things = captions.Writer(rng), [], []
        for s in batch:
            texts.append(writer.caption(s, step < args.bare_steps))
            things.append(writer.things)
        ids, mask = tokens(texts)
        part = torch.tensor([roles(tokens, *x) for x in zip(texts, things)])
        want = torch.tensor([t5.said(s, t) for s, t in zip(batch, texts)])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = model(input_ids=ids).last_hidden_state
        h = h.float()
        knows = (mask.cumsum(1) == mask.sum(1, keepdim=True)).float() # end of text and padding
        end = h[torch.arange(len(h)), mask.sum(1).long() - 1]
        loss = t5.cross_entropy(role(h).flatten(0, 1), part.flatten())
        good = torch.ones(len(h), dtype=torch.bool)
        for c, k in enumerate(names):
            each = want[:, c:c + 1].expand(-1, h.shape[1]).masked_fill(knows == 0, t5.SILENT)
            out = heads[k](end)
            loss = loss + t5.cross_entropy(out, want[:, c]) + 0.3 * t5.cross_entropy(
                heads[k](h).flatten(0, 1), each.flatten())
            good &= (out.argmax(1) == want[:, c]) | (want[:, c] == t5.SILENT)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        recent.append(good.float().mean().item())
        if step % 50 == 49:
            print(step + 1, round(loss.item(), 3), "read", round(np.mean(recent[-20:]), 4),
                  round(time.process_time() - begin), "s", flush=True)
    torch.save(dict(text=model.state_dict(), vocab=len(tokens.tok)), args.out)


if __name__ == "__main__":
    main()

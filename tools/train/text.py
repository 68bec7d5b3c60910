"""Teach the text encoder to read captions, before the denoiser needs it.

    python text.py --tokenizer DIR --out FILE.pt

From every token, and from their mean, linear heads read the layout, what the objects are, and the
ground and sky where the caption names them. The first part of the steps has objects only: which
word belongs to which object is the hard part, and is learnt sooner from short captions and by
asking each word for its object.
"""
import argparse
import time

import numpy as np
import sentencepiece as spm
import torch
import torch.nn as nn
import torch.nn.functional as F

import captions
import data
import models
import muon

SILENT = -100 # cross_entropy ignores what the caption does not say


class Tokens:
    def __init__(self, folder):
        self.sp = spm.SentencePieceProcessor(model_file=folder + "/spiece.model")

    def __call__(self, texts):
        """([B, L] ids, [B, L] mask), L as long as the longest needs."""
        rows = [self.sp.encode(t)[:models.MAX_TOKENS - 1] + [1] for t in texts]
        n = max(map(len, rows))
        ids = torch.tensor([r + [0] * (n - len(r)) for r in rows])
        mask = torch.tensor([[1.0] * len(r) + [0.0] * (n - len(r)) for r in rows])
        return ids, mask


def said(scene, text):
    """The labels, with what the caption leaves out marked SILENT; materials are not read."""
    out = captions.labels(scene)
    words = text + " "
    if not any(w in words for w in captions.GROUND_WORDS[scene["ground"]]):
        out[1] = SILENT
    if not any(w in words for w in captions.SKY_WORDS[scene["sky"]]):
        out[2] = SILENT
    return out


def roles(tokens, text, things, length):
    """Per token: 0 in the words for the first object, 1 in those for the second, else SILENT."""
    out = [SILENT] * length
    for role, words in enumerate(things):
        at = text.find(words)
        begin, end = (len(tokens.sp.encode(text[:n])) for n in (at, at + len(words)))
        out[begin:end] = [role] * (end - begin)
    return out


def cross_entropy(out, want):
    """The mean over what is not SILENT; 0 if all is."""
    return F.cross_entropy(out, want, reduction="sum") / (want != SILENT).sum().clamp(min=1)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=1200)
    ap.add_argument("--bare-steps", type=int, default=300)
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(3)
    tokens = Tokens(args.tokenizer)
    scenes = data.describe(0, 24000)
    model = models.text_encoder((len(tokens.sp) + 7) // 8 * 8)
    # The only source of word order; from its usual small start it takes too many steps to matter.
    torch.nn.init.normal_(
        model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight, std=2.0)
    names = [k for k in captions.HEADS if "material" not in k]
    columns = [list(captions.HEADS).index(k) for k in names]
    heads = nn.ModuleDict({k: nn.Linear(models.TEXT_WIDTH, captions.HEADS[k]) for k in names})
    role = nn.Linear(models.TEXT_WIDTH, 2)
    readers = list(heads.named_parameters()) + list(role.named_parameters())
    opt = muon.make(list(model.named_parameters()) + readers, 0.01, 2e-3,
                    lambda n, p: p.dim() == 2 and "encoder.block" in n and "bias" not in n)
    begin, recent, hits = time.process_time(), [], {k: [] for k in names}
    for step in range(args.steps):
        for g in opt.param_groups:
            g["lr"] = g["base"] * min(1, step / 60, (args.steps - step) / 150)
        batch = [scenes[i] for i in rng.integers(0, len(scenes), 64)]
        writer, bare = captions.Writer(rng), step < args.bare_steps
        texts, things = [], []
        for s in batch:
            texts.append(writer.caption(s, bare))
            things.append(writer.things)
        ids, mask = tokens(texts)
        part = torch.tensor([roles(tokens, *x, ids.shape[1]) for x in zip(texts, things)])
        want = torch.tensor([said(s, t) for s, t in zip(batch, texts)])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = model(input_ids=ids, attention_mask=mask).last_hidden_state
        h = h.float()
        mean = (h * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        loss = cross_entropy(role(h).flatten(0, 1), part.flatten())
        good = torch.ones(64, dtype=torch.bool)
        for k, c in zip(names, columns):
            each = want[:, c:c + 1].expand(-1, h.shape[1]).masked_fill(mask == 0, SILENT)
            out = heads[k](mean)
            loss = loss + cross_entropy(out, want[:, c]) + 0.3 * cross_entropy(
                heads[k](h).flatten(0, 1), each.flatten())
            hits[k].append(((out.argmax(1) == want[:, c]).sum() / (want[:, c] != SILENT).sum()
                            .clamp(min=1)).item())
            good &= (out.argmax(1) == want[:, c]) | (want[:, c] == SILENT)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        recent.append(good.float().mean().item())
        if step % 50 == 49:
            print(step + 1, round(loss.item(), 3), "read", round(np.mean(recent[-20:]), 4),
                  {k: round(float(np.mean(v[-20:])), 2) for k, v in hits.items()},
                  round(time.process_time() - begin), "s", flush=True)
            torch.save(dict(text=model.state_dict()), args.out)
    torch.save(dict(text=model.state_dict()), args.out)


if __name__ == "__main__":
    main()

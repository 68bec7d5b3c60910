"""Teach the text encoder to read captions, before the denoiser needs it.

    python text.py --tokenizer DIR --out FILE.pt

What a word is taught to tell is its own: a colour its colour, a shape its shape, the words of
ground and sky what these are. Of the rest of the caption it tells only how things stand: each word
of an object where that object stands, every word the layout. A twin of each caption, with the
colours or the shapes changed, shows the encoder what it must not tell: words that both have must
come out alike. So the denoiser meets colours and shapes one by one, never a combination in one
token that it could learn to know. Short captions first.
"""
import argparse
import json
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
# How the first and the second object of each layout stand.
STANDINGS = {"single": ["single"], "left-right": ["left", "right"],
             "front-behind": ["front", "behind"], "on-top": ["top", "under"],
             "row": ["left", "middle", "right"], "group": ["group"]}
STANDING = list(dict.fromkeys(s for those in STANDINGS.values() for s in those))
WORDS = dict(color=len(captions.COLORS), shape=len(captions.SHAPES), size=len(captions.SIZES),
             pattern=len(captions.PATTERNS), ground=len(captions.GROUNDS), sky=len(captions.SKIES))
CLASS_OF = {w: (kind, i) for kind, names, table in (
    ("color", captions.COLORS, captions.COLOR_WORDS), ("size", captions.SIZES, captions.SIZE_WORDS),
    ("shape", captions.SHAPES, captions.SHAPE_WORDS)) for i, n in enumerate(names) for w in table[n]}
CLASS_OF.update({captions.plural(w): c for w, c in list(CLASS_OF.items()) if c[0] == "shape"})
CLASS_OF[captions.STRIPED] = ("pattern", captions.PATTERNS.index("striped"))


class World:
    """What captions of pictures tell beside their words' own classes."""
    writer = captions.Writer
    standing = STANDING
    own = dict(standing=len(STANDING), layout=len(captions.LAYOUTS), count=len(captions.COUNTS),
               **WORDS)

    @staticmethod
    def whole(scene):
        """What every word tells."""
        return dict(layout=captions.LAYOUTS.index(scene["layout"]), count=len(scene["objects"]) - 1)

    @staticmethod
    def standings(scene):
        """What the words of each object tell."""
        return STANDINGS[scene["layout"]]


class Tokens:
    def __init__(self, folder):
        self.sp = spm.SentencePieceProcessor(model_file=folder + "/spiece.model")
        with open(folder + "/tokenizer_config.json") as f:
            self.most = json.load(f)["model_max_length"]

    def __call__(self, texts):
        """([B, L] ids, [B, L] mask), L as long as the longest needs."""
        rows = [self.sp.encode(t)[:self.most - 1] + [1] for t in texts]
        n = max(map(len, rows))
        ids = torch.tensor([r + [0] * (n - len(r)) for r in rows])
        mask = torch.tensor([[1.0] * len(r) + [0.0] * (n - len(r)) for r in rows])
        return ids, mask


def said(scene, text):
    """The labels, with what the caption leaves out marked SILENT."""
    out, names = captions.labels(scene), list(captions.HEADS)
    words = text + " "
    if not any(w in words for w in captions.GROUND_WORDS[scene["ground"]]):
        out[names.index("ground")] = SILENT
    if not any(w in words for w in captions.SKY_WORDS[scene["sky"]]):
        out[names.index("sky")] = SILENT
    return out


def cross_entropy(out, want):
    """The mean over what is not SILENT; 0 if all is."""
    return F.cross_entropy(out, want, reduction="sum") / (want != SILENT).sum().clamp(min=1)


def span(tokens, text, words):
    """The pieces [begin, end) of `words` in `text`."""
    at = text.find(words)
    return (len(tokens.sp.encode(text[:n])) for n in (at, at + len(words)))


def own(world, tokens, scene, text, things, scenery, length):
    """{what: per token the class that it has to tell, or SILENT}. Words are one piece each."""
    out = {k: [SILENT] * length for k in world.own}
    out.update({k: [index] * length for k, index in world.whole(scene).items()})
    for standing, words in zip(world.standings(scene), things):
        begin, end = span(tokens, text, words)
        out["standing"][begin:end] = [world.standing.index(standing)] * (end - begin)
        for i, word in enumerate(words.split()):
            if word in CLASS_OF:
                what, index = CLASS_OF[word]
                out[what][begin + i] = index
    for what, names, words in zip(("ground", "sky"), (captions.GROUNDS, captions.SKIES), scenery):
        if words:
            begin, end = span(tokens, text, words)
            out[what][begin:end] = [names.index(scene[what])] * (end - begin)
    return out


class Twins:
    """Captions with other colours, or other shapes, in the same words otherwise; what is held out
    from training is not said in them either."""

    def __init__(self, scenes, rng):
        self.rng = rng
        self.known = {key for s in scenes for key in self.keys(s["objects"])}

    @staticmethod
    def keys(objects):
        """Each object, and each pair of them."""
        own = [(o["color"], o["shape"]) for o in objects]
        return [(o,) for o in own] + [tuple(sorted((own[i], own[j])))
                                      for i in range(len(own)) for j in range(i)]

    def changed(self, objects):
        """Colours, shapes or both drawn anew until training knows the result; what was alike stays so."""
        lot, alike = self.rng.random(), all(o == objects[0] for o in objects)
        while True:
            fresh = [dict(o) for o in objects]
            for o in fresh[:1] if alike else fresh:
                if lot < 0.6:
                    o["color"] = captions.COLORS[self.rng.integers(len(captions.COLORS))]
                if lot > 0.4:
                    o["shape"] = captions.SHAPES[self.rng.integers(len(captions.SHAPES))]
            fresh = fresh[:1] * len(fresh) if alike else fresh
            if self.known.issuperset(self.keys(fresh)):
                return fresh

    def phrase(self, words, before, after):
        """`words` for the object `before`, now for `after`; a word whose class stays, stays."""
        out = words.split()
        for i, word in enumerate(out):
            if word in CLASS_OF:
                what = CLASS_OF[word][0]
                if before.get(what) != after.get(what):
                    table = captions.COLOR_WORDS if what == "color" else captions.SHAPE_WORDS
                    choice = table[after[what]]
                    noun = choice[self.rng.integers(len(choice))]
                    many = what == "shape" and words.split()[0] in captions.COUNTS
                    out[i] = captions.plural(noun) if many else noun
        if out[0] in ("a", "an"):
            return captions.article(" ".join(out[1:]))
        return " ".join(out)

    def twin(self, scene, text, things):
        after = self.changed(scene["objects"])
        phrases = [self.phrase(*x) for x in zip(things, scene["objects"], after)]
        for i, words in enumerate(things):
            text = text.replace(words, f"<{i}>")
        for i, words in enumerate(phrases):
            text = text.replace(f"<{i}>", words)
        return dict(scene, objects=after), text, phrases


def unlikeness(a, b, same):
    """The mean square distance of the tokens marked `same`, against their mean square length."""
    distance = (a - b).square().mean(-1)
    length = 0.5 * (a.square() + b.square()).mean(-1).detach()
    return (distance / length)[same].mean()


class Lesson:
    """A batch of captions, each followed by its twin, with what their tokens have to tell."""

    def __init__(self, world, tokens, scenes, twins, count, bare=False):
        rng, rows = twins.rng, []
        writer = world.writer(rng)
        for i in rng.integers(0, len(scenes), count):
            text = writer.caption(scenes[i], bare)
            rows.append((scenes[i], text, writer.things, writer.scenery))
            rows.append((*twins.twin(scenes[i], text, writer.things), writer.scenery))
        self.rows = rows
        self.ids, self.mask = tokens([r[1] for r in rows])
        told = [own(world, tokens, *r, self.ids.shape[1]) for r in rows]
        silent = self.mask == 0
        self.want = {k: torch.tensor([t[k] for t in told]).masked_fill(silent, SILENT)
                     for k in world.own}
        self.same = (self.ids[0::2] == self.ids[1::2]) & ~silent[0::2]


def read(model, heads, lesson):
    """(hidden states, {what: logits per token})"""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = model(input_ids=lesson.ids, attention_mask=lesson.mask).last_hidden_state
    h = h.float()
    return h, {k: head(h) for k, head in heads.items()}


def right(out, want):
    """The share of tokens that tell what they have to."""
    told = want != SILENT
    return (out.argmax(-1) == want)[told].float().mean().item()


@torch.no_grad()
def examine(world, model, heads, tokens, twins, scenes):
    """On captions of held-out scenes: what is told, and how far twins are apart."""
    lesson = Lesson(world, tokens, scenes, twins, 500)
    h, out = read(model, heads, lesson)
    result = {k: round(right(out[k], lesson.want[k]), 4) for k in world.own}
    return result, unlikeness(h[0::2], h[1::2], lesson.same).item()


def leak(world, model, heads, tokens, twins, scenes, source, target):
    """How well a linear probe reads an object's `target` off its word of `source`; the probe learns
    on one half of the captions. Telling nothing, it is right once in seven or five times."""
    lesson = Lesson(world, tokens, scenes, twins, 3000)
    with torch.no_grad():
        h, _ = read(model, heads, lesson)
    rows, wants = [], []
    for i, (scene, text, things, _) in enumerate(lesson.rows):
        for words, o in zip(things, scene["objects"]):
            begin, _ = span(tokens, text, words)
            at = [k for k, w in enumerate(words.split()) if CLASS_OF.get(w, " ")[0] == source]
            rows.append(h[i, begin + at[0]])
            names = captions.COLORS if target == "color" else captions.SHAPES
            wants.append(names.index(o[target]))
    x, y = torch.stack(rows), torch.tensor(wants)
    probe, half = nn.Linear(x.shape[1], world.own[target]), len(x) // 2
    opt = torch.optim.Adam(probe.parameters(), lr=0.02)
    for _ in range(200):
        loss = F.cross_entropy(probe(x[:half]), y[:half])
        opt.zero_grad()
        loss.backward()
        opt.step()
    return right(probe(x[half:]), y[half:])


def teach(world, model, tokens, scenes, held_out, args):
    """Trains `model`, a T5 or UMT5 encoder, saves it in args.out and says what it tells."""
    twins = Twins(scenes, np.random.default_rng(3))
    # The only source of word order; from its usual small start it takes too many steps to matter.
    for name, p in model.named_parameters():
        if "relative_attention_bias" in name:
            torch.nn.init.normal_(p, std=2.0)
    heads = nn.ModuleDict({k: nn.Linear(models.TEXT_WIDTH, n) for k, n in world.own.items()})
    opt = muon.make(list(model.named_parameters()) + list(heads.named_parameters()), 0.01, 2e-3,
                    lambda n, p: p.dim() == 2 and "encoder.block" in n and "bias" not in n)
    begin, recent = time.process_time(), []
    for step in range(args.steps):
        for g in opt.param_groups:
            g["lr"] = g["base"] * min(1, step / 60, (args.steps - step) / 150)
        lesson = Lesson(world, tokens, scenes, twins, 32, step < args.bare_steps)
        h, out = read(model, heads, lesson)
        apart = unlikeness(h[0::2], h[1::2], lesson.same)
        loss = args.alike * apart + sum(
            cross_entropy(out[k].flatten(0, 1), lesson.want[k].flatten()) for k in world.own)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        recent.append([right(out[k], lesson.want[k]) for k in world.own] + [apart.item()])
        if step % 50 == 49:
            mean = np.nanmean(recent[-20:], axis=0).round(4).tolist()
            print(step + 1, round(loss.item(), 3), dict(zip([*world.own, "apart"], mean)),
                  round(time.process_time() - begin), "s", flush=True)
    torch.save(dict(text=model.state_dict()), args.out)
    print("held-out captions", *examine(world, model, heads, tokens, twins, held_out))
    for source, target in (("color", "shape"), ("shape", "color")):
        print(f"{target} read off words of {source}:",
              leak(world, model, heads, tokens, twins, scenes, source, target))


def arguments(text):
    ap = argparse.ArgumentParser(description=text)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=1200)
    ap.add_argument("--bare-steps", type=int, default=300)
    ap.add_argument("--alike", type=float, default=20.0, help="share of the twins' unlikeness")
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return args


def main():
    args = arguments(__doc__)
    tokens = Tokens(args.tokenizer)
    teach(World, models.text_encoder((len(tokens.sp) + 7) // 8 * 8), tokens, data.describe(0, 24000),
          data.describe(9_000_000, 2000, "held-out"), args)


if __name__ == "__main__":
    main()

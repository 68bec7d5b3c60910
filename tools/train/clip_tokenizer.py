"""Train CLIP's byte-level BPE tokenizer on captions: vocab.json, merges.txt and their configs.

    python clip_tokenizer.py --out DIR

Every word of the captions becomes one token; any other text falls into the byte symbols, as in the
large models. Ids: 256 byte symbols, the same at a word's end, the merges, start and end of text.
"""
import argparse
import collections
import json
import os

import numpy as np

import captions
import data

MAX_TOKENS = 40
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_symbols():
    """Printable bytes stand for themselves and come first, the others are shifted past 255."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def learn_merges(counts):
    """{word: count} -> merges, the most frequent pair first, until every word is one symbol."""
    words = {w: list(w[:-1]) + [w[-1] + "</w>"] for w in counts}
    merges = []
    while True:
        pairs = collections.Counter()
        for w, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[w]
        if not pairs:
            return merges
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        for w, parts in words.items():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i:i + 2] = ["".join(best)]
                i += 1


def save(folder, merges):
    os.makedirs(folder, exist_ok=True)
    symbols = byte_symbols()
    vocab = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in merges] + [START, END]
    with open(folder + "/vocab.json", "w") as f:
        json.dump({s: i for i, s in enumerate(vocab)}, f, ensure_ascii=False)
    with open(folder + "/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    special = dict(bos_token=START, eos_token=END, pad_token=END, unk_token=END)
    for name, more in (("special_tokens_map", {}),
                       ("tokenizer_config", dict(tokenizer_class="CLIPTokenizer", do_lower_case=True,
                                                 model_max_length=MAX_TOKENS))):
        with open(f"{folder}/{name}.json", "w") as f:
            json.dump(dict(**more, **special), f, indent=2)
            f.write("\n")
    return len(vocab)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", required=True)
    args = ap.parse_args()
    rng = np.random.default_rng(7)
    counts = collections.Counter()
    for scene in data.describe(0, 20000, "all"):
        counts.update(captions.caption(scene, rng, empty=0.0).replace(",", " , ").split())
    print(save(args.out, learn_merges(counts)), "entries,", len(counts), "words")


if __name__ == "__main__":
    main()

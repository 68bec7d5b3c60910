"""Train the T5 Unigram tokenizer on captions and save it in both file formats.

    python tokenizer.py --out DIR          writes spiece.model, tokenizer.json and their configs
    python tokenizer.py --out DIR --clips  the same for captions of clips
"""
import argparse
import json
import os
import shutil

import numpy as np
import sentencepiece as spm
from transformers import T5Tokenizer

import captions
import data
import video_captions
import video_data

MAX_TOKENS = 40
MAX_CLIP_TOKENS = 32 # of captions of clips
# Said in captions of other worlds; here only to give every letter a piece of its own.
ALPHABET = " ".join("abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"-:;()&")


def texts(clips, first_seed, count, seed, empty=0.1):
    """Captions of so many scenes or clips."""
    words, shown = (video_captions, video_data) if clips else (captions, data)
    rng = np.random.default_rng(seed)
    return [words.caption(s, rng, empty) for s in shown.describe(first_seed, count, "all")]


def train(folder, clips, count=60000):
    lines = texts(clips, 0, count, 7, empty=0.0)
    # The trainer proposes only pieces that it meets in two different words.
    words = sorted({w.strip(",") for line in lines for w in line.split()})
    lines += [f"{w} {w}, {w}." for w in words]
    lines += [ALPHABET] * 20
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    corpus = os.path.join(folder, "corpus.txt")
    with open(corpus, "w") as f:
        f.write("\n".join(lines))
    spm.SentencePieceTrainer.train(
        input=corpus, model_prefix=os.path.join(folder, "spiece"), model_type="unigram",
        vocab_size=250 if clips else 340, hard_vocab_limit=False, normalization_rule_name="nmt_nfkc",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, byte_fallback=False, character_coverage=1.0,
        num_threads=1, minloglevel=2)
    os.remove(corpus)
    os.remove(os.path.join(folder, "spiece.vocab"))


def save_fast(folder, longest):
    tok = T5Tokenizer.from_pretrained(folder, extra_ids=0, model_max_length=longest,
                                      additional_special_tokens=[])
    tok.save_pretrained(folder)
    special = dict(eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    with open(os.path.join(folder, "special_tokens_map.json"), "w") as f:
        json.dump(special, f, indent=2)
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump(dict(tokenizer_class="T5Tokenizer", extra_ids=0, additional_special_tokens=[],
                       model_max_length=longest, legacy=True, clean_up_tokenization_spaces=False,
                       **special), f, indent=2)


def check(folder, clips, most):
    """Both files must cut every text alike."""
    sp = spm.SentencePieceProcessor(model_file=os.path.join(folder, "spiece.model"))
    tok = T5Tokenizer.from_pretrained(folder)
    lines = texts(clips, 900_000, 3000, 8)
    lines += ["", "zebra  crossing ", "a caf\u00e9 \uff21\uff22 9", "a red ball, blue box!", "qwx\u4e2d"]
    longest = 0
    for t in lines:
        a, b = sp.encode(t) + [1], tok(t).input_ids
        longest = max(longest, len(a))
        assert a == b, (t, a, b)
    print(f"{len(sp)} pieces, {len(lines)} texts alike, longest {longest} tokens")
    assert longest <= most


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", required=True)
    ap.add_argument("--clips", action="store_true")
    args = ap.parse_args()
    most = MAX_CLIP_TOKENS if args.clips else MAX_TOKENS
    train(args.out, args.clips)
    save_fast(args.out, most)
    check(args.out, args.clips, most)

"""Golden token ids of tiny-pixart's tokenizer: tokenizer.json.

Each string is encoded by sentencepiece itself (the definition of the model) and by
the fast tokenizer of transformers (what diffusers uses). Where they disagree the
entry has "differs": true; fast_ids and the cause.
"""
import os

from common import MODELS, save_json

import sentencepiece as spm
from transformers import T5TokenizerFast

from tokenizer_strings import groups

FOLDER = os.path.join(MODELS, "tiny-pixart", "tokenizer")
SPECIAL = ["<pad>", "</s>", "<unk>"] + [f"<extra_id_{i}>" for i in range(100)]


def cause(text, ids, fast_ids):
    if any(s in text for s in SPECIAL):
        return "special: the fast tokenizer cuts special tokens out before it normalises"
    if sorted(ids) == sorted(fast_ids):
        return "tie: the same pieces in another order; sums in f32 against f64 break it differently"
    if "\x85" in text:
        return "space: the fast tokenizer splits at U+0085, sentencepiece keeps it as a character"
    # Of a grapheme under 6 bytes the fast one takes the image of the shortest mapped prefix and
    # drops the rest; longer ones go character by character, so nothing composes.
    return "normaliser: longest match (sentencepiece) against grapheme by grapheme"


def main():
    slow = spm.SentencePieceProcessor(model_file=os.path.join(FOLDER, "spiece.model"))
    fast = T5TokenizerFast.from_pretrained(FOLDER)
    eos = slow.eos_id()
    out = []
    for group, text in groups():
        ids = slow.encode(text) + [eos]
        fast_ids = fast(text).input_ids
        entry = {"group": group, "text": text, "normalised": slow.normalize(text), "ids": ids}
        if fast_ids != ids:
            entry.update(differs=True, fast_ids=fast_ids, why=cause(text, ids, fast_ids))
        out.append(entry)
    save_json("tokenizer", {"unk": slow.unk_id(), "eos": eos, "pad": slow.pad_id()}, out)
    for e in out:
        if "differs" in e:
            print("  ", e["group"], ascii(e["text"][:40]), "-", e["why"])


if __name__ == "__main__":
    main()

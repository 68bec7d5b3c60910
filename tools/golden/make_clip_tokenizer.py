"""Golden token ids of tiny-sd's tokenizer by transformers: clip_tokenizer.json."""
import os
import random

from common import MODELS, save_json

from transformers import CLIPTokenizerFast

from corpus import sentences
from tokenizer_strings import groups

MORE = ["A lovely cat, don't move!!!", "it's we're you've I'm they'll he'd", "IT'S WE'RE", "1girl", "<|startoftext|>",
        "a <|endoftext|> b", "<|EndOfText|>", "masterpiece, best quality", "a_b", "x'y'z", "''s", "\u01c5\u01c4", "\u1fb3\u1fbc"]


def strings():
    yield from groups()
    for text in MORE:
        yield "clip", text
    rng = random.Random(11)
    lines = sentences()
    for i in range(170):  # what people type: parts of sentences, in odd spelling
        words = " ".join(rng.sample(lines, 2)).split()
        rng.shuffle(words)
        text = rng.choice([" ", ", ", "  ", "-"]).join(words[:rng.randint(1, 12)])
        yield "shuffled", rng.choice([str.lower, str.upper, str.title, str])(text)


def main():
    tok = CLIPTokenizerFast.from_pretrained(os.path.join(MODELS, "tiny-sd", "tokenizer"))
    out = [{"group": g, "text": t, "ids": tok(t, add_special_tokens=False).input_ids}
           for g, t in strings()]
    save_json("clip_tokenizer", {"start": tok.bos_token_id, "end": tok.eos_token_id,
                                 "pad": tok.pad_token_id, "vocab": len(tok)}, out)


if __name__ == "__main__":
    main()

"""Write the held-out evaluation prompts: FILE.jsonl with what each demands, FILE.txt with words only.

    python prompts.py --out assets/prompts/scenes-heldout

With --split train: captions of the training kind, words only, for calibration.

    python prompts.py --out assets/prompts/scenes-calibration --split train --count 128

With --clips: for clips.
"""
import argparse
import json

import numpy as np

import captions
import data
import video_captions
import video_data


def world(args):
    """(English, the renderer) of pictures or clips."""
    return (video_captions, video_data) if args.clips else (captions, data)


def write_captions(args):
    english, shown = world(args)
    rng = np.random.default_rng(2025)
    words = {}  # in order, each once
    for scene in shown.describe(9_000_000, 2 * args.count, "train"):
        words[english.caption(scene, rng, empty=0)] = True
    with open(args.out + ".txt", "w") as f:
        f.writelines(w + "\n" for w in list(words)[:args.count])


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", required=True)
    ap.add_argument("--count", type=int, default=320)
    ap.add_argument("--split", choices=["held-out", "train"], default="held-out")
    ap.add_argument("--first-seed", type=int, default=8_000_000, help="another one: other prompts")
    ap.add_argument("--clips", action="store_true")
    args = ap.parse_args()
    if args.split == "train":
        return write_captions(args)
    english, shown = world(args)
    rng = np.random.default_rng(2024)
    rows, seen = [], set()
    for scene in shown.describe(args.first_seed, 4 * args.count, "held-out"):
        prompt, want = english.evaluation_prompt(scene, rng)
        if prompt not in seen and len(rows) < args.count:
            seen.add(prompt)
            rows.append(dict(prompt=prompt, want=want,
                             held_out="combo" if scene["held_out_combo"] else "pair"))
    with open(args.out + ".jsonl", "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    with open(args.out + ".txt", "w") as f:
        f.writelines(r["prompt"] + "\n" for r in rows)


if __name__ == "__main__":
    main()

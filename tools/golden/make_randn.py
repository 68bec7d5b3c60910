"""Golden values of torch.randn on the CPU generator: randn.safetensors.

Keys: <seed>/<shape, joined by x>, and for two calls in a row on one generator
<seed>/<first>+<second>/0 and /1.
"""
from common import generator, save_golden

import torch

SEEDS = (0, 1, 42, 2**31 - 1, 2**32 + 5)  # of the last, only the low 32 bits count
SHAPES = ((3,), (15,), (16,), (17,), (20,), (100,), (1, 4, 16, 16), (1, 8, 16, 16))
PAIRS = ((3, 4), (3, 16), (15, 15), (16, 16), (17, 5), (20, 20), (100, 3))  # odd ones leave a cached value


def main():
    out = {}
    for seed in SEEDS:
        for shape in SHAPES:
            # the large shapes for two seeds only: the stream is the same
            if len(shape) == 4 and seed not in (42, 2**32 + 5):
                continue
            out[f"{seed}/" + "x".join(map(str, shape))] = torch.randn(shape, generator=generator(seed))
    for seed in (0, 42):
        for pair in PAIRS:
            gen = generator(seed)
            for i, n in enumerate(pair):
                out[f"{seed}/{pair[0]}+{pair[1]}/{i}"] = torch.randn(n, generator=gen)
    save_golden("randn", out, "torch.randn, CPU generator, float32")


if __name__ == "__main__":
    main()

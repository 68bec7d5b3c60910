"""CogVideoX in full size, outside the repository, on demand: make_fullsize_cogvideox.py OUTDIR writes
OUTDIR/cogvideox_vae, the autoencoder with f16 zeros in a file with holes, for what it asks for of memory."""
import json
import os
import struct
import sys

import torch
from diffusers import AutoencoderKLCogVideoX


def main(outdir):
    folder = os.path.join(outdir, "cogvideox_vae")
    with torch.device("meta"):
        model = AutoencoderKLCogVideoX()
    model.save_config(folder)
    header, end = {}, 0
    for name, p in sorted(model.named_parameters()):
        header[name] = {"dtype": "F16", "shape": list(p.shape), "data_offsets": [end, end + 2 * p.numel()]}
        end += 2 * p.numel()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "diffusion_pytorch_model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + end)


if __name__ == "__main__":
    main(sys.argv[1])

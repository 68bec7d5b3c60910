"""Golden outputs of the tiny AutoencoderKLs: decode, encode and diffusers' tiling."""
import os

from common import MODELS, hook_outputs, randn, save_golden

import torch
from diffusers import AutoencoderKL


def run(folder, name, seed, pixels, tile=None):
    """pixels: (height, width) of the picture; tile: tile edge in pixels."""
    vae = AutoencoderKL.from_pretrained(os.path.join(MODELS, folder, "vae")).eval()
    height, width = pixels
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    channels = vae.config.latent_channels
    out = {
        "latent": randn(seed, 2, channels, height // factor, width // factor),
        "image": (0.5 * randn(seed + 1, 2, 3, height, width)).clamp(-1, 1),
    }

    # decode takes z itself; latent -> z is z = latent / scaling_factor + shift_factor
    steps = {}
    decoder = vae.decoder
    pairs = [("decode.mid", decoder.mid_block),
             ("decode.attention", decoder.mid_block.attentions[0])]
    pairs += [(f"decode.up.{i}", b) for i, b in enumerate(decoder.up_blocks)]
    encoder = vae.encoder
    pairs += [("encode.mid", encoder.mid_block)]
    pairs += [(f"encode.down.{i}", b) for i, b in enumerate(encoder.down_blocks)]
    handles = hook_outputs(pairs, steps)
    out["decoded"] = vae.decode(out["latent"]).sample
    posterior = vae.encode(out["image"]).latent_dist
    for h in handles:
        h.remove()
    out.update({k: v[:1] for k, v in steps.items()})  # of the first sample only: keeps the file small
    out["mean"] = posterior.mean
    out["logvar"] = posterior.logvar
    scale, shift = vae.config.scaling_factor, vae.config.shift_factor or 0.0
    out["latent_mode"] = (posterior.mode() - shift) * scale
    # z back from what the denoiser sees, decoded and brought to [0, 1]
    out["pixels"] = (vae.decode(out["latent_mode"] / scale + shift).sample / 2 + 0.5).clamp(0, 1)

    if tile:
        vae.enable_tiling()
        vae.tile_sample_min_size = tile
        vae.tile_latent_min_size = tile // factor
        large = randn(seed + 2, 1, channels, 27, 18)  # neither edge a multiple of the tile step
        out["tiled.latent"] = large
        out["tiled.decoded"] = vae.decode(large).sample
        picture = randn(seed + 3, 1, 3, 40, 56)
        out["tiled.image"] = picture
        out["tiled.mean"] = vae.encode(picture).latent_dist.mean
        vae.disable_tiling()
        out["tiled.decoded_whole"] = vae.decode(large).sample
    save_golden(name, out, f"factor {factor}, tile {tile} pixels" if tile else f"factor {factor}")


if __name__ == "__main__":
    run("tiny-pixart", "vae_tiny", 401, (16, 24), tile=16)
    run("tiny-vae-noquant", "vae_noquant", 411, (16, 24))
    run("tiny-vae-3level", "vae_3level", 421, (24, 40))

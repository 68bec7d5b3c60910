"""Golden outputs of the tiny AutoencoderKLWans: clips of several lengths, decoded and encoded."""
import os

from common import MODELS, randn, save_golden

import torch
from diffusers import AutoencoderKLWan


def frames_first(x):
    """[1, C, T, H, W] -> [T, C, H, W]"""
    return x[0].transpose(0, 1)


def run(folder, name, seed, size):
    vae = AutoencoderKLWan.from_pretrained(os.path.join(MODELS, folder, "vae")).eval()
    factor = 2 ** (len(vae.config.dim_mult) - 1)
    out = {}
    for frames in (1, 5, 13):
        latents = (frames - 1) // 4 + 1
        z = randn(seed, 1, vae.config.z_dim, latents, size[0] // factor, size[1] // factor)
        # without the clamp at the end, which would hide differences
        vae.clear_cache()
        x = vae.post_quant_conv(z)
        parts = []
        for i in range(latents):
            vae._conv_idx = [0]
            parts.append(vae.decoder(x[:, :, i:i + 1], feat_cache=vae._feat_map, feat_idx=vae._conv_idx,
                                     first_chunk=i == 0))
        decoded = torch.cat(parts, 2)
        assert torch.equal(decoded.clamp(-1, 1), vae.decode(z).sample)
        clip = (0.5 * randn(seed + 1, 1, 3, frames, *size)).clamp(-1, 1)
        moments = torch.cat(vae.encode(clip).latent_dist.parameters.chunk(2, 1), 1)
        out[f"z.{frames}"] = frames_first(z)
        out[f"decoded.{frames}"] = frames_first(decoded)
        out[f"clip.{frames}"] = frames_first(clip)
        out[f"moments.{frames}"] = frames_first(moments)
        assert decoded.shape[2] == frames and moments.shape[2] == latents
    save_golden(name, out, f"factor {factor}; frames first: [T, C, H, W]")


if __name__ == "__main__":
    run("tiny-wan", "wan_vae", 501, (16, 24))
    run("tiny-wan-vae", "wan_vae_other", 511, (8, 12))

"""Golden outputs of the tiny CogVideoX transformers and of their VAE. Run after make_cogvideox_models.py."""
import os

from common import MODELS, randn, save_golden

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

TEXT = 11  # tokens


def tall(x):
    """[B, F, C, H, W] -> [B, C, F * H, W]: frames one below the other."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1, x.shape[-1])


def turns(config, frames, height, width):
    """As the pipeline prepares them."""
    p = config.patch_size
    grid = (height // p, width // p)
    crop = get_resize_crop_region_for_grid(grid, config.sample_width // p, config.sample_height // p)
    return get_3d_rotary_pos_embed(config.attention_head_dim, crop, grid, frames)


def transformer(folder, name, seed):
    model = CogVideoXTransformer3DModel.from_pretrained(os.path.join(MODELS, folder, "transformer"),
                                                        max_text_seq_length=TEXT).float().eval()
    out = {"timestep": torch.tensor([999.0, 417.0]), "text": randn(seed, 2, TEXT, 32)}
    for kind, shape in (("clip", (3, 4, 6, 8)), ("picture", (1, 4, 8, 6))):
        latent = randn(seed + 1, 2, *shape)
        rotary = None
        if model.config.use_rotary_positional_embeddings:
            rotary = turns(model.config, shape[0], *shape[2:])
            # one number per pair, cosine and sine beside each other
            out[f"turns.{kind}"] = torch.stack([rotary[0][:, 0::2], rotary[1][:, 1::2]], -1).flatten(1)
        else:
            frames, height, width = shape[0], *shape[2:]
            table = model.patch_embed._get_positional_embeddings(height, width, 4 * frames - 3)
            out[f"positions.{kind}"] = table[0, TEXT:]
        out[f"latent.{kind}"] = tall(latent)
        out[f"output.{kind}"] = tall(model(latent, out["text"], out["timestep"],
                                           image_rotary_emb=rotary).sample)
    save_golden(name, out, "batch 2; frames below one another")


def frames_first(x):
    """[1, C, T, H, W] -> [T, C, H, W]"""
    return x[0].transpose(0, 1)


def vae():
    model = AutoencoderKLCogVideoX.from_pretrained(os.path.join(MODELS, "tiny-cogvideox", "vae")).float().eval()
    out = {}
    for frames in (1, 9, 25):
        latents = (frames - 1) // 4 + 1
        z = randn(711, 1, 4, latents, 1, 2)
        decoded = model.decode(z).sample
        clip = (0.5 * randn(712, 1, 3, frames, 8, 16)).clamp(-1, 1)
        moments = model.encode(clip).latent_dist.parameters
        assert decoded.shape[2] == frames and moments.shape[2] == latents
        out[f"z.{frames}"] = frames_first(z)
        out[f"decoded.{frames}"] = frames_first(decoded)
        out[f"clip.{frames}"] = frames_first(clip)
        out[f"moments.{frames}"] = frames_first(moments)
    save_golden("cogvideox_vae", out, "factor 8; frames first: [T, C, H, W]")


if __name__ == "__main__":
    transformer("tiny-cogvideox", "cogvideox_2b", 721)
    transformer("tiny-cogvideox-5b", "cogvideox_5b", 731)
    vae()

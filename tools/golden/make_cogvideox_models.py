"""Write the tiny CogVideoX models in the diffusers layout: tests/data/models/tiny-cogvideox as the 2B
model (positions are added, DDIM), tiny-cogvideox-5b as the 5B model (rotary positions, DPM-Solver++).
Text encoder and tokenizer are tiny-pixart's, by links. Weights are f16. Run after make_models.py."""
import os
import shutil

from common import MODELS, randomise

from diffusers import (AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXDPMScheduler,
                       CogVideoXPipeline, CogVideoXTransformer3DModel)
from transformers import T5EncoderModel, T5TokenizerFast

SCHEDULE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True)


def transformer(seed, **changes):
    config = dict(num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4,
                  time_embed_dim=8, text_embed_dim=32, num_layers=2, sample_width=8, sample_height=6,
                  sample_frames=9, max_text_seq_length=226)
    config.update(changes)
    return randomise(CogVideoXTransformer3DModel(**config), seed)


def vae(seed):
    return randomise(AutoencoderKLCogVideoX(
        block_out_channels=(4, 4, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        sample_height=48, sample_width=64), seed)


def save(name, network, scheduler, with_vae):
    folder = os.path.join(MODELS, name)
    pixart = os.path.join(MODELS, "tiny-pixart")
    shutil.rmtree(folder, ignore_errors=True)
    CogVideoXPipeline(
        tokenizer=T5TokenizerFast.from_pretrained(os.path.join(pixart, "tokenizer")),
        text_encoder=T5EncoderModel.from_pretrained(os.path.join(pixart, "text_encoder")),
        vae=vae(702).half(), transformer=network.half(), scheduler=scheduler).save_pretrained(folder)
    links = {"text_encoder": "../tiny-pixart/text_encoder", "tokenizer": "../tiny-pixart/tokenizer"}
    if not with_vae:
        links["vae"] = "../tiny-cogvideox/vae"
    for part, target in links.items():
        shutil.rmtree(os.path.join(folder, part))
        os.symlink(target, os.path.join(folder, part))
    for root, _dirs, files in os.walk(folder):
        for file in files:
            os.chmod(os.path.join(root, file), 0o644)


def main():
    save("tiny-cogvideox", transformer(701), CogVideoXDDIMScheduler(snr_shift_scale=3.0, **SCHEDULE), True)
    save("tiny-cogvideox-5b", transformer(703, use_rotary_positional_embeddings=True, sample_width=12,
                                          sample_height=8, num_layers=1),
         CogVideoXDPMScheduler(snr_shift_scale=1.0, **SCHEDULE), False)


if __name__ == "__main__":
    main()

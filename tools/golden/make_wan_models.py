"""Write the tiny video models: tests/data/models/tiny-wan in the diffusers layout, with the tokenizer
of tiny-pixart, and an autoencoder of other proportions. Run after make_models.py."""
import os
import shutil

from common import MODELS, model_dir, randomise

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

VOCAB_ROWS = 768


def vae(seed, **changes):
    config = dict(base_dim=4, z_dim=4, dim_mult=[1, 2, 2, 2], num_res_blocks=1, attn_scales=[],
                  temperal_downsample=[False, True, True],
                  latents_mean=[0.1, -0.2, 0.3, -0.4], latents_std=[1.5, 0.8, 2.0, 1.1])
    config.update(changes)
    return randomise(AutoencoderKLWan(**config), seed)


def transformer(seed, **changes):
    config = dict(patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4,
                  out_channels=4, text_dim=32, freq_dim=256, ffn_dim=32, num_layers=2,
                  cross_attn_norm=True, qk_norm="rms_norm_across_heads", eps=1e-6,
                  rope_max_seq_len=64)
    config.update(changes)
    return randomise(WanTransformer3DModel(**config), seed)


def umt5(seed):
    config = UMT5Config(vocab_size=VOCAB_ROWS, d_model=32, d_kv=8, num_heads=4, d_ff=64, num_layers=2,
                        feed_forward_proj="gated-gelu", dropout_rate=0.0, pad_token_id=0, eos_token_id=1)
    return randomise(UMT5EncoderModel(config), seed, d_kv=8)


def main():
    folder = os.path.join(MODELS, "tiny-wan")
    shutil.rmtree(folder, ignore_errors=True)
    tok_dir = os.path.join(MODELS, "tiny-pixart", "tokenizer")
    tok = T5TokenizerFast.from_pretrained(tok_dir, model_max_length=512)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000,
        flow_shift=3.0)
    pipe = WanPipeline(tokenizer=tok, text_encoder=umt5(201), vae=vae(202), transformer=transformer(203),
                       scheduler=scheduler)
    pipe.save_pretrained(folder)
    vae(204, base_dim=4, z_dim=2, dim_mult=[1, 1, 2], num_res_blocks=2, temperal_downsample=[True, True],
        latents_mean=[0.0, 0.5], latents_std=[1.0, 2.0]).save_pretrained(model_dir("tiny-wan-vae", "vae"))
    for root, _dirs, files in os.walk(MODELS):
        for name in files:
            os.chmod(os.path.join(root, name), 0o644)


if __name__ == "__main__":
    main()

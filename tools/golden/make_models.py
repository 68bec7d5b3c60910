"""Write the tiny models under tests/data/models/ in the diffusers layout.

Every folder holds random f32 weights with a fixed seed; see README.md for the
list and what each one is meant to catch.
"""
import io
import os
import shutil

from common import MODELS, model_dir, randomise

import sentencepiece as spm
import torch
from diffusers import (AutoencoderKL, DPMSolverMultistepScheduler, PixArtSigmaPipeline,
                       PixArtTransformer2DModel)
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5EncoderModel, T5TokenizerFast

from corpus import sentences

PIECES = 640      # sentencepiece ids; then 100 <extra_id_N>, then unused rows
VOCAB_ROWS = 768  # as in the real ones: 32000, 32100, 32128
MAX_TOKENS = 20


def pixart(seed, **changes):
    config = dict(num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=8,
                  num_layers=2, cross_attention_dim=24, attention_bias=True, sample_size=8,
                  patch_size=2, activation_fn="gelu-approximate", norm_type="ada_norm_single",
                  norm_elementwise_affine=False, norm_eps=1e-6, caption_channels=32,
                  interpolation_scale=1, use_additional_conditions=False)
    config.update(changes)
    return randomise(PixArtTransformer2DModel(**config), seed)


def vae(seed, **changes):
    config = dict(block_out_channels=(8, 16), layers_per_block=1, latent_channels=4,
                  norm_num_groups=4, sample_size=32, scaling_factor=0.13025)
    config.update(changes)
    levels = len(config["block_out_channels"])
    config["down_block_types"] = ("DownEncoderBlock2D",) * levels
    config["up_block_types"] = ("UpDecoderBlock2D",) * levels
    return randomise(AutoencoderKL(**config), seed)


def t5(seed, **changes):
    config = dict(vocab_size=VOCAB_ROWS, d_model=32, d_kv=8, num_heads=4, d_ff=64, num_layers=2,
                  feed_forward_proj="gated-gelu", relative_attention_num_buckets=32,
                  relative_attention_max_distance=128, layer_norm_epsilon=1e-6, dropout_rate=0.0,
                  pad_token_id=0, eos_token_id=1)
    config.update(changes)
    return randomise(T5EncoderModel(T5Config(**config)), seed, d_kv=config["d_kv"])


def train_tokenizer(folder):
    """A Unigram model like T5's: pad 0, eos 1, unk 2, no bos, nmt_nfkc."""
    model = io.BytesIO()  # text and model stay in memory: paths would end up in the file
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()), model_writer=model, model_type="unigram",
        vocab_size=PIECES, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        pad_piece="<pad>", eos_piece="</s>", unk_piece="<unk>",
        normalization_rule_name="nmt_nfkc", character_coverage=1.0, num_threads=1,
        max_sentencepiece_length=16, minloglevel=2)
    with open(os.path.join(folder, "spiece.model"), "wb") as f:
        f.write(model.getvalue())
    tok = T5TokenizerFast.from_pretrained(folder, model_max_length=MAX_TOKENS)
    tok.save_pretrained(folder)
    return tok


def old_attention_names(path):
    """Rename the VAE's attention weights to what files of 2022 call them."""
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    out = {}
    for key, value in load_file(path).items():
        for new, old in names.items():
            key = key.replace(new, old)
        out[key] = value
    save_file(out, path, metadata={"format": "pt"})


def tidy():
    """Ordinary file modes, and no path of the machine that ran this."""
    for folder, _dirs, files in os.walk(MODELS):
        for name in files:
            path = os.path.join(folder, name)
            os.chmod(path, 0o644)
            if name.endswith(".json"):
                with open(path, encoding="utf-8") as f:
                    assert "_name_or_path" not in f.read(), path


def main():
    shutil.rmtree(MODELS, ignore_errors=True)
    tok_dir = model_dir("tiny-pixart", "tokenizer")
    tok = train_tokenizer(tok_dir)
    transformer = pixart(101)
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="linear",
        prediction_type="epsilon", solver_order=2, algorithm_type="dpmsolver++",
        solver_type="midpoint", lower_order_final=True, timestep_spacing="linspace", steps_offset=0)
    pipe = PixArtSigmaPipeline(tokenizer=tok, text_encoder=t5(102), vae=vae(103),
                               transformer=transformer, scheduler=scheduler)
    pipe.save_pretrained(os.path.join(MODELS, "tiny-pixart"))
    # the pipeline writes the tokenizer again, without the sentencepiece file
    assert os.path.exists(os.path.join(tok_dir, "spiece.model"))

    transformer.save_pretrained(model_dir("tiny-pixart-sharded", "transformer"), max_shard_size="60KB")
    pixart(104, use_additional_conditions=True).save_pretrained(
        model_dir("tiny-pixart-alpha", "transformer"))
    pixart(105, sample_size=16, interpolation_scale=2).save_pretrained(
        model_dir("tiny-pixart-interp", "transformer"))
    t5(106, num_heads=2, vocab_size=128).save_pretrained(model_dir("tiny-t5-narrow", "text_encoder"))

    noquant = vae(107, block_out_channels=(4, 8), norm_num_groups=2, latent_channels=16,
                  use_quant_conv=False, use_post_quant_conv=False, scaling_factor=1.5305, shift_factor=0.0609)
    bias = noquant.encoder.conv_out.bias
    bias[16], bias[17] = 25.0, -35.0  # two log variances past the clamp of [-30, 20]
    noquant.save_pretrained(model_dir("tiny-vae-noquant", "vae"))

    three = model_dir("tiny-vae-3level", "vae")
    old = vae(108, block_out_channels=(4, 8, 8), layers_per_block=2, norm_num_groups=2,
              sample_size=64, scaling_factor=0.18215)
    old.save_pretrained(three)
    old_attention_names(os.path.join(three, "diffusion_pytorch_model.safetensors"))
    again = AutoencoderKL.from_pretrained(three).state_dict()  # diffusers takes the old names
    assert all(torch.equal(v, again[k]) for k, v in old.state_dict().items())
    tidy()


if __name__ == "__main__":
    main()
